package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/httpapi/internal/follow"
)

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
