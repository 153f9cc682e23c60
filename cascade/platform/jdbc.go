package platform

import (
	"fmt"
	"net/url"
	"strings"
)

// jdbc is what a URL of the platform says of a database.
type jdbc struct {
	hosts    []string // host or host:port
	database string
}

// parseJDBC reads jdbc:mysql://HOST[:PORT][,HOST...]/[DATABASE][?OPTIONS]; the
// options are those of another driver, and have no meaning here.
func parseJDBC(text string) (j jdbc, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "jdbc:")
	scheme, rest, slashes := strings.Cut(rest, "://")
	kind, _, _ := strings.Cut(scheme, ":") // as in jdbc:mysql:loadbalance
	if !ok || !slashes || kind != "mysql" && kind != "mariadb" {
		return j, fmt.Errorf("it is no jdbc:mysql://HOST/DATABASE")
	}
	rest, _, _ = strings.Cut(rest, "?")
	hosts, database, _ := strings.Cut(rest, "/")
	for h := range strings.SplitSeq(hosts, ",") {
		if h = strings.TrimSpace(h); h != "" {
			j.hosts = append(j.hosts, h)
		}
	}
	if len(j.hosts) == 0 {
		return j, fmt.Errorf("it names no host")
	}
	if j.database, err = url.PathUnescape(database); err != nil {
		return j, fmt.Errorf("the name of the database has a broken %% escape")
	}
	return j, nil
}

// ParseURL reads where a URL of the platform leads: jdbc:mysql://HOST/DATABASE.
func ParseURL(text string) (hosts []string, database string, err error) {
	j, err := parseJDBC(text)
	return j.hosts, j.database, err
}
