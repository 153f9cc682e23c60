package mariadb

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// The oldest MariaDB that is used: older ones get no corrections any more, and
// their Galera has another way to tell of a conflict.
const (
	minMajor = 10
	minMinor = 6
)

// ServerVersionError is returned for a server that is too old, or no MariaDB.
type ServerVersionError struct{ Have string }

func (e *ServerVersionError) Error() string {
	return fmt.Sprintf("the server says that it is %q, and MariaDB %d.%d or newer is needed: update it, or use another", e.Have, minMajor, minMinor)
}

// checkVersion judges what VERSION() says, such as 10.11.14-MariaDB-0+deb12u2.
func checkVersion(text string) error {
	version, of, _ := strings.Cut(strings.TrimPrefix(text, replicationPrefix), "-")
	parts := strings.Split(version, ".")
	if !strings.Contains(of, "MariaDB") || len(parts) < 2 {
		return &ServerVersionError{text}
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil || major < minMajor || major == minMajor && minor < minMinor {
		return &ServerVersionError{text}
	}
	return nil
}

// replicationPrefix is put before their version by MariaDB 10 servers for old
// replicas.
const replicationPrefix = "5.5.5-"

// serverVersion refuses a server that is too old.
func serverVersion(ctx context.Context, db *sql.DB) error {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&text); err != nil {
		return err
	}
	return checkVersion(text)
}
