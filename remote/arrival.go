package remote

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// take delivers an entry that is the next of its sender. What cannot be read is
// counted and skipped.
func (l *Link) take(e redis.XMessage) {
	origin, _ := e.Values[fieldOrigin].(string)
	text, _ := e.Values[fieldText].(string)
	if origin == l.Incarnation() || text == "" && e.Values[fieldNumber] == nil && len(origin) == incarnationLen {
		return // our own, or of wakeReader
	}
	if len(text) > maxChunkBytes+maxEnvelope {
		l.unreadable("size")
		return
	}
	numberText, _ := e.Values[fieldNumber].(string)
	baseText, _ := e.Values[fieldBase].(string)
	number, err1 := strconv.ParseUint(numberText, 10, 64)
	base, err2 := strconv.ParseUint(baseText, 10, 64)
	age, ok := parseAge(e.Values[fieldAge])
	if err1 != nil || err2 != nil || !ok || base == 0 || number < base {
		l.unreadable("number")
		return
	}
	if len(origin) != incarnationLen {
		l.unreadable("origin")
		return
	}
	// What was made before this process started is for none of its sockets. It
	// was posted after that moment plus age, so that nothing else is taken for it.
	if made := time.Now().Add(-age); made.Before(l.started) {
		l.in.pass(origin, number)
		return
	}
	if !l.isNext(origin, number, base) {
		return
	}
	l.late(e.ID)
	i := 0
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			l.takeLine(origin, number, i, []byte(line))
		}
		i++
	}
	// Behind the delivery, since the sender forgets what is acknowledged.
	l.in.mu.Lock()
	if s := l.in.sources[origin]; s != nil {
		s.last, s.taken, s.took = number, true, time.Now()
		s.gap, s.doubt = 0, false
	}
	l.in.mu.Unlock()
}

// parseAge reads how old an entry was when it was posted.
func parseAge(value any) (age time.Duration, ok bool) {
	if value == nil {
		return 0, true
	}
	text, _ := value.(string)
	ms, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(ms) * time.Millisecond, err == nil && ms >= 0 && ms <= maxAge.Milliseconds()
}

// pass notes that the entries of a sender up to number are not for this member.
func (in *inbox) pass(origin string, number uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.sources[origin]
	if s == nil {
		if len(in.sources) >= maxOrigins {
			return
		}
		s = &source{}
		in.sources[origin] = s
	}
	s.last, s.heard = max(s.last, number), time.Now()
	if s.gap <= s.last+1 { // what follows is posted again behind it
		s.gap = 0
	}
}

// isNext reports whether an entry is to be taken: it is not where it was before,
// and where earlier ones are missing, which its sender is then asked for.
func (l *Link) isNext(origin string, number, base uint64) bool {
	now := time.Now()
	l.in.mu.Lock()
	s := l.in.sources[origin]
	if s == nil && l.in.reading && l.view.Load().members[origin] == nil {
		// It may have left before this member joined. What one that is not in the
		// view yet has sent it sends again.
		l.in.mu.Unlock()
		l.counts.repeated.Add(1)
		return false
	}
	if s == nil {
		if len(l.in.sources) >= maxOrigins && !l.in.forget(now) {
			l.in.mu.Unlock()
			l.unreadable("origin")
			return false
		}
		// It has joined later than this member, or its record was lost.
		s = &source{last: base - 1}
		l.in.sources[origin] = s
	}
	s.heard = now
	missed := uint64(0)
	if base > s.last+1 {
		if s.taken {
			missed = base - 1 - s.last
		}
		s.last = base - 1
	}
	next := number == s.last+1
	ask := uint64(0)
	switch {
	case next:
	case number <= s.last:
		l.counts.repeated.Add(1)
	default:
		if s.gap == 0 {
			s.gap, s.since = number, now
		}
		if now.Sub(s.asked) > resendEvery {
			s.asked, ask = now, s.last+1
		}
	}
	l.in.mu.Unlock()
	if missed > 0 {
		l.missed(origin, missed)
	}
	if ask > 0 {
		l.askAgain(origin, ask)
	}
	return next
}

func (l *Link) takeLine(origin string, entry uint64, place int, line []byte) {
	p, err := decodeEnvelope(line)
	switch {
	case errors.Is(err, ErrVersion):
		l.unreadable("version")
		return
	case err != nil:
		l.unreadable("envelope")
		return
	case p.Origin != origin:
		l.unreadable("origin")
		return
	}
	switch p.Kind {
	case kindMessage:
		l.counts.received.Add(1)
		p.Message.Origin, p.Entry, p.Line = origin, entry, place
		if m := l.view.Load().members[origin]; m != nil {
			p.From = m.Name
		}
		if err := l.opts.Deliverer.Deliver(p.Message); err != nil {
			l.unreadable("message")
		}
	case kindReplace:
		l.opts.Deliverer.Replace(p.Context, p.User, p.Name)
	case kindAsk:
		l.answer(p)
	case kindTell:
		l.hearTell(origin, p)
	case kindResend:
		l.resend(p)
	case kindCanary:
		l.hearCanary(origin, p)
	default:
		l.unreadable("kind")
	}
}

// late notes how long an entry was on its way, by the clock of Redis.
func (l *Link) late(id string) {
	ms, _, _ := strings.Cut(id, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return
	}
	lag := time.Since(time.UnixMilli(at)) + time.Duration(l.counts.clock.Load())
	l.counts.lag.observe(max(lag, 0))
}
