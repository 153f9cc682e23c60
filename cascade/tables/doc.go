// Package tables keeps the directory and the overrides: who there is, with which
// tags and permissions, and what a context or a user has of its own. Tables are
// resident and immutable; a change makes others, which share what did not change.
// Names gives properties small numbers, and Memo remembers answers.
//
// It knows no files, and not which scope wins.
package tables
