package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/internal/follow"
	"github.com/seed47708276/sluice/websockets"
)

const (
	// reservedFiles are kept for configuration files, the state folder and
	// Redis, so that clients can never keep a file from being read again.
	reservedFiles = 128
	// handshakeFiles are kept from the sockets, so that a client that comes when
	// there are too many is told so.
	handshakeFiles = 64
	// adminFiles are kept from clients, so that an administrator can always
	// connect.
	adminFiles = 64
	// leastFiles is what is needed to serve anybody at all.
	leastFiles = 2 * (reservedFiles + handshakeFiles + adminFiles)
)

// FileLimit is how many descriptors this process may have.
func FileLimit() (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	const enough = 1 << 24
	return int(min(l.Cur, enough)), nil
}

// MaxSockets is how many sockets a process with that many descriptors may have.
func MaxSockets(files int) int {
	if files < leastFiles {
		return max(1, files/4)
	}
	return min(websockets.DefaultMaxSockets, files-reservedFiles-handshakeFiles-adminFiles)
}

// budget bounds the connections of all listeners and the sockets together; those
// of the listener for clients leave some to administrators.
// One that is beyond is closed at once: accepting it later would keep it, and
// all behind it, waiting for nothing.
type budget struct {
	max     int64
	clients int64 // the bound for the listener for clients
	sockets func() int64
	open    atomic.Int64 // connections that are no sockets
	refused atomic.Int64
}

func newBudget(files int, sockets func() int64) *budget {
	reserved, admin := reservedFiles, adminFiles
	if files < leastFiles {
		reserved, admin = files/2, files/8
	}
	most := int64(files - reserved)
	return &budget{max: most, clients: most - int64(admin), sockets: sockets}
}

// follow is the ConnState of a listener.
func (b *budget) follow(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if b.open.Add(1)+b.sockets() > b.max {
			b.refused.Add(1)
			_ = c.Close() // the server finds out, and says StateClosed
		}
	case http.StateHijacked, http.StateClosed:
		b.open.Add(-1)
	}
}

// pending counts the connections of the listener for clients that are no sockets
// yet, by their peer. It has no more peers than there are such connections. The
// zero value is empty.
type pending struct {
	mu sync.Mutex
	of map[netip.Addr]int64
}

func (p *pending) add(peer netip.Addr) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[netip.Addr]int64)
	}
	p.of[peer]++
	return p.of[peer]
}

func (p *pending) remove(peer netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[peer]--; p.of[peer] <= 0 {
		delete(p.of, peer)
	}
}

// followClients is the ConnState of the listener for clients. A peer that has
// too many connections without a socket is refused more of them, but for this
// machine and the known proxies, behind whom all clients are.
func (s *Server) followClients(c net.Conn, state http.ConnState) {
	peer := netip.Addr{}
	if at, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		peer = at.Addr().Unmap().WithZone("")
	}
	switch state {
	case http.StateNew:
		mine := s.pending.add(peer)
		over := mine > cascade.ServerValue[int64](s.Engine.Snapshot(), PropMaxPending) && !peer.IsLoopback() && !s.Config().KnownProxy(peer)
		if s.budget.open.Add(1)+s.budget.sockets() > s.budget.clients || over {
			s.budget.refused.Add(1)
			_ = c.Close() // the server finds out, and says StateClosed
		}
	case http.StateHijacked, http.StateClosed:
		s.budget.open.Add(-1)
		s.pending.remove(peer)
	}
}

const (
	// answerTimeout bounds each write of an answer: a client that does not read
	// loses its connection, whatever is still to come.
	answerTimeout = 30 * time.Second
	// answerChunk is what one write has, so that a slow connection need not carry
	// a whole export within answerTimeout: 2 KB/s are enough.
	answerChunk = 64 << 10
	// refusedBodyTimeout is how long is waited for the rest of a body that nobody
	// wants, before the connection ends.
	refusedBodyTimeout = time.Second
	// streamIdle bounds the wait for the next message of a stream, as idleTimeout
	// does that for the next request of a connection.
	streamIdle = idleTimeout
)

// pace gives each read and write of a request a deadline, whatever its handler
// does. Handlers that set their own keep them.
func (s *Server) pace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &pacedWriter{ResponseWriter: w, control: http.NewResponseController(w)}
		p.extend()
		if r.ContentLength != 0 {
			// Also for what net/http reads when the handler has returned.
			_ = p.control.SetReadDeadline(time.Now().Add(bodyTimeout)) // every listener's connections have them
		}
		next.ServeHTTP(p, r)
	})
}

// takesNoBody refuses a body where none is taken: its sender means it to be read.
func takesNoBody(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
	default:
		return nil
	}
	if r.ContentLength == 0 {
		return nil
	}
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedBodyTimeout)) // as above
	return fail(http.StatusBadRequest, "body", "a %s has no body: a reason goes into ?reason=", r.Method)
}

// pacedWriter gives each write a deadline.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	own     atomic.Bool // the handler sets the deadlines
}

func (p *pacedWriter) extend() {
	if !p.own.Load() {
		_ = p.control.SetWriteDeadline(time.Now().Add(answerTimeout)) // every listener's connections have them
	}
}

// Write implements http.ResponseWriter.
func (p *pacedWriter) Write(b []byte) (n int, err error) {
	for {
		p.extend()
		part := b[n:min(n+answerChunk, len(b))]
		m, err := p.ResponseWriter.Write(part)
		n += m
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// WriteHeader implements http.ResponseWriter.
func (p *pacedWriter) WriteHeader(status int) {
	p.extend()
	p.ResponseWriter.WriteHeader(status)
}

// FlushError is what http.ResponseController calls.
func (p *pacedWriter) FlushError() error {
	p.extend()
	return p.control.Flush()
}

// SetWriteDeadline is what http.ResponseController calls.
func (p *pacedWriter) SetWriteDeadline(at time.Time) error {
	p.own.Store(true)
	return p.control.SetWriteDeadline(at)
}

// Unwrap is what http.ResponseController calls.
func (p *pacedWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// pacedBody bounds the wait for each part of a body that lasts.
type pacedBody struct {
	io.Reader
	control *http.ResponseController
	ctx     context.Context // of the server; nothing is read when it is done
}

// Read implements io.Reader.
func (p *pacedBody) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(streamIdle)) // every listener's connections have them
	if p.ctx.Err() != nil {                                   // after the deadline, which ending sets before it
		return 0, p.ctx.Err()
	}
	return p.Reader.Read(b)
}

// PublicListener wraps Public with the limits of its listener. A socket leaves
// them behind at its handshake, which is well below them.
func (s *Server) PublicListener() *http.Server {
	l := s.Listener(s.Public())
	l.ConnState = s.followClients
	l.ReadTimeout, l.WriteTimeout = bodyTimeout, answerTimeout
	return l
}

// errorLog is where net/http writes what no handler sees: panics of handlers
// and accepts that fail, which are errors, and TLS handshakes that fail, which
// anybody can cause as often as he likes.
type errorLog struct {
	log        *slog.Logger
	handshakes atomic.Int64 // of TLS, that failed
}

func (e *errorLog) logger() *log.Logger { return log.New(e, "", 0) }

var handshakeFailed = []byte("http: TLS handshake error")

// Write takes one record.
func (e *errorLog) Write(p []byte) (int, error) {
	text := string(bytes.TrimSpace(p))
	if bytes.HasPrefix(p, handshakeFailed) {
		e.handshakes.Add(1)
		e.log.Debug(text)
	} else {
		e.log.Error(text)
	}
	return len(p), nil
}

// maxCertificate bounds each file in bytes: chains have a few KiB.
const maxCertificate = 1 << 20

// Certificate is the pair of files of a TLS listener. They are read again when
// they change; a pair that does not fit leaves the one before in use.
type Certificate struct {
	cert, key string
	log       *slog.Logger
	digest    [sha256.Size]byte
	current   atomic.Pointer[tls.Certificate]
	failed    atomic.Bool
	reported  string // the failure that the log has; Run's goroutine only
}

// LoadCertificate reads the files, in PEM. The error names the file or says
// what of the pair is wrong.
func LoadCertificate(cert, key string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, log: log}
	if _, err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// read reports whether the pair is another than before.
func (c *Certificate) read() (bool, error) {
	certPEM, err := readBounded(c.cert)
	if err != nil {
		return false, err
	}
	keyPEM, err := readBounded(c.key)
	if err != nil {
		return false, err
	}
	digest := sha256.Sum256(append(append(certPEM[:len(certPEM):len(certPEM)], 0), keyPEM...))
	if c.current.Load() != nil && digest == c.digest {
		return false, nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return false, fmt.Errorf("%s and %s: %w", c.cert, c.key, err)
	}
	c.digest = digest
	c.current.Store(&pair)
	return true, nil
}

func readBounded(path string) ([]byte, error) {
	fi, err := os.Stat(path) // before opening: a FIFO would block
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxCertificate {
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", path, maxCertificate)
	}
	return os.ReadFile(path)
}

// Expires is when the certificate in use ends.
func (c *Certificate) Expires() time.Time { return c.current.Load().Leaf.NotAfter }

// Config is for a listener of HTTP/1.1, which is all that Web Sockets have.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}

// Run follows the files until ctx ends.
func (c *Certificate) Run(ctx context.Context) {
	follow.Files(ctx, c.log, c.reload, c.cert, c.key)
}

func (c *Certificate) reload() {
	changed, err := c.read()
	c.failed.Store(err != nil)
	if err != nil {
		// Once for each reason, however often it is found again.
		if err.Error() != c.reported {
			c.log.Error("the new certificate is not used, the one before stays: correct the files", "cert", c.cert, "key", c.key, "err", err)
		}
		c.reported = err.Error()
		return
	}
	c.reported = ""
	if changed {
		c.log.Info("certificate reloaded", "cert", c.cert, "expires", c.Expires())
	}
}
