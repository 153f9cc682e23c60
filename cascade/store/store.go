package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/seed47708276/sluice/cascade"
)

// FileName is the store in the state folder.
const FileName = "store.db"

const (
	// format is the version of the file. A newer one is refused.
	format = 2
	// lockTimeout is how long another process may hold the file: a command that
	// meets a running server says so within a second.
	lockTimeout = 500 * time.Millisecond
)

// The buckets, one for each kind, the log by revision, and what is no record.
var (
	bucketLog      = []byte("log")
	bucketMeta     = []byte("meta")
	bucketSessions = []byte("sessions")
	bucketRequests = []byte("requests") // revisions by the names of their writes; since format 2
	bucketEnded    = []byte("ended")    // revisions of the entries with which the owners of ids may have ended; since format 2
	bucketOf       = map[Kind][]byte{
		KindContext: []byte("contexts"), KindUser: []byte("users"), KindOverride: []byte("overrides"), KindToken: []byte("tokens"),
	}

	buckets = [][]byte{bucketLog, bucketMeta, bucketSessions, bucketOf[KindContext], bucketOf[KindUser], bucketOf[KindOverride], bucketOf[KindToken]}

	metaFormat = []byte("format")
	metaHead   = []byte("head")
)

// Kinds are all kinds, in the order in which they are loaded.
var Kinds = []Kind{KindContext, KindUser, KindOverride, KindToken}

// Head names a state: the number of its last write, and a sum over all writes
// that led there. Two stores with the same head hold the same.
type Head struct {
	Revision uint64 `json:"revision"`
	Chain    Chain  `json:"chain"`
}

// Chain is a sum over the writes up to one.
type Chain [16]byte

// next is the sum with one more entry, as it stands in the log.
func (c Chain) next(entry []byte) Chain {
	h := sha256.New()
	h.Write(c[:])
	h.Write(entry)
	return Chain(h.Sum(nil)[:len(c)])
}

// String is hex.
func (c Chain) String() string { return hex.EncodeToString(c[:]) }

// MarshalText is String.
func (c Chain) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads hex.
func (c *Chain) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(c) {
		return errors.New("a chain has 32 hexadecimal digits")
	}
	_, err := hex.Decode(c[:], b)
	return err
}

// String names the state in a sentence.
func (h Head) String() string {
	return fmt.Sprintf("revision %d (%x)", h.Revision, h.Chain[:4])
}

// identity is what look-ups are told of the state.
func (h Head) identity() string { return strconv.FormatUint(h.Revision, 10) }

// Options are what a Store needs.
type Options struct {
	Path   string // of the file, which is made where it is missing
	Logger *slog.Logger
	// Truth is where writes are decided; nil: the file itself is the truth.
	Truth Truth
	// Witness is asked where the file is the truth of a cluster; nil: of this
	// member alone. One of Truth and Witness is nil.
	Witness Witness
	// Patience is how long another process may hold the file; 0: lockTimeout.
	Patience time.Duration
}

// Store is an open file. It is safe for concurrent use.
type Store struct {
	opt   Options
	log   *slog.Logger
	queue chan *request
	apply func(cascade.Batch, []Entry)
	stats stats

	mu sync.RWMutex // held to read by those who use db, to write by who replaces it
	db *bbolt.DB    // nil while it could not be opened again

	head     atomic.Pointer[Head] // what is in force
	identity atomic.Pointer[Identity]
	failure  atomic.Pointer[FailedError]
	tokens   tokens
	copy     copying

	// The owner's.
	tx      *bbolt.Tx // the last that was begun
	settled bool      // the disk has what the file shows

	quit     chan struct{}
	ended    chan struct{} // no request is served any more
	proposed chan struct{} // no write is proposed any more
	work     sync.WaitGroup
}

// The errors of Open. Each names the file and says what to do.
type (
	// LockedError is returned where another process holds the file.
	LockedError struct{ Path string }
	// DamagedError is returned for a file that is cut short or not a store.
	DamagedError struct {
		Path   string
		Reason string
	}
	// NewerError is returned for a file that a newer version has written.
	NewerError struct {
		Path   string
		Format uint64
	}
)

func (e *LockedError) Error() string {
	return e.Path + " is held by another process: stop the server that uses it, ask that server (--server), or name another state folder"
}

func (e *DamagedError) Error() string {
	return e.Path + " cannot be read as a store (" + e.Reason + "): put a backup in its place, or move it away and import an export"
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has format %d, this version knows %d: use the version that has written it", e.Path, e.Format, format)
}

// Open opens the store file. Nothing is written before Start.
func Open(o Options) (*Store, error) {
	s := &Store{opt: o, log: o.Logger, queue: make(chan *request, maxQueue), quit: make(chan struct{}), ended: make(chan struct{}), proposed: make(chan struct{})}
	c := &s.copy
	c.proposals, c.due, c.hurry = make(chan *request, maxQueue), make(chan struct{}, 1), make(chan struct{}, 1)
	c.changed, c.states = sync.NewCond(&c.mu), make(map[Key]pendingState)
	s.head.Store(&Head{})
	s.identity.Store(&Identity{})
	switch fi, err := os.Stat(o.Path); {
	case errors.Is(err, os.ErrNotExist), err == nil && fi.Mode().IsRegular() && fi.Size() == 0:
		if err := create(o.Path); err != nil {
			return nil, openError(o.Path, err)
		}
	}
	head, err := s.open(false)
	if err != nil {
		return nil, err
	}
	s.head.Store(&head)
	c.file = head
	if err := s.tokens.load(s); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// open opens the file and reads its head. The caller holds mu, or is alone.
func (s *Store) open(readOnly bool) (head Head, err error) {
	path := s.opt.Path
	if err := checkFile(path); err != nil {
		return head, err
	}
	db, err := openFile(path, readOnly, cmp.Or(s.opt.Patience, lockTimeout))
	if err != nil {
		return head, openError(path, err)
	}
	err = guarded(path, func() error {
		return db.View(func(tx *bbolt.Tx) (err error) {
			if head, err = readHead(tx, path); err != nil {
				return err
			}
			id, err := readIdentity(tx, path)
			if err == nil {
				s.identity.Store(&id)
			}
			return err
		})
	})
	if err != nil {
		return head, errors.Join(err, db.Close())
	}
	s.db, s.settled = db, false
	return head, nil
}

// openFile opens a bbolt file. What it holds is given back also where bbolt
// panics over it: the lock would last as long as the process.
func openFile(path string, readOnly bool, patience time.Duration) (db *bbolt.DB, err error) {
	var file *os.File
	err = guarded(path, func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout: patience, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly,
			OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				f, err = os.OpenFile(name, flag, mode)
				file = f
				return f, err
			},
		})
		return err
	})
	if db == nil && file != nil {
		_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) // closed already, or the mapping still holds it
		_ = file.Close()
	}
	return db, err
}

func openError(path string, err error) error {
	var damaged *DamagedError
	switch {
	case errors.As(err, &damaged), errors.As(err, new(*LockedError)):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return &LockedError{path}
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return &DamagedError{path, err.Error()}
	case notWritable(err):
		return fmt.Errorf("%w: the server must be able to write its state folder: choose another with --state", err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// notWritable reports whether a file may still be read.
func notWritable(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS)
}

func readHead(tx *bbolt.Tx, path string) (Head, error) {
	var h Head
	for _, name := range buckets {
		if tx.Bucket(name) == nil {
			return h, &DamagedError{path, "it has no bucket " + string(name)}
		}
	}
	meta := tx.Bucket(bucketMeta)
	if v := meta.Get(metaFormat); len(v) != 8 {
		return h, &DamagedError{path, "it does not say its format"}
	} else if n := binary.BigEndian.Uint64(v); n > format {
		return h, &NewerError{path, n}
	}
	if err := json.Unmarshal(meta.Get(metaHead), &h); err != nil {
		return h, &DamagedError{path, "its head does not parse"}
	}
	return h, nil
}

func writeHead(tx *bbolt.Tx, h Head) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketMeta).Put(metaHead, text)
}

// guarded turns what bbolt does with a damaged file, a panic or an access to
// pages that are not there, into an error.
func guarded(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &DamagedError{path, fmt.Sprint(r)}
		}
	}()
	return f()
}

// Head is the state that was acknowledged last.
func (s *Store) Head() Head { return *s.head.Load() }

// Start has apply called with each write, in their order and before it is
// acknowledged, and begins to take writes. It is called once, after Load.
func (s *Store) Start(apply func(cascade.Batch, []Entry)) {
	s.apply = apply
	offline := s.tokens.offline // the owner may take the truth over, and so replace it
	s.startCopy()
	s.work.Go(func() {
		defer close(s.ended)
		s.run()
	})
	if len(offline) > 0 {
		s.work.Go(func() { s.claimOffline(offline) })
	}
}

// Close refuses what still waits, and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.quit:
		s.mu.Unlock()
		return nil
	default:
		close(s.quit)
	}
	s.mu.Unlock()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// view runs f on the records as they are.
func (s *Store) view(f func(tx *bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		if failed := s.failure.Load(); failed != nil {
			return failed
		}
		return ErrClosed
	}
	err := guarded(s.opt.Path, func() error { return s.db.View(f) })
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}
