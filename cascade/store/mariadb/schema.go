package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool"
	"github.com/seed47708276/sluice/cascade/store"
)

// Schema is the version of the tables that this version reads and writes.
const Schema = 2

// migrations lead from each version of the schema to the next; the first makes
// it. Each statement may be run again. Keys are bytes: no collation folds them.
var migrations = [Schema][]string{{
	`CREATE TABLE IF NOT EXISTS sluice_record (
  id VARBINARY(600) NOT NULL PRIMARY KEY,
  body LONGBLOB NOT NULL
) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS sluice_entry (
  rev BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  req VARBINARY(64) NOT NULL,
  chain BINARY(16) NOT NULL,
  at DATETIME(6) NOT NULL,
  text LONGBLOB NOT NULL,
  UNIQUE KEY sluice_req (req)
) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS sluice_head (
  one TINYINT NOT NULL PRIMARY KEY,
  version INT NOT NULL,
  rev BIGINT UNSIGNED NOT NULL,
  chain BINARY(16) NOT NULL,
  history VARBINARY(64) NOT NULL,
  adopted TINYINT NOT NULL
) ENGINE=InnoDB`,
}, {
	// Of version 2 is the row markID, which comes with the head.
}}

// keyRequest is the name of the unique key of the requests.
const keyRequest = "sluice_req"

// lockTable keeps two from migrating at once, on whatever nodes.
const lockTable = `CREATE TABLE IF NOT EXISTS sluice_lock (one TINYINT NOT NULL PRIMARY KEY, owner VARBINARY(255) NOT NULL, at DATETIME(6) NOT NULL) ENGINE=InnoDB`

// lockLife is how long a migration may take; its lock is nobody's after that.
const lockLife = 10 * time.Minute

// Grants are the least that a server needs, as statements for an administrator.
func Grants(database, user string) []string {
	return []string{
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '...';", user),
		fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON `%s`.* TO '%s'@'%%';", database, user),
	}
}

// Init makes the database and its tables, or brings those of an earlier version
// up to date. It returns what it did.
func Init(ctx context.Context, o sqlpool.Options) (did []string, err error) {
	name := o.Database
	if name == "" || strings.ContainsAny(name, "`'\\/\x00") {
		return nil, fmt.Errorf("%q is no name of a database", name)
	}
	first := o
	first.Database, first.Hosts = "", o.Hosts[:1]
	// One node: the others get what it does.
	bare, err := sqlpool.Open(first)
	if err != nil {
		return nil, err
	}
	defer bare.Close()
	made, err := prepared(bare.Nodes()[0]).ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS `"+name+"` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	if sqlpool.Classify(err) == sqlpool.Refused || sqlpool.Classify(err) == sqlpool.Denied {
		made, err = nil, nil // it may be there, for a user that may not make any
	}
	if err != nil {
		return nil, sqlpool.Explain(err)
	}
	if made != nil {
		if n, err := made.RowsAffected(); err == nil && n > 0 {
			did = append(did, "made the database "+name)
		}
	}
	first.Database = name
	pool, err := sqlpool.Open(first)
	if err != nil {
		return did, err
	}
	defer pool.Close()
	db := prepared(pool.Nodes()[0])
	more, err := migrate(ctx, db)
	return append(did, more...), sqlpool.Explain(err)
}

// prepared is the node's pool once it is known which settings the server has.
func prepared(n *sqlpool.Node) *sql.DB {
	if err := n.DB().Ping(); err != nil {
		n.Note(err)
	}
	return n.DB()
}

func migrate(ctx context.Context, db *sql.DB) (did []string, err error) {
	if err := serverVersion(ctx, db); err != nil {
		return nil, err
	}
	if err := foreign(ctx, db); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, lockTable); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	owner, now := fmt.Sprintf("%s:%d", host, os.Getpid()), time.Now().UTC()
	if _, err := db.ExecContext(ctx, "DELETE FROM sluice_lock WHERE at < ?", now.Add(-lockLife)); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO sluice_lock (one, owner, at) VALUES (1, ?, ?)", owner, now); err != nil {
		if c := sqlpool.Classify(err); c == sqlpool.Duplicate || c == sqlpool.Conflict {
			return nil, errors.New("another `sluice database init` runs (table sluice_lock): wait for its end; a lock that was left is nobody's after 10 minutes")
		}
		return nil, err
	}
	defer func() {
		_, uerr := db.ExecContext(context.WithoutCancel(ctx), "DELETE FROM sluice_lock WHERE owner = ?", owner)
		err = errors.Join(err, uerr)
	}()
	version, err := schemaOf(ctx, db)
	if err != nil {
		return nil, err
	}
	if version > Schema {
		return nil, &VersionError{version}
	}
	for v := version; v < Schema; v++ {
		for _, statement := range migrations[v] {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return nil, err
			}
		}
	}
	if version < Schema {
		if err := setHead(ctx, db); err != nil {
			return nil, err
		}
		did = append(did, fmt.Sprintf("made the tables of version %d", Schema))
	}
	return did, nil
}

// setHead makes the head of tables that are new, or has that of an earlier version
// be of this one: without it nothing is written.
func setHead(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, `INSERT INTO sluice_head (one, version, rev, chain, history, adopted) VALUES (1, ?, 0, ?, ?, 0) ON DUPLICATE KEY UPDATE version = VALUES(version)`,
		Schema, make([]byte, 16), store.NewRequest()); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, setMark); err != nil {
		return err
	}
	return tx.Commit()
}

// foreign refuses tables of our names that are not ours.
func foreign(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name IN ('sluice_head', 'sluice_record', 'sluice_entry')")
	if err != nil {
		return err
	}
	defer rows.Close()
	have := make(map[string]map[string]bool)
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return err
		}
		if have[table] == nil {
			have[table] = make(map[string]bool)
		}
		have[table][column] = true
	}
	for table, columns := range map[string][]string{
		"sluice_head": {"one", "version", "rev", "chain", "history", "adopted"}, "sluice_record": {"id", "body"}, "sluice_entry": {"rev", "req", "chain", "at", "text"},
	} {
		for _, c := range columns {
			if have[table] != nil && !have[table][c] {
				return &ForeignError{table, c}
			}
		}
	}
	return rows.Err()
}

// schemaOf is the version of the tables; 0: there are none.
func schemaOf(ctx context.Context, db *sql.DB) (version int, err error) {
	err = db.QueryRowContext(ctx, "SELECT version FROM sluice_head WHERE one = 1").Scan(&version)
	if errors.Is(err, sql.ErrNoRows) || sqlpool.Classify(err) == sqlpool.Setup {
		return 0, nil
	}
	return version, err
}

// The errors of a database that is not as it should be.
type (
	// VersionError is returned for tables of another version.
	VersionError struct{ Have int }
	// ForeignError is returned for a table that has our name and not our columns.
	ForeignError struct{ Table, Column string }
)

func (e *VersionError) Error() string {
	if e.Have > Schema {
		return fmt.Sprintf("the tables in the database have version %d, and this binary knows %d: use the version that has made them", e.Have, Schema)
	}
	return fmt.Sprintf("the tables in the database have version %d, and this binary wants %d: run `sluice database init`", e.Have, Schema)
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the table %s has no column %s: it is none of Sluice's, so use another database", e.Table, e.Column)
}

// errNoSetup is returned where there is no head: it is never made but by Init.
var errNoSetup = errors.New("the database is not set up, or a backup is being restored: run `sluice database init` once, or wait for the end of the restore")
