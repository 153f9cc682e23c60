package sqlpool

import (
	"context"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"

	"github.com/go-sql-driver/mysql"
)

// Class is what an error says of a transaction that it ended, before its COMMIT
// was sent, and what to do.
type Class int

// The classes.
const (
	// None is no error.
	None Class = iota
	// Conflict: another transaction was first, and nothing was done: again at
	// once, on the same node.
	Conflict
	// Duplicate: a key is there already.
	Duplicate
	// Elsewhere: nothing was done, and another node may do it.
	Elsewhere
	// Lost: the connection is gone. Before COMMIT nothing was done; at COMMIT it is
	// not known.
	Lost
	// Setup: a table is not there, or is another than expected.
	Setup
	// Denied: a grant is missing.
	Denied
	// Refused: the server does not let this user in, or has no such database.
	Refused
	// TooLarge: a packet is above the server's max_allowed_packet.
	TooLarge
	// Full: the disk of the server is.
	Full
	// Ours: a mistake of the caller; again is of no use.
	Ours
)

// Numbers of MariaDB.
const (
	errDiskFull        = 1021
	errTooManyConns    = 1040
	errDBAccess        = 1044
	errAccess          = 1045
	errNoWsrep         = 1047
	errNoDatabase      = 1049
	errShutdown        = 1053
	errNoColumn        = 1054
	errDuplicate       = 1062
	errOutOfTable      = 1114
	errUnknown         = 1105
	errTableDenied     = 1142
	errColumnDenied    = 1143
	errNoTable         = 1146
	errPacket          = 1153
	errAborted         = 1180
	errUnknownVariable = 1193
	errLockWait        = 1205
	errDeadlock        = 1213
	errSpecialDenied   = 1227
	errReadOnly        = 1290
	errRowIsReadOnly   = 1792
	errKilledQuery     = 1317
	errKilledConn      = 1927
	errStatementTime   = 1969
	errReadOnlyServer  = 1836
)

// Number is that of a server's error, or 0.
func Number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// Classify tells what an error means.
func Classify(err error) Class {
	if err == nil {
		return None
	}
	switch Number(err) {
	case errDeadlock:
		return Conflict
	case errDuplicate:
		return Duplicate
	case errLockWait, errNoWsrep, errAborted, errShutdown, errTooManyConns, errReadOnly, errReadOnlyServer, errRowIsReadOnly, errKilledQuery, errStatementTime, errUnknownVariable:
		return Elsewhere
	case errKilledConn:
		return Lost
	case errNoTable, errNoColumn:
		return Setup
	case errTableDenied, errColumnDenied, errSpecialDenied:
		return Denied
	case errAccess, errDBAccess, errNoDatabase:
		return Refused
	case errPacket, errUnknown:
		return TooLarge
	case errDiskFull, errOutOfTable:
		return Full
	case 0:
		return classifyOther(err)
	}
	return Ours
}

func classifyOther(err error) Class {
	var network net.Error
	var dial *net.OpError
	var state *StateError
	switch {
	case errors.As(err, &state):
		return Elsewhere
	case errors.As(err, &dial) && dial.Op == "dial":
		return Elsewhere
	case errors.Is(err, mysql.ErrPktTooLarge):
		return TooLarge
	case errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, sql.ErrTxDone), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network):
		return Lost
	}
	return Ours
}

// duplicateKey finds the key in the text of 1062.
var duplicateKey = regexp.MustCompile(`for key '(?:[^'.]*\.)?([^']*)'`)

// DuplicateKey is the name of the key that a Duplicate is of.
func DuplicateKey(err error) string {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		if m := duplicateKey.FindStringSubmatch(e.Message); m != nil {
			return m[1]
		}
	}
	return ""
}

// deniedGrant finds what is missing in the text of 1142.
var deniedGrant = regexp.MustCompile(`^([A-Z, ]+) command denied to user ('?[^ ]*'?@[^ ]*) for (?:table|column) (.*)$`)

// Explain says of an error what to do, where that is known.
func Explain(err error) error {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return explainTLS(err)
	}
	switch Classify(err) {
	case Denied:
		if m := deniedGrant.FindStringSubmatch(e.Message); m != nil {
			return fmt.Errorf("the grant %s on %s is missing for %s: %w", m[1], m[3], m[2], err)
		}
		return fmt.Errorf("a grant is missing: %w", err)
	case Refused:
		if e.Number == errNoDatabase {
			return fmt.Errorf("%w: make it with `sluice database init`, or correct its name", err)
		}
		return fmt.Errorf("%w: correct the user or the password, or use TLS where this user has to", err)
	case TooLarge:
		return fmt.Errorf("%w: raise max_allowed_packet of the server, or do it in parts", err)
	case Full:
		return fmt.Errorf("%w: the server has no room left", err)
	case Elsewhere:
		switch e.Number {
		case errNoWsrep:
			return fmt.Errorf("%w: the node is not with the majority of its cluster", err)
		case errReadOnly, errReadOnlyServer, errRowIsReadOnly:
			return fmt.Errorf("%w: the server is read-only", err)
		}
	}
	return err
}

// explainTLS says of a server that has failed its check what to do.
func explainTLS(err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("%w: name the authority that has signed it in the file of tls.ca", err)
	case errors.As(err, &host):
		return fmt.Errorf("%w: name the host as its certificate does", err)
	case errors.Is(err, mysql.ErrNoTLS):
		return fmt.Errorf("%w: set it up in the server, or do without", err)
	}
	return err
}
