// Package yamlfile reads the YAML files of the tree: context sets, metadata,
// settings and the directory file.
//
// Files are parsed into nodes only; no library ever decides what type a value
// has. Scalars are text as they stand in the file, so that `1.10`, `010` and
// `12:30` keep their digits; only the unquoted words that YAML 1.1 knows as
// booleans and nulls are given a meaning.
//
// Every reader returns ok=false for a file error (nothing of the file counts)
// and ok=true otherwise; findings with severity error are then entry errors,
// and the entries concerned are marked Invalid.
package yamlfile

import (
	"time"

	"github.com/seed47708276/sluice/cascade/tagexpr"
)

// Value is one scalar. Line and Col count from 1, Col in characters; for the
// value of a property they are the place of the key.
type Value struct {
	Text    string // as in the file; `{{ … }}` tokens are still in it
	Defined bool   // false for ~, null and nothing: "not defined here"
	Token   bool   // Text holds a token: pass it through ReplaceTokens on each load
	Invalid bool   // entry error: do not use Text, the last good form of this entry stays
	Line    int
	Col     int
}

// Property is one property of a block, a meta entry or a settings file.
type Property struct {
	Name  string
	Value Value
}

// Block is one context set.
type Block struct {
	Name string
	Line int // of the name
	Col  int

	// With is the expression's text and the place of its first character.
	With Value
	// Expr is nil when the expression is missing, malformed, or holds a token
	// (With.Token): then the caller replaces the tokens and calls
	// ParseExpression.
	Expr *tagexpr.Expr

	// AddTags are the legal tags of addTags. With AddText.Token the list is
	// empty: the caller replaces the tokens and calls ParseTagList.
	AddTags []string
	AddText Value

	Priority   int // from MinPriority to MaxPriority; higher goes first
	Properties []Property

	// Invalid marks an entry error in the block's head (name, withTags,
	// addTags, priority): the block never matches.
	Invalid bool
}

// MetaEntry is the metadata of one property. A nil member is not in the file,
// or is `~`.
type MetaEntry struct {
	Property       string
	Line           int // of the property
	Col            int
	Final          *Value // scope name, not validated here
	Protected      *bool
	PreferencePath *Value
	Value          *Value
	Other          []Property
	Invalid        bool // entry error: the last good form of the entry stays
}

// Override is one value of a directory file's config map.
type Override struct {
	Property  string
	Value     string
	Final     string // scope name, empty if none, not validated here
	Protected bool
	Reason    string
	Actor     string
	Time      time.Time // zero if not given
	Expires   time.Time // zero if it never expires
	Line      int       // of the property
	Col       int
}

// User is one user of a directory file. ID is 1 to 2147483647.
type User struct {
	ID          int
	Unknown     bool // only overrides are known of the user; true if the file says `known: false`
	Enabled     bool // true unless the file says false
	Permissions []string
	Login       string
	Mails       []string
	DisplayName string
	Config      []Override
	Line        int
}

// Context is one context of a directory file. ID is 1 to 2147483647.
type Context struct {
	ID      int
	Unknown bool // only overrides and users are known of the context; true if the file says `known: false`
	Name    string
	Logins  []string // login mappings
	Enabled bool     // true unless the file says false
	Tags    []string
	Config  []Override
	Users   []User
	Line    int
}

// Limits of one file. What is over a limit of the file is a file error; what
// is over a limit of an entry is an entry error.
const (
	// MaxFile is the size of a file of the tree, in bytes; the largest trees
	// known hold a few hundred KiB in one file.
	MaxFile = 1 << 20
	// MaxDirectoryFile is the size of a directory file, in bytes: a million
	// users with a few overrides each.
	MaxDirectoryFile = 256 << 20
	// MaxDepth is how deep lists and maps may be nested; files of the tree need
	// 2, settings a few more.
	MaxDepth = 32
	// MaxBlocks is the number of context sets in one file: each costs an
	// evaluation per subject.
	MaxBlocks = 10_000
	// MaxKey is the length of a property name or other key, in bytes.
	MaxKey = 512
	// MaxValue is the length of a value, in bytes.
	MaxValue = 256 << 10
	// MaxAliasNodes is the number of nodes that aliases may add to a file when
	// they are followed, so that a small file cannot unfold into a large one.
	MaxAliasNodes = 100_000
	// MinPriority and MaxPriority bound a block's priority: what every integer
	// type of the callers can hold.
	MinPriority = -1 << 31
	MaxPriority = 1<<31 - 1
	// MaxID is the largest context or user id: Java's int.
	MaxID = 1<<31 - 1
)
