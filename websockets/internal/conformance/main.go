// Conformance is a server for the official test suites of Engine.IO and
// Socket.IO (docs/ of the public repository socketio/socket.io): no sessions,
// short intervals, and the contract that the suites expect of the application
// behind the protocol. It has no rule of the protocols itself; all of them are
// in websockets/engineio and websockets/socketio.
//
//	go run ./websockets/internal/conformance [-listen localhost:3000]
//
// Then, in a folder of a suite: npm ci && npx mocha --exit test-suite.js, with
//
//	-g 'WebSocket (successfully|fails|sends|closes|forcefully)'
//
// for Engine.IO 3 and 4 (9 tests each) and no filter for Socket.IO 5, of which
// the 7 tests that need long-polling fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Limits of the listener; nobody but a suite on the same machine connects.
const (
	headerTimeout = 5 * time.Second
	headerBytes   = 16 << 10
)

func main() {
	listen := flag.String("listen", "localhost:3000", "host:port to listen on; the suites want localhost:3000")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unknown argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *listen, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx is done, and ends when all connections have.
func run(ctx context.Context, listen string, log *slog.Logger) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("conformance server: %w: end what listens there, or use -listen", err)
	}
	log.Info("listening", "address", l.Addr().String())
	s := newServer(log)
	defer s.close()
	h := &http.Server{Handler: s, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		err = h.Close()
		<-served
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
