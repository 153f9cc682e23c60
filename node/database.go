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
		Hosts: cascade.ServerValue[[]string](e.Snapshot(), store.PropDatabaseHosts), Database: cascade.ServerValue[string](e.Snapshot(), store.PropDatabaseName),
		User: cascade.ServerValue[string](e.Snapshot(), store.PropDatabaseUser), Password: cascade.ServerValue[string](e.Snapshot(), store.PropDatabasePassword),
	}
	if len(o.Hosts) == 0 {
		return o, false, nil
	}
	o.TLS, err = databaseTLS(e, store.PropDatabaseTLS, store.PropDatabaseCA)
	return o, true, err
}

// databaseTLS is what two properties say of TLS to a database; nil: none is used.
func databaseTLS(e *cascade.Engine, use, ca string) (*tls.Config, error) {
	if !cascade.ServerValue[bool](e.Snapshot(), use) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := cascade.ServerValue[string](e.Snapshot(), ca); file != "" {
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
