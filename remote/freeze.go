package remote

import (
	"math"
	"time"

	"github.com/seed47708276/sluice/shared"
)

// State is what a process has to know of a link to go on as the same member, under
// the same incarnation: the others notice nothing. Times are since a moment that
// both processes know; never stands for none.
type State struct {
	Incarnation string
	Started     time.Duration

	Entries         []EntryState // that another member may lack
	Next, Confirmed uint64
	Posted          int
	Before          int64
	Create          bool

	Position, Newest         string
	Restart, Reading, Failed bool
	Caught, Read             time.Duration
	Sources                  map[string]SourceState

	Beat, BeatConfirmed int64
	BeatAt, Joined      time.Duration
	Looked              time.Duration
	Members             map[string]SeenState

	Counts, Floors []int64 // of the buckets
	Removals       []RemovalState
}

// RemovalState is a registration that is to be removed.
type RemovalState struct {
	ID                  string
	Context, User       int32 // as gob has them since 0.9.0, which tells them from unsigned numbers
	Connection, Session string
}

// EntryState is an entry of this member.
type EntryState struct {
	Text    []byte
	Made    time.Duration
	Count   int
	Through int64
}

// SourceState is a sender, as this member has heard it.
type SourceState struct {
	Last, Gap, Told                     uint64
	Taken, Doubt                        bool
	Since, Heard, Took, DoubtAt, ToldAt time.Duration
}

// SeenState is another member, as this one sees it.
type SeenState struct {
	Record                 record
	Alive                  bool
	Changed, Lost, Missing time.Duration
	Acked                  uint64
	Moved                  time.Duration
}

// never is the time that nothing has happened at.
const never time.Duration = math.MinInt64

func since(zero, t time.Time) time.Duration {
	if t.IsZero() {
		return never
	}
	return t.Sub(zero)
}

func moment(zero time.Time, d time.Duration) time.Time {
	if d == never {
		return time.Time{}
	}
	return zero.Add(d)
}

// Halt has what waits for other members stay where State finds it, also where Redis
// does not take it. It is called when Run has returned and nobody sends any more.
func (l *Link) Halt() {
	l.outbox.halt()
	l.buffer.Close()
}

// State is that of a link that is halted, with times since zero. The link is of no
// use afterwards.
func (l *Link) State(zero time.Time) *State {
	s := &State{Incarnation: l.incarnation, Started: since(zero, l.started), Sources: map[string]SourceState{}, Members: map[string]SeenState{}}

	o := &l.outbox
	o.mu.Lock()
	for _, e := range o.entries {
		s.Entries = append(s.Entries, EntryState{e.text, since(zero, e.made), e.count, e.through})
	}
	s.Next, s.Confirmed, s.Posted, s.Before, s.Create = o.next, o.confirmed, o.posted, o.before, o.create
	o.mu.Unlock()

	in := &l.in
	in.mu.Lock()
	s.Position, s.Newest, s.Restart, s.Reading, s.Failed = in.position, in.newest, in.restart, in.reading, in.failed
	s.Caught, s.Read = since(zero, in.caught), since(zero, in.read)
	for id, x := range in.sources {
		s.Sources[id] = SourceState{
			x.last, x.gap, x.told, x.taken, x.doubt,
			since(zero, x.since), since(zero, x.heard), since(zero, x.took), since(zero, x.doubtAt), since(zero, x.toldAt),
		}
	}
	in.mu.Unlock()

	b := &l.beats
	b.mu.Lock()
	s.Beat, s.BeatConfirmed, s.BeatAt, s.Joined = b.number, b.confirmed, since(zero, b.at), since(zero, b.joined)
	b.mu.Unlock()
	v := l.view.Load()
	s.Looked = since(zero, v.at)
	for id, m := range v.members {
		s.Members[id] = SeenState{m.record, m.alive, since(zero, m.changed), since(zero, m.lost), since(zero, m.missing), m.acked, since(zero, m.moved)}
	}

	told := l.shelves.read()
	s.Counts, s.Floors = told.counts[:], told.floors[:]
	l.gone.mu.Lock()
	for _, r := range l.gone.list {
		s.Removals = append(s.Removals, RemovalState{r.ID, int32(r.Context), int32(r.User), r.Connection, r.Session})
	}
	l.gone.mu.Unlock()
	return s
}

// thaw has a new link go on with a state.
func (l *Link) thaw(s *State, zero time.Time) {
	l.incarnation, l.started = s.Incarnation, moment(zero, s.Started)

	o := &l.outbox
	o.next, o.confirmed, o.posted, o.before, o.create = s.Next, s.Confirmed, s.Posted, s.Before, s.Create
	for i, e := range s.Entries {
		o.entries = append(o.entries, &outEntry{
			number: s.Next - uint64(len(s.Entries)-i), text: e.Text, made: moment(zero, e.Made), count: e.Count, through: e.Through,
		})
		o.messages += e.Count
		o.bytes += len(e.Text)
	}
	signal(o.wake)

	in := &l.in
	in.position, in.newest, in.restart, in.reading, in.failed = s.Position, s.Newest, s.Restart, s.Reading, s.Failed
	in.caught, in.read = moment(zero, s.Caught), moment(zero, s.Read)
	for id, x := range s.Sources {
		in.sources[id] = &source{
			last: x.Last, gap: x.Gap, told: x.Told, taken: x.Taken, doubt: x.Doubt,
			since: moment(zero, x.Since), heard: moment(zero, x.Heard), took: moment(zero, x.Took),
			doubtAt: moment(zero, x.DoubtAt), toldAt: moment(zero, x.ToldAt),
		}
	}

	b := &l.beats
	b.number, b.confirmed, b.at, b.joined = s.Beat, s.BeatConfirmed, moment(zero, s.BeatAt), moment(zero, s.Joined)
	b.ok = s.BeatConfirmed > 0 && s.BeatConfirmed == s.Beat
	v := &view{at: moment(zero, s.Looked), members: make(map[string]*seen, len(s.Members))}
	for id, m := range s.Members {
		v.members[id] = &seen{
			record: m.Record, alive: m.Alive, changed: moment(zero, m.Changed), lost: moment(zero, m.Lost), missing: moment(zero, m.Missing),
			acked: m.Acked, moved: moment(zero, m.Moved), nudged: moment(zero, m.Moved),
		}
	}
	l.view.Store(v)

	copy(l.shelves.counts[:], s.Counts)
	copy(l.shelves.floors[:], s.Floors)
	for _, r := range s.Removals {
		l.gone.list = append(l.gone.list, shared.Registration{ID: r.ID, Context: uint32(r.Context), User: uint32(r.User), Connection: r.Connection, Session: r.Session})
	}
	if len(s.Removals) > 0 {
		signal(l.gone.wake)
	}
	// A command may have been on its way whose answer nobody has read.
	l.gone.forgot.Store(true)
	signal(l.rebuild)
}
