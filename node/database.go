package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/store"
)

// DatabaseOptions reads where the database of the decisions is; ok is false where
// none is named.
func DatabaseOptions(e *cascade.Engine) (o sqlpool.Options, ok bool, err error) {
	o = sqlpool.Options{
		Hosts: e.List(store.PropDatabaseHosts).Server(), Database: e.Text(store.PropDatabaseName).Server(),
		User: e.Text(store.PropDatabaseUser).Server(), Password: e.Text(store.PropDatabasePassword).Server(),
	}
	if len(o.Hosts) == 0 {
		return o, false, nil
	}
	o.TLS, err = databaseTLS(e, store.PropDatabaseTLS, store.PropDatabaseCA)
	return o, true, err
}

// databaseTLS is what two properties say of TLS to a database; nil: none is used.
func databaseTLS(e *cascade.Engine, use, ca string) (*tls.Config, error) {
	if !e.Bool(use).For(cascade.Subject{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := e.Text(ca).Server(); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ca, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s: %s has no certificate in PEM", ca, file)
		}
	}
	return c, nil
}
