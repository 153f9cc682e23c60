package node

import (
	"net"
	"strconv"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi"
)

// addressFlags are the properties that flags of serve set. An address that cannot
// be read sets none: listening on it is what fails.
func addressFlags(opt Options) map[string]cascade.Flag {
	out := map[string]cascade.Flag{}
	for _, f := range []struct{ name, address, host, port string }{
		{"--public", opt.Public, httpapi.PropPublicHost, httpapi.PropPublicPort},
		{"--admin", opt.Admin, httpapi.PropAdminHost, httpapi.PropAdminPort},
	} {
		host, text, err := net.SplitHostPort(f.address)
		if err != nil {
			continue
		}
		port, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			continue
		}
		out[f.host], out[f.port] = cascade.Flag{Name: f.name, Value: host}, cascade.Flag{Name: f.name, Value: port}
	}
	if opt.Socket != "" {
		out[httpapi.PropAdminSocket] = cascade.Flag{Name: "--socket", Value: opt.Socket}
	}
	return out
}
