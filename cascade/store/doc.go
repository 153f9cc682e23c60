// Package store keeps what administrators have decided: the directory (contexts,
// users, tombstones), the overrides, the tokens of the admin API, and the log of
// every write, which is the audit log. Sessions of a member that is alone live in
// a bucket of the same file.
//
// Where writes are decided is the truth: this member's own bbolt file (alone, or
// as the keeper of a cluster, which a Witness tells), or what a Truth stands for,
// the keeper's file or a database. Of a Truth the file is a copy, which follows it
// by revision: entries are in force when they are taken, and in the file a moment
// later. The rules of a write are the same everywhere (Decide, Seal).
//
// A write of the own file is acknowledged when it is on the disk: bbolt syncs the
// pages, then the meta page. Writers that come together share one transaction.
// After a commit that failed the file is opened anew, as the last acknowledged
// write has left it: look-ups go on, and writes once the disk has taken the meta
// pages again.
//
// What look-ups read is the engine's own table, which is filled from the file
// and told of each write (Start).
package store
