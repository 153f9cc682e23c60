package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"github.com/seed47708276/sluice/cascade"
)

// PropCA names the file of the authorities that the certificate of Redis is
// checked with.
const PropCA = "sluice.redis.ca"

func caFile(sn *cascade.Snapshot) string {
	v, _ := sn.Get(cascade.Subject{}, PropCA)
	file, _ := v.Effective.(string)
	return file
}

// Warning says what is legal but leaves Redis open to others, or "".
func (r *Redis) Warning() string {
	if r.TLS && !r.VerifyPeer {
		text := "the connection to Redis is encrypted, but the certificate is not checked: whoever is between can pass for Redis, read all sessions and send any message. " +
			"Set " + redisPrefix + "verifyPeer=true"
		if r.CA == "" {
			return text + ", and " + PropCA + " where the certificate is of an authority of your own"
		}
		return text + ": " + PropCA + " has no effect without it"
	}
	return ""
}

// dialFunc connects to an address.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer connects within the context, TLS included, which go-redis's own does
// not.
func (r *Redis) dialer() (dialFunc, error) {
	plain := &net.Dialer{Timeout: r.ConnectTimeout, KeepAliveConfig: keepAlive}
	if !r.TLS {
		return plain.DialContext, nil
	}
	roots, err := r.roots()
	if err != nil {
		return nil, err
	}
	secure := &tls.Dialer{NetDialer: plain, Config: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: !r.VerifyPeer, // the existing system's default
		RootCAs:            roots,
	}}
	timeout := r.ConnectTimeout
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return secure.DialContext(ctx, network, addr)
	}, nil
}

// maxCAFile bounds the file of the authorities; those of a whole system have
// 250 KiB.
const maxCAFile = 4 << 20

// roots are the authorities that are trusted; nil: those of the system.
func (r *Redis) roots() (*x509.CertPool, error) {
	if r.CA == "" {
		return nil, nil
	}
	fi, err := os.Stat(r.CA)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", PropCA, err)
	case !fi.Mode().IsRegular() || fi.Size() > maxCAFile:
		return nil, fmt.Errorf("%s: %s is no file of at most %d bytes", PropCA, r.CA, maxCAFile)
	}
	pem, err := os.ReadFile(r.CA)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PropCA, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s has no certificate in PEM form (-----BEGIN CERTIFICATE-----)", PropCA, r.CA)
	}
	return pool, nil
}
