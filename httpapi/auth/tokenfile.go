package auth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed47708276/sluice/httpapi/internal/follow"
)

// MaxTokenFile bounds the file in bytes: MaxTokens lines have less than 200 each.
const MaxTokenFile = 256 << 10

// TokenFile are the tokens that a file has (sluice.admin.tokenFile). It is read
// again when it changes; one that cannot be read leaves the tokens as they
// were, and a line that is wrong has none.
type TokenFile struct {
	path     string
	log      *slog.Logger
	digest   [sha256.Size]byte
	current  atomic.Pointer[fileTokens]
	failed   atomic.Bool // see Failed
	reported string      // the failure that the log has; Run's goroutine only
}

// fileTokens are those of one state of the file. They do not change, but for
// when they were used.
type fileTokens struct {
	list   []*fileToken
	byHash map[[sha256.Size]byte]*fileToken
	byName map[string]*fileToken
}

type fileToken struct {
	Token
	used atomic.Int64 // ns since 1970; 0: never
}

// LoadTokenFile reads a file of tokens. Lines that are wrong are in the log.
func LoadTokenFile(path string, log *slog.Logger) (*TokenFile, error) {
	f := &TokenFile{path: path, log: log}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Run follows the file until ctx ends.
func (f *TokenFile) Run(ctx context.Context) {
	follow.Files(ctx, f.log, f.reload, f.path)
}

func (f *TokenFile) reload() {
	err := f.read()
	if err == nil {
		f.reported = ""
		return
	}
	f.failed.Store(true)
	// Once for each reason, however often it is found again.
	if err.Error() != f.reported {
		f.log.Error("the tokens stay as they were: correct the file", "file", f.path, "err", err)
	}
	f.reported = err.Error()
}

func (f *TokenFile) read() error {
	data, err := readSecret(f.path)
	if err != nil {
		return err
	}
	before, digest := f.current.Load(), sha256.Sum256(data)
	if before != nil && digest == f.digest && f.reported == "" {
		return nil
	}
	tokens, bad := parseTokens(f.path, data)
	for _, b := range bad {
		f.log.Error("a token of the file does not count", "finding", b.String())
	}
	now := &fileTokens{byHash: map[[sha256.Size]byte]*fileToken{}, byName: map[string]*fileToken{}}
	for _, t := range tokens {
		ft := &fileToken{Token: t}
		if before != nil && before.byHash[t.Hash] != nil {
			ft.used.Store(before.byHash[t.Hash].used.Load())
		}
		now.list = append(now.list, ft)
		now.byHash[t.Hash], now.byName[t.Name] = ft, ft
	}
	f.digest = digest
	f.current.Store(now)
	f.failed.Store(len(bad) > 0)
	f.log.Info("tokens read", "file", f.path, "tokens", len(tokens), "errors", len(bad))
	return nil
}

// readSecret reads a file that nobody but its owner and group may use.
func readSecret(path string) ([]byte, error) {
	// A FIFO would block without O_NONBLOCK.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular() || fi.Size() > MaxTokenFile:
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", path, MaxTokenFile)
	case fi.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("%s has tokens and can be used by everybody on this machine (mode %04o): run chmod o= on it; where Kubernetes mounts it, set defaultMode: 0440", path, fi.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxTokenFile+1))
	if err == nil && len(data) > MaxTokenFile {
		err = fmt.Errorf("%s grew beyond %d bytes while it was read", path, MaxTokenFile)
	}
	return data, err
}

// Failed reports whether the file cannot be read, or has lines that are wrong.
func (f *TokenFile) Failed() bool { return f.failed.Load() }

// Lookup implements Tokens.
func (f *TokenFile) Lookup(hash [sha256.Size]byte) (Token, bool) {
	t := f.current.Load().byHash[hash]
	if t == nil {
		return Token{}, false
	}
	return t.Token, true
}

// Any implements Tokens.
func (f *TokenFile) Any() bool { return len(f.current.Load().list) > 0 }

// Used implements Tokens.
func (f *TokenFile) Used(name string, at time.Time) {
	if t := f.current.Load().byName[name]; t != nil {
		t.used.Store(at.UnixNano())
	}
}

// List returns the tokens in the order of the file.
func (f *TokenFile) List() []Token {
	var all []Token
	for _, t := range f.current.Load().list {
		c := t.Token
		if ns := t.used.Load(); ns > 0 {
			c.LastUsed = time.Unix(0, ns)
		}
		all = append(all, c)
	}
	return all
}

// Has reports whether the file has a token of this name.
func (f *TokenFile) Has(name string) bool { return f != nil && f.current.Load().byName[name] != nil }
