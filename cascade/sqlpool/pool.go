// Package sqlpool connects to a MariaDB, alone or a Galera cluster of several
// nodes: one pool of connections for each node, a preferred node, and what an
// error of the server means for a transaction.
package sqlpool

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

// DefaultPort is that of MariaDB.
const DefaultPort = "3306"

const (
	// DialTimeout bounds a connection: a node that is silent costs as much.
	DialTimeout = 2 * time.Second
	// IOTimeout bounds the answer to one statement. It is above the 7 s that
	// Galera takes to exclude a node which was killed.
	IOTimeout = 12 * time.Second
	// lockWait bounds, in seconds, how long a statement waits for a row; below
	// IOTimeout, so that its end is told.
	lockWait = "10"
	// maxOpen bounds the connections to one node; as many are kept. They live for
	// maxLife, so that changed settings of a server are seen.
	maxOpen = 12
	maxLife = 5 * time.Minute
	// A node that failed is left alone for minRest, doubled with each failure up
	// to maxRest, and then asked whether it is well before it is used.
	minRest = 500 * time.Millisecond
	maxRest = 5 * time.Second
	// probeTimeout bounds that question.
	probeTimeout = time.Second
)

// Options say where a database is.
type Options struct {
	// Hosts are host, host:port, or the path of a socket, in the order of
	// preference: members that write use one node as long as it is well.
	Hosts    []string
	User     string
	Password string
	Database string // "": none is chosen
	TLS      *tls.Config
	// Isolation is a level as the server names it; "" is READ-COMMITTED.
	Isolation string
	// Stale lets reads come from a node that has not applied yet what others
	// have committed.
	Stale bool
	// Answer bounds the wait for each answer; 0: IOTimeout.
	Answer time.Duration
}

// Node is one server.
type Node struct {
	Host string

	opt  Options
	mu   sync.Mutex
	db   *sql.DB
	bare bool // the server knows no wsrep_sync_wait: it was built without Galera
	fail error
	rest time.Duration
	till time.Time // until then it is not used
}

// Pool is a list of nodes. It is safe for concurrent use.
type Pool struct{ nodes []*Node }

// Open makes a pool. Nothing is connected before the first use.
func Open(o Options) (*Pool, error) {
	if len(o.Hosts) == 0 {
		return nil, errors.New("no host is named")
	}
	p := &Pool{}
	for _, h := range o.Hosts {
		if _, _, err := address(h); err != nil {
			return nil, err
		}
		n := &Node{Host: h, opt: o}
		if err := n.connect(); err != nil {
			return nil, err
		}
		p.nodes = append(p.nodes, n)
	}
	return p, nil
}

// address is the network and address of a host.
func address(host string) (network, addr string, err error) {
	switch {
	case host == "" || strings.ContainsAny(host, " \t"):
		return "", "", fmt.Errorf("%q is no host: write host, host:port, or the path of a socket", host)
	case strings.HasPrefix(host, "/"):
		return "unix", host, nil
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return "tcp", host, nil
	}
	return "tcp", net.JoinHostPort(strings.Trim(host, "[]"), DefaultPort), nil
}

// connect makes the pool of a node. The caller holds mu, or is alone.
func (n *Node) connect() error {
	c := mysql.NewConfig()
	var err error
	if c.Net, c.Addr, err = address(n.Host); err != nil {
		return err
	}
	c.User, c.Passwd, c.DBName, c.TLS = n.opt.User, n.opt.Password, n.opt.Database, n.opt.TLS
	if c.TLS != nil && c.Net == "unix" {
		c.TLS = nil // nobody is between
	}
	if c.TLS != nil && c.TLS.ServerName == "" {
		c.TLS = c.TLS.Clone()
		c.TLS.ServerName, _, _ = net.SplitHostPort(c.Addr)
	}
	answer := cmp.Or(n.opt.Answer, IOTimeout)
	c.Timeout, c.ReadTimeout, c.WriteTimeout = DialTimeout, answer, answer
	c.InterpolateParams, c.ParseTime, c.Loc = true, true, time.UTC
	c.Collation = "utf8mb4_bin"
	isolation := n.opt.Isolation
	if isolation == "" {
		isolation = "READ-COMMITTED"
	}
	c.Params = map[string]string{"tx_isolation": "'" + isolation + "'", "innodb_lock_wait_timeout": lockWait}
	if !n.bare && !n.opt.Stale {
		c.Params["wsrep_sync_wait"] = "1"
	}
	c.Logger = silent{} // what goes wrong is an error
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	n.db = sql.OpenDB(connector)
	n.db.SetMaxOpenConns(maxOpen)
	n.db.SetMaxIdleConns(maxOpen)
	n.db.SetConnMaxLifetime(maxLife)
	return nil
}

type silent struct{}

func (silent) Print(...any) {}

// DB is the pool of the node's connections.
func (n *Node) DB() *sql.DB {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.db
}

// Note keeps how a use of the node has ended. One that failed in a way that
// another node may not is left alone for a while.
func (n *Node) Note(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch class := Classify(err); {
	case err == nil:
		n.fail, n.rest, n.till = nil, 0, time.Time{}
	case errors.Is(err, context.Canceled):
	case Number(err) == errUnknownVariable && !n.bare:
		n.bare = true
		old := n.db
		if n.connect() == nil {
			_ = old.Close() // nothing is kept in it
		}
	case class == Elsewhere || class == Lost || class == Refused || class == Full:
		n.rest = min(max(2*n.rest, minRest), maxRest)
		n.fail, n.till = err, time.Now().Add(n.rest)
	}
}

// Nodes are all of a pool, in the order of preference.
func (p *Pool) Nodes() []*Node { return p.nodes }

// Pick returns the first node that is well, as far as it is known; where none
// is, the one whose rest ends first.
func (p *Pool) Pick(ctx context.Context) *Node {
	var best *Node
	for _, n := range p.nodes {
		till, fail := n.state()
		if fail == nil {
			return n
		}
		if !time.Now().Before(till) {
			err := n.probe(ctx)
			if n.Note(err); err == nil {
				return n
			}
			till, _ = n.state()
		}
		if best == nil {
			best = n
		} else if other, _ := best.state(); till.Before(other) {
			best = n
		}
	}
	return best
}

// state is until when the node is not used, and why; nil: it is.
func (n *Node) state() (till time.Time, fail error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.till, n.fail
}

// Failed is why the node is not used; nil: it is.
func (n *Node) Failed() error {
	_, fail := n.state()
	return fail
}

// probe asks whether a node that failed may be used again: of a Galera cluster
// it must have all that the others have.
func (n *Node) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var name, state string
	err := n.DB().QueryRowContext(ctx, "SHOW STATUS LIKE 'wsrep_local_state_comment'").Scan(&name, &state)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	} else if err == nil && state != "Synced" && state != "" {
		// A server with the library but without a cluster says Initialized or nothing.
		var on string
		if n.DB().QueryRowContext(ctx, "SELECT @@wsrep_on").Scan(&on) != nil || on == "1" {
			err = &StateError{n.Host, state}
		}
	}
	return err
}

// StateError is returned for a node that is not in step with its cluster.
type StateError struct{ Host, State string }

func (e *StateError) Error() string {
	return fmt.Sprintf("the node %s is not in step with its cluster (wsrep_local_state_comment is %s)", e.Host, e.State)
}

// Close ends all connections.
func (p *Pool) Close() error {
	var err error
	for _, n := range p.nodes {
		err = errors.Join(err, n.DB().Close())
	}
	return err
}
