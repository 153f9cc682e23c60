package node

import (
	"fmt"
	"net"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
	"github.com/seed47708276/sluice/httpapi/auth"
)

// loadCertificate returns nil where no TLS is configured.
func (n *Node) loadCertificate(propCert, propKey string) (*httpapi.Certificate, error) {
	cert, key := cascade.ServerValue[string](n.engine.Snapshot(), propCert), cascade.ServerValue[string](n.engine.Snapshot(), propKey)
	switch {
	case cert == "" && key == "":
		return nil, nil
	case cert == "" || key == "":
		return nil, fmt.Errorf("%s and %s belong together: set both, or neither for no TLS", propCert, propKey)
	}
	c, err := httpapi.LoadCertificate(cert, key, n.log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", propCert, err)
	}
	return c, nil
}

// loadTokens returns nil where no file of tokens is configured.
func (n *Node) loadTokens() (*auth.TokenFile, error) {
	path := cascade.ServerValue[string](n.engine.Snapshot(), httpapi.PropTokenFile)
	if path == "" {
		return nil, nil
	}
	f, err := auth.LoadTokenFile(path, n.log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", httpapi.PropTokenFile, err)
	}
	if !f.Any() {
		n.log.Warn("the file of tokens has none", "file", path)
	}
	return f, nil
}

// warnOfPlainTokens tells that tokens can be read on their way, where the
// listener for administrators takes them from other machines without TLS.
func (n *Node) warnOfPlainTokens() {
	if a, ok := n.admin.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() || n.adminCert != nil {
		return
	}
	n.log.Warn("tokens cross the network unencrypted: set a certificate for the admin listener", "property", httpapi.PropAdminCert)
}
