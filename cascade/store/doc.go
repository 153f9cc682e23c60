// Package store keeps what administrators have decided in one bbolt file: the
// directory (contexts, users, tombstones), the overrides, the tokens of the
// admin API, and the log of every write, which is the audit log (design.md,
// Cascade and "Store in a cluster"). Sessions of a member that is alone live in
// a bucket of the same file.
//
// A write is acknowledged when it is on the disk: bbolt syncs the pages, then
// the meta page. Writers that come together share one transaction. After a commit
// that failed the file is opened anew, as the last acknowledged write has left
// it: look-ups go on, and writes once the disk has taken the meta pages again.
//
// The file is the record; what look-ups read is the engine's own table, which
// is filled from here and told of each write (Start).
package store
