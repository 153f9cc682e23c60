package remote

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// The log of a cluster is one stream that every member writes what it accepts
// to, and that every member reads whole. Redis only carries it, and may lose any
// part: each entry has a number of its sender's, who keeps it until every other
// member has acknowledged it, and sends it again where one has not.

const (
	// maxChunk and maxChunkBytes bound an entry.
	maxChunk      = 512
	maxChunkBytes = 1 << 20
	// maxLog and maxLogBytes bound the log in Redis: a member that has to read
	// what is not there any more asks its sender for it. minLog entries stay,
	// however large they are.
	maxLog      = 100_000
	minLog      = 64
	maxLogBytes = 64 << 20
	// maxKeptBytes bounds the entries that a sender keeps, beside
	// sluice.remote.maxBuffered.
	maxKeptBytes = 256 << 20

	minRetry = 10 * time.Millisecond
	maxRetry = 500 * time.Millisecond
	// replicaTimeout is how long a sync message waits for a replica.
	replicaTimeout = time.Second
	// resendEvery is the time between two requests for the same entries, and
	// between two answers to such.
	resendEvery = 500 * time.Millisecond
)

// The fields of an entry of the log.
const (
	fieldOrigin = "o" // incarnation of the sender
	fieldNumber = "s" // counts the sender's entries, from 1; what is sent again has the same
	fieldBase   = "b" // the sender keeps its entries from this number on: those before never come again
	fieldText   = "m" // envelopes, one a line
	fieldAge    = "a" // milliseconds since it was made, where it was not posted at once
)

const (
	// minAge is the least age that an entry tells.
	minAge = 100 * time.Millisecond
	// maxAge bounds what is believed: longer is kept by nobody.
	maxAge = 365 * 24 * time.Hour
)

// beginning is the position before all entries.
const beginning = "0-0"

// compareIDs tells which of two ids of entries is first; what is none is before
// all.
func compareIDs(a, b string) int {
	ams, aseq, _ := strings.Cut(a, "-")
	bms, bseq, _ := strings.Cut(b, "-")
	return cmp.Or(compareNumbers(ams, bms), compareNumbers(aseq, bseq))
}

func compareNumbers(a, b string) int {
	x, _ := strconv.ParseUint(a, 10, 64) // 0 for what is none
	y, _ := strconv.ParseUint(b, 10, 64)
	return cmp.Compare(x, y)
}
