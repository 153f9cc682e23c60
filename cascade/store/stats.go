package store

import (
	"os"
	"sync/atomic"
	"time"
)

// stats count what metrics show.
type stats struct {
	records  [4]atomic.Int64 // live ones, in the order of Kinds
	writes   atomic.Int64
	commits  atomic.Int64
	failures atomic.Int64
	took     atomic.Int64 // ns of all commits
}

// Stats are numbers of a store since its opening.
type Stats struct {
	Records  map[Kind]int64 // live ones
	Writes   int64
	Commits  int64 // each takes the writes that wait together
	Failures int64
	Took     time.Duration // of all commits
	Bytes    int64         // of the file
	Resyncs  int64         // times that the whole state of the truth was taken over
	Revision uint64
	Failed   bool // writes are refused
}

// Stats returns the numbers.
func (s *Store) Stats() Stats {
	out := Stats{
		Records: make(map[Kind]int64, len(Kinds)), Writes: s.stats.writes.Load(), Commits: s.stats.commits.Load(),
		Failures: s.stats.failures.Load(), Took: time.Duration(s.stats.took.Load()), Revision: s.Head().Revision,
		Resyncs: s.copy.resyncs.Load(),
		Failed:  s.failure.Load() != nil,
	}
	for i, k := range Kinds {
		out.Records[k] = s.stats.records[i].Load()
	}
	if fi, err := os.Stat(s.opt.Path); err == nil {
		out.Bytes = fi.Size()
	}
	return out
}

func (s *stats) observe(writes int, took time.Duration) {
	s.writes.Add(int64(writes))
	s.commits.Add(1)
	s.took.Add(int64(took))
}

func (s *stats) take(e *Entry) {
	for i := range e.Changes {
		s.count(e.Changes[i].Kind, e.Changes[i].Before, e.Changes[i].After)
	}
}

func (s *stats) count(kind Kind, before, after *State) {
	by := int64(0)
	if after != nil && !after.Deleted {
		by++
	}
	if before != nil && !before.Deleted {
		by--
	}
	s.add(kind, by)
}

// add counts live records of a kind.
func (s *stats) add(kind Kind, by int64) {
	for i, k := range Kinds {
		if k == kind {
			s.records[i].Add(by)
		}
	}
}

// Skipped are the keys of records of the truth that are none, for someone
// changed them by hand: everything else counts.
func (s *Store) Skipped() []string {
	if t, ok := s.opt.Truth.(interface{ Skipped() []string }); ok {
		return t.Skipped()
	}
	return []string{}
}
