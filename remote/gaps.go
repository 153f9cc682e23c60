package remote

import (
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/shared"
)

// askAgain asks a sender for its entries from number on.
func (l *Link) askAgain(origin string, number uint64) {
	l.counts.gaps.Add(1)
	l.postToAllOrLog(parcel{
		Message: Message{Name: kindResend, Args: "[" + strconv.FormatUint(number, 10) + "]", Label: shared.Label{ID: newIncarnation()}}, Kind: kindResend, Ref: origin,
	})
}

// missed counts what will not come any more, and sends the clients away that may
// have been meant: they come back, and know that they have to look for
// themselves.
func (l *Link) missed(origin string, entries uint64) {
	l.sendAway("this member missed messages of another one: it closes its sockets, so that their clients come back and read anew", origin, entries)
}

// sendAway counts entries as missed and closes all sockets.
func (l *Link) sendAway(why, origin string, entries uint64) {
	l.counts.dropped[dropMissed].Add(int64(entries))
	n := l.opts.Deliverer.Abandon()
	l.log.Error(why, slog.String(keyIncarnation, origin), slog.Uint64("entries", entries), slog.Int(keyCount, n))
}

// gaps gives up what nobody is left to send again, and repeats the question for
// the rest.
func (l *Link) gaps(v *view) {
	now := time.Now()
	type loss struct {
		origin  string
		entries uint64
		known   bool
	}
	var lost []loss
	var doubts []string
	ask := map[string]uint64{}
	l.in.mu.Lock()
	for id, s := range l.in.sources {
		m := v.members[id]
		switch {
		case s.gap == 0 && s.doubt && m == nil && l.in.caught.Sub(s.doubtAt) > 2*l.opts.Lease:
			s.doubt = false
			doubts = append(doubts, id)
		case s.gap == 0 && s.told > s.last && m == nil && l.in.caught.Sub(s.toldAt) > 2*l.opts.Lease:
			lost = append(lost, loss{id, s.told - s.last, true})
			s.last = s.told
		case s.gap == 0:
		case (m == nil || !m.alive) && now.Sub(s.since) > 2*l.opts.Lease:
			lost = append(lost, loss{id, s.gap - 1 - s.last, s.taken || m != nil})
			s.last, s.gap = s.gap-1, 0
			l.in.restart = true // what came behind it was not taken
		case now.Sub(s.asked) > resendEvery:
			s.asked, ask[id] = now, s.last+1
		}
	}
	l.in.mu.Unlock()
	for id, number := range ask {
		l.askAgain(id, number)
	}
	for _, id := range doubts { // of one entry, of more or of none
		l.sendAway("this member may have missed messages of another one that has ended, and no member is left that knows: it closes its sockets, so that their clients come back and read anew", id, 1)
	}
	for _, x := range lost {
		if !x.known { // no member that this one has ever seen
			l.counts.dropped[dropMissed].Add(int64(x.entries))
			continue
		}
		l.missed(x.origin, x.entries)
	}
}

// resend posts again what another member has asked for.
func (l *Link) resend(p *parcel) {
	if p.Ref != l.Incarnation() {
		return
	}
	number, err := strconv.ParseUint(strings.Trim(p.Args, "[]"), 10, 64)
	if err != nil {
		l.unreadable("number")
		return
	}
	if now := time.Now(); now.Sub(l.resent) >= resendEvery {
		l.resent = now
		l.counts.resent.Add(int64(l.outbox.rewind(number)))
	}
}
