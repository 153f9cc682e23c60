package remote

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/seed47708276/sluice/shared"
)

// maxTell bounds what a member tells with one Tell, with room for the envelope.
const maxTell = maxEnvelope / 2

// Tell tells all other members something, once and in order, as far as they live;
// body is JSON. Each hears it through Deliverer.Told. Nobody answers, and a member
// that joins later does not hear it.
func (l *Link) Tell(op string, body []byte) {
	if len(body) > maxTell {
		l.log.Error("too long to be told to the other members", slog.String(keyOp, op), slog.Int("bytes", len(body)))
		return
	}
	args := make([]byte, 0, len(body)+2)
	args = append(append(append(args, '['), body...), ']')
	l.postToAllOrLog(parcel{Message: Message{Name: op, Args: string(args), Label: shared.Label{ID: newIncarnation()}}, Kind: kindTell})
}

// hearTell takes what another member tells.
func (l *Link) hearTell(origin string, p *parcel) {
	var list []json.RawMessage
	if json.Unmarshal([]byte(p.Args), &list) != nil || len(list) != 1 {
		l.unreadable("tell")
		return
	}
	l.opts.Deliverer.Told(origin, p.Name, list[0])
}

// Taken are the numbers up to which this member has taken the entries of others.
func (l *Link) Taken() map[string]uint64 {
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	taken := make(map[string]uint64, len(l.in.sources))
	for id, s := range l.in.sources {
		taken[id] = s.last
	}
	return taken
}

// catchUpStep is how often CatchUp looks. The reader takes what is there within
// some milliseconds.
const catchUpStep = 2 * time.Millisecond

// CatchUp returns when this member has read all that was in the log when it was
// called, or false when ctx ends first or Redis does not answer.
func (l *Link) CatchUp(ctx context.Context) bool {
	newest, err := l.opts.Client.XRevRangeN(ctx, l.keys.log(), "+", "-", 1).Result()
	if err != nil {
		return false
	}
	if len(newest) == 0 {
		return true
	}
	for compareIDs(l.in.at(), newest[0].ID) < 0 {
		if !pause(ctx, catchUpStep) {
			return false
		}
	}
	return true
}

// LastTaken is what another member had taken of the entries of each sender, one beat
// before the last that is known of it, and when that was: what it has acknowledged
// with its last beat may have been on the way to its clients when it died. An
// incarnation that is not known any more is not ok.
func (l *Link) LastTaken(incarnation string) (taken map[string]uint64, at time.Time, alive, ok bool) {
	m := l.view.Load().members[incarnation]
	if m == nil {
		return nil, time.Time{}, false, false
	}
	if m.arrivedAt.IsZero() {
		return nil, m.changed, m.alive, true
	}
	return m.arrived, m.arrivedAt, m.alive, true
}

// Posted returns when Redis has all that was told and sent until now, when ctx
// ends, or after ackPatience.
func (l *Link) Posted(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ackPatience)
	defer cancel()
	l.outbox.mu.Lock()
	last := l.outbox.next - 1
	l.outbox.mu.Unlock()
	l.awaitPosted(ctx, last)
}

// awaitPosted returns when Redis has had the entry, or ctx or the link ends.
func (l *Link) awaitPosted(ctx context.Context, number uint64) bool {
	for l.outbox.last() < number {
		t := time.NewTimer(catchUpStep)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		case <-l.ctx.Done():
			t.Stop()
			return false
		}
	}
	return true
}
