package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/store"
)

// writeTimeout bounds how long a write waits: below what clients wait for.
const writeTimeout = 20 * time.Second

// write does what a request asks for, and turns what the store says into an
// answer.
func (s *Server) writeStore(r *http.Request, w store.Write) (store.Entry, error) {
	if err := s.writable(); err != nil {
		return store.Entry{}, err
	}
	if err := checkReason(w.Reason); err != nil {
		return store.Entry{}, err
	}
	w.Actor = Actor(r.Context())
	var err error
	if w.Request, err = requestID(r); err != nil {
		return store.Entry{}, err
	}
	closing, err := s.checkClosing(r, w)
	if err != nil {
		return store.Entry{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), writeTimeout)
	defer cancel()
	e, err := s.Store.Do(ctx, w)
	if err != nil {
		if !errors.Is(err, store.ErrUnconfirmed) {
			s.bulkClosed.undone(closing)
		}
		return e, s.closeHere(r, &w, err)
	}
	return e, nil
}

// requestHeader names a write: one that is sent again with the name of an
// answer, or of its own, is done once.
const requestHeader = "Idempotency-Key"

func requestID(r *http.Request) (string, error) {
	values := r.Header.Values(requestHeader)
	if len(values) == 0 {
		return store.NewRequest(), nil
	}
	id := values[0]
	if len(values) > 1 || id == "" || len(id) > store.MaxRequest || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fail(http.StatusBadRequest, "bad_request_id", "%s has 1 to %d printable characters of ASCII", requestHeader, store.MaxRequest)
	}
	return id, nil
}

// writable refuses writes of what a file decides.
func (s *Server) writable() error {
	if s.Fixed {
		return fail(http.StatusConflict, "directory_file", "the directory is read from a file (--directory): change it there")
	}
	return nil
}

// storeProblem tells what a store says in the terms of the API.
func (s *Server) storeProblem(err error) error {
	var condition *store.ConditionError
	var missing *store.NotFoundError
	var bad *store.BadWriteError
	var failed *store.FailedError
	var none *store.NoStoreError
	var keeper *store.KeeperError
	var unavailable *store.UnavailableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &condition):
		return fail(http.StatusPreconditionFailed, "stale", "%s: read it again, then decide", condition)
	case errors.As(err, &missing):
		return fail(http.StatusNotFound, "not_found", "%s: there is nothing to remove", missing)
	case errors.As(err, &bad):
		return fail(http.StatusUnprocessableEntity, "bad_write", "%s", bad)
	case errors.Is(err, store.ErrUnconfirmed):
		return fail(http.StatusServiceUnavailable, "unconfirmed", "%s (header %s)", err, requestHeader)
	case errors.As(err, new(*store.GivenUpError)):
		return fail(http.StatusServiceUnavailable, "given_up", "%s (header %s)", err, requestHeader)
	case errors.As(err, &failed):
		s.Logger.Error("the store failed", "err", err)
		return fail(http.StatusServiceUnavailable, "store_failed", "%s", failed)
	case errors.As(err, &none):
		return fail(http.StatusConflict, "no_store", "%s", none)
	case errors.As(err, &keeper):
		return fail(http.StatusConflict, "keeper_conflict", "%s", keeper)
	case errors.As(err, &unavailable), errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrClosed):
		return fail(http.StatusServiceUnavailable, "store_unavailable", "%s", err)
	}
	return err
}

// readProblem is storeProblem for those who only read: that the disk takes no
// writes is nothing to them, but that the file could not be opened again.
func (s *Server) readProblem(err error) error {
	var failed *store.FailedError
	if errors.As(err, &failed) {
		s.Logger.Error("the store cannot be read", "err", err)
		return fail(http.StatusServiceUnavailable, "store_unavailable", "the store cannot be read now: see to its disk")
	}
	return s.storeProblem(err)
}

// condition reads If-Match and If-None-Match: the revision that what is written
// must have, 0 for none, nil for any.
func condition(r *http.Request) (*uint64, error) {
	match, none := r.Header.Values("If-Match"), r.Header.Values("If-None-Match")
	switch {
	case len(match) == 0 && len(none) == 0:
		return nil, nil
	case len(match) == 0 && len(none) == 1 && none[0] == "*":
		return new(uint64), nil
	case len(match) == 1 && len(none) == 0:
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(match[0], `"`), `"`), 10, 64)
		if err == nil && n > 0 && match[0] == etag(n) {
			return &n, nil
		}
	}
	return nil, fail(http.StatusBadRequest, "bad_condition", `send If-Match with the ETag of an answer, or If-None-Match: * to create only, or neither`)
}

// noCondition refuses conditions where a write has no one record to have them:
// one that is not looked at would be taken for one that holds.
func noCondition(r *http.Request) error {
	if len(r.Header.Values("If-Match")) > 0 || len(r.Header.Values("If-None-Match")) > 0 {
		return fail(http.StatusBadRequest, "bad_condition", "this changes many records, and looks at no If-Match or If-None-Match: leave it out")
	}
	return nil
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

func setETag(w http.ResponseWriter, revision uint64) {
	if revision != 0 {
		w.Header().Set("ETag", etag(revision))
	}
}

// setETagOf sets the revision of a record beside what a snapshot, taken after
// the record was read, says of it. A snapshot that does not have it yet gets
// none: with it a write would be let through that was decided on an older value.
func setETagOf(w http.ResponseWriter, sn *cascade.Snapshot, revision uint64) {
	if has, err := strconv.ParseUint(sn.Revision(), 10, 64); err == nil && has >= revision {
		setETag(w, revision)
	}
}

// writeFlags reads the parameters of a write: texts, or true and false.
func writeFlags(r *http.Request, known ...string) (url.Values, map[string]bool, error) {
	query, err := knownQuery(r, known...)
	if err != nil {
		return nil, nil, err
	}
	flags := make(map[string]bool)
	for key, values := range query {
		switch {
		case key == "reason" || key == "name" || key == "confirm" || key == "target":
		case values[0] == "" || values[0] == "true":
			flags[key] = true
		case values[0] != "false":
			return nil, nil, fail(http.StatusBadRequest, "bad_query", "%s is true or false", key)
		}
	}
	return query, flags, nil
}

// reasonOf wants a reason: who reads the audit log a year later has no other.
func reasonOf(text string) (string, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", fail(http.StatusUnprocessableEntity, "no_reason", "say why: reason is a text for those who read the audit log")
	}
	return text, checkReason(text)
}

// checkReason bounds the reason of a write, which is shown on terminals.
func checkReason(text string) error {
	if len(text) > cascade.MaxTextLen || !plainText(text) {
		return fail(http.StatusUnprocessableEntity, "bad_reason", "the reason has at most %d bytes of UTF-8, and no control characters but line breaks and tabs", cascade.MaxTextLen)
	}
	return nil
}

// plainText reports whether a text holds what files may hold: of the control
// characters only tab, form feed and line ends (docs/reference/cascade.md#files).
func plainText(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune("\t\f\r\n", r)
	})
}

// lastYear is the last that RFC 3339 can write.
const lastYear = 9999

// expiryOf reads when an override ends.
func expiryOf(text *string) (*time.Time, error) {
	if text == nil {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, *text)
	switch {
	case err != nil:
		return nil, fail(http.StatusUnprocessableEntity, "bad_expires", "expires is a time such as 2027-01-31T12:00:00Z")
	case at.UTC().Year() > lastYear:
		return nil, fail(http.StatusUnprocessableEntity, "bad_expires", "expires is after the year %d in UTC: leave it out for never", lastYear)
	case !at.After(time.Now()):
		return nil, fail(http.StatusUnprocessableEntity, "bad_expires", "expires %s is over already", at.UTC().Format(time.RFC3339))
	}
	at = at.UTC().Truncate(time.Millisecond)
	return &at, nil
}
