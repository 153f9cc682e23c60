package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade/store"
)

const (
	// keeperTimeout bounds what the keeper asks Redis while writers wait.
	keeperTimeout = 3 * time.Second
	// streamEntries and streamLarge bound the entries that Redis keeps for those
	// who follow: of usual ones some megabytes, of large ones, above largeEntry,
	// a few.
	streamEntries = 10_000
	streamLarge   = 20
	largeEntry    = 64 << 10
	// followWait is how long one look for more entries blocks: by themselves
	// members look each second.
	followWait = time.Second
	// awaitedEntries is how many entries one such look brings at most.
	awaitedEntries = 64
)

// Registration of the keeper in Redis: the fields of a hash.
const (
	regID      = "id"
	regTerm    = "term"
	regMember  = "member"
	regHead    = "head"
	regAdopted = "adopted"
)

// Stream fields.
const (
	fieldChain = "chain"
	fieldEntry = "entry"
)

// StoreLink is what the members of a cluster tell each other of their store:
// who keeps it, and its last entries. It is safe for concurrent use.
type StoreLink struct {
	link   *Link
	keeper string // its member's name; "": none, the truth is a database
	log    *slog.Logger
	tidied atomic.Bool
	known  atomic.Pointer[Registered] // what a follower has read last of the keeper; nil: read it
	// arrivals are those of a follower's own writes.
	arrivals arrivals
	asking   sync.WaitGroup // questions to the keeper

	registration, entries, nudge string // keys
	old                          []string
}

// StoreLink returns that of the link's cluster.
func (l *Link) StoreLink(keeper string) *StoreLink {
	tag := "sluice:{" + l.opts.Cluster + ":store}:"
	return &StoreLink{
		link: l, keeper: keeper, log: l.log,
		registration: tag + "keeper", entries: tag + "entries", nudge: tag + "nudge",
		old: []string{tag + "head", tag + "log", tag + "state", tag + "past", tag + "claims"},
	}
}

func (s *StoreLink) client() redis.UniversalClient { return s.link.opts.Client }

// Registered is what Redis says of the keeper.
type Registered struct {
	ID      string
	Term    uint64
	Member  string
	Head    store.Head
	Adopted bool
}

// Registered reads it; ok is false where there is none.
func (s *StoreLink) Registered(ctx context.Context) (r Registered, ok bool, err error) {
	fields, err := s.client().HGetAll(ctx, s.registration).Result()
	if err != nil {
		return r, false, s.mend(ctx, s.registration, err)
	}
	return parseRegistered(fields)
}

func parseRegistered(fields map[string]string) (r Registered, ok bool, err error) {
	if fields[regID] == "" {
		return r, false, nil
	}
	r = Registered{ID: fields[regID], Member: fields[regMember], Adopted: fields[regAdopted] == "1"}
	if r.Term, err = strconv.ParseUint(fields[regTerm], 10, 64); err == nil {
		err = json.Unmarshal([]byte(fields[regHead]), &r.Head)
	}
	if err != nil {
		err = fmt.Errorf("what Redis has of the keeper does not parse: %w", err)
	}
	return r, err == nil, err
}

// mend removes a key that holds something else, and passes the error on.
func (s *StoreLink) mend(ctx context.Context, key string, err error) error {
	return s.link.mend(ctx, key, err)
}

// agreed returns a KeeperError where the members that are alive do not name one
// keeper, or two have its name.
func (s *StoreLink) agreed() error {
	named, me, now := 0, s.link.Incarnation(), time.Now()
	if s.link.opts.Member == s.keeper {
		named++
	}
	for id, m := range s.link.view.Load().members {
		// One that was killed counts as alive until its lease is over, and one
		// whose directory is a file has no store.
		if id == me || !m.alive || now.Sub(m.changed) > s.link.opts.Lease/2 || m.Store == nil {
			continue
		}
		if m.Keeper != s.keeper {
			other := "name " + m.Keeper
			if m.Keeper == "" {
				other = "name none"
			}
			return &store.KeeperError{Reason: fmt.Sprintf("this member's files name %s the keeper (sluice.store.keeper), and those of %s %s: make them agree", s.keeper, m.Name, other)}
		}
		if m.Name == s.keeper {
			named++
		}
	}
	if named > 1 {
		return &store.KeeperError{Reason: fmt.Sprintf("%d live members are called %s: give each its own sluice.remote.member, or wait if one was just restarted", named, s.keeper)}
	}
	return nil
}

// The answers of keeperScript.
const (
	registerOK       = "ok"
	registerOther    = "other"    // another history is registered
	registerOutdated = "outdated" // a later term is
	registerTaken    = "taken"    // another member is, in this term
)

// keeperScript registers the keeper, and takes entries for those who follow.
// The stream is whole from its first entry to the head, or is not there.
// KEYS registration, entries; ARGV id, term, member, head, adopted, limit, first
// revision, count, then for each entry id, chain, text.
var keeperScript = redis.NewScript(`
local id = redis.call('HGET', KEYS[1], 'id')
local term = tonumber(redis.call('HGET', KEYS[1], 'term') or '0')
if id and id ~= ARGV[1] then return {'other', id, redis.call('HGET', KEYS[1], 'member')} end
if id and term > tonumber(ARGV[2]) then return {'outdated', tostring(term), redis.call('HGET', KEYS[1], 'member')} end
if id and term == tonumber(ARGV[2]) and redis.call('HGET', KEYS[1], 'member') ~= ARGV[3] then
  return {'taken', tostring(term), redis.call('HGET', KEYS[1], 'member')}
end
local n = tonumber(ARGV[8])
if redis.call('TYPE', KEYS[2]).ok ~= 'stream' then redis.call('DEL', KEYS[2]) end
if n > 0 then
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
  if #last > 0 and tonumber(string.match(last[1][1], '^%d+')) ~= tonumber(ARGV[7]) - 1 then redis.call('DEL', KEYS[2]) end
  for i = 0, n - 1 do
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], ARGV[9 + 3 * i], 'chain', ARGV[10 + 3 * i], 'entry', ARGV[11 + 3 * i])
  end
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'term', ARGV[2], 'member', ARGV[3], 'head', ARGV[4], 'adopted', ARGV[5])
return {'ok'}`)

// adoptScript registers a keeper in a later term, where the registration is
// still the one that was looked at. ARGV expected id and term (” and '0': none),
// then id, term, member, head, adopted.
var adoptScript = redis.NewScript(`
local id = redis.call('HGET', KEYS[1], 'id') or ''
local term = redis.call('HGET', KEYS[1], 'term') or '0'
if id ~= ARGV[1] or term ~= ARGV[2] then return 0 end
if id ~= ARGV[3] then redis.call('DEL', KEYS[2]) end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'id', ARGV[3], 'term', ARGV[4], 'member', ARGV[5], 'head', ARGV[6], 'adopted', ARGV[7])
return 1`)

func digit(yes bool) string {
	if yes {
		return "1"
	}
	return "0"
}

func entryID(revision uint64) string { return strconv.FormatUint(revision, 10) + "-0" }

// Ready implements store.Witness for the keeper.
func (s *StoreLink) Ready(id store.Identity, head store.Head) error {
	if err := s.agreed(); err != nil {
		return err
	}
	if id.Copy {
		return &store.KeeperError{Reason: fmt.Sprintf("this member is named the keeper, and its store is a copy of %s: say that it counts (sluice store adopt)", id.Of)}
	}
	return s.register(id, head, nil)
}

// Confirm implements store.Witness.
func (s *StoreLink) Confirm(id store.Identity, head store.Head, entries []store.Sealed) error {
	return s.register(id, head, entries)
}

func (s *StoreLink) register(id store.Identity, head store.Head, entries []store.Sealed) error {
	ctx, cancel := context.WithTimeout(context.Background(), keeperTimeout)
	defer cancel()
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	first, limit := uint64(0), streamEntries
	args := make([]any, 0, 8+3*len(entries))
	for i := range entries {
		if i == 0 {
			first = entries[i].Revision
		}
		if len(entries[i].Text) > largeEntry {
			limit = streamLarge
		}
	}
	args = append(args, id.ID, id.Term, s.keeper, text, digit(id.Adopted), limit, first, len(entries))
	for i := range entries {
		e := &entries[i]
		args = append(args, entryID(e.Revision), e.Chain.String(), e.Text)
	}
	answer, err := keeperScript.Run(ctx, s.client(), []string{s.registration, s.entries}, args...).StringSlice()
	if err != nil {
		return &store.UnavailableError{Err: fmt.Errorf("Redis, which tells that this member keeps the store: %w", s.mend(ctx, s.registration, err))}
	}
	switch answer[0] {
	case registerOK:
		s.tidy(ctx)
		return nil
	case registerOther:
		return &store.KeeperError{Reason: fmt.Sprintf("the cluster has the store %.8s, kept by %s, and this member's file is another, %.8s: put the right file in its place, or say that this one counts (sluice store adopt)", answer[1], answer[2], id.ID)}
	case registerOutdated:
		return &store.KeeperError{Reason: fmt.Sprintf("the keeper is %s since term %s, and this member is that of term %d: correct sluice.store.keeper here and start again", answer[2], answer[1], id.Term)}
	}
	return &store.KeeperError{Reason: fmt.Sprintf("in term %s the keeper is %s: say that this member's file counts (sluice store adopt), or correct sluice.store.keeper", answer[1], answer[2])}
}

// tidy removes, once, what earlier versions kept in Redis.
func (s *StoreLink) tidy(ctx context.Context) {
	if s.tidied.Swap(true) {
		return
	}
	if err := s.client().Unlink(ctx, s.old...).Err(); err != nil {
		s.tidied.Store(false)
		s.log.Warn("keys of the store that an earlier version made in Redis are not removed yet", slog.Any(keyError, err))
	}
}

// Adopt registers a file as the truth in a term after all that Redis knows of.
// It returns the identity that the file is to have.
func (s *StoreLink) Adopt(ctx context.Context, id store.Identity, head store.Head) (store.Identity, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return id, err
	}
	now, ok, err := s.Registered(ctx)
	if err != nil {
		return id, err
	}
	expected, term := "", uint64(0)
	if ok {
		expected, term = now.ID, now.Term
	}
	next := store.Identity{ID: id.ID, Term: max(term, id.Term) + 1, Adopted: true}
	if next.ID == "" {
		next.ID = store.NewRequest()
	}
	n, err := adoptScript.Run(ctx, s.client(), []string{s.registration, s.entries}, expected, term, next.ID, next.Term, s.keeper, text, "1").Int()
	if err != nil {
		return id, err
	}
	if n == 0 {
		return id, errors.New("another member was made the keeper meanwhile: look again")
	}
	s.tidy(ctx)
	return next, nil
}

// Nudge tells the other members of a revision, so that they look at once. One
// that is lost costs them a second.
func (s *StoreLink) Nudge(ctx context.Context, revision uint64) error {
	return s.client().XAdd(ctx, &redis.XAddArgs{Stream: s.nudge, MaxLen: 1, Values: []any{"revision", revision}}).Err()
}

// AwaitNudge returns the revision of a nudge after the one with the id last, or 0
// when none comes within a second. It returns the id to go on with.
func (s *StoreLink) AwaitNudge(ctx context.Context, last string) (revision uint64, id string) {
	if last == "" {
		last = beginning
	}
	streams, err := s.await(ctx, s.nudge, last)
	if err != nil || len(streams) == 0 || len(streams[0].Messages) == 0 {
		return 0, last
	}
	m := streams[0].Messages[len(streams[0].Messages)-1]
	text, _ := m.Values["revision"].(string)
	revision, _ = strconv.ParseUint(text, 10, 64) // 0: look
	return revision, m.ID
}

func (s *StoreLink) await(ctx context.Context, key, last string) ([]redis.XStream, error) {
	reading, cancel := context.WithTimeout(ctx, followWait+readSlack)
	defer cancel()
	streams, err := s.client().XRead(reading, &redis.XReadArgs{Streams: []string{key, last}, Count: awaitedEntries, Block: followWait}).Result()
	if err == nil || errors.Is(err, redis.Nil) {
		return streams, nil
	}
	err = s.mend(reading, key, err)
	pause(ctx, followWait)
	return nil, err
}

// Missing are the entries that the cluster has acknowledged after a state, as
// far as Redis has them: those that a keeper which stands still cannot be asked
// for any more. whole is true where they lead to the last one, or the file is
// another history than the cluster's.
func (s *StoreLink) Missing(ctx context.Context, id store.Identity, at store.Head) (list []store.Sealed, whole bool, err error) {
	reg, ok, err := s.Registered(ctx)
	if err != nil || !ok || reg.ID != id.ID || reg.Head == at || reg.Head.Revision < at.Revision {
		return nil, true, err
	}
	for {
		messages, err := s.client().XRangeN(ctx, s.entries, entryID(at.Revision+1), "+", answerEntries).Result()
		if err != nil {
			return list, false, s.mend(ctx, s.entries, err)
		}
		more := streamed(messages, at)
		if len(more) == 0 {
			return list, at == reg.Head, nil
		}
		list, at = append(list, more...), more[len(more)-1].Head()
	}
}
