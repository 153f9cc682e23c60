package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// certificateQuiet is how long the files must be left alone before they are
	// read: whoever renews them writes two.
	certificateQuiet = 200 * time.Millisecond
	// certificateRescan finds what no event tells.
	certificateRescan = 30 * time.Second
	// maxCertificate bounds each file: chains have a few KiB.
	maxCertificate = 1 << 20
)

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

// Run follows the files until ctx ends. Their folders are watched, because
// files are replaced: by renaming, or as Kubernetes does by a link beside them.
// Where that is not possible they are looked at now and then.
func (c *Certificate) Run(ctx context.Context) {
	var events chan fsnotify.Event
	var errs chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		events, errs = watcher.Events, watcher.Errors
		err = c.watch(watcher)
	}
	if err != nil {
		c.log.Warn("the certificate's folder is not watched: it is looked at now and then", "every", certificateRescan, "err", err)
	}
	quiet := time.NewTimer(certificateRescan)
	quiet.Stop()
	defer quiet.Stop()
	rescan := time.NewTicker(certificateRescan)
	defer rescan.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			quiet.Reset(certificateQuiet)
		case err := <-errs:
			c.log.Warn("watching the certificate", "err", err)
			quiet.Reset(certificateQuiet)
		case <-quiet.C:
			c.reload()
		case <-rescan.C:
			if watcher != nil {
				_ = c.watch(watcher) // until that helps, this is how they are followed
			}
			c.reload()
		}
	}
}

// watch has the folders of both files reported. Again, it finds one that has
// taken the place of another, of which nothing is heard any more.
func (c *Certificate) watch(w *fsnotify.Watcher) error {
	return errors.Join(w.Add(filepath.Dir(c.cert)), w.Add(filepath.Dir(c.key)))
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
