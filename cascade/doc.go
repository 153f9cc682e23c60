// Package cascade decides what every property is for every user, and why.
//
// An Engine reads the trees of an App Suite administrator, keeps the overrides
// of contexts and users beside them, and resolves each property for a Subject
// through the scopes user, context, contextSets and server, the most specific
// first. Every look-up runs on one immutable Snapshot: readers never lock, and
// never see two loads mixed.
//
// # Errors
//
// Nothing that was good is lost because something else is bad. A file that
// cannot be read or parsed keeps its last good contents; an entry that is
// wrong keeps its last good form; everything else counts. Both are reported
// as findings with file, line and column, and make the status degraded.
//
// # Layout
//
// tree finds, reads and watches files and keeps their last good forms; propfile
// reads and edits .properties files, tagexpr and yamlfile read the YAML ones.
// tables has the directory and the overrides. This package resolves on top of
// both, and its names are all that a program needs. It knows no HTTP, no Redis
// and no sockets.
package cascade
