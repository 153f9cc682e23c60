package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// maxAnswering bounds the questions that this member answers at once. What is
// above is not answered, and says so.
const maxAnswering = 16

// maxErrorText bounds what a member tells of its failure.
const maxErrorText = 200

// asked are the questions of this member that wait for their answers.
type asked struct {
	mu        sync.Mutex
	waiting   map[string]chan<- Answer // by id
	answering int
}

// Ask asks all other members that are alive and returns what each of them has
// answered when all have, or ctx ends. Those that have not have an error.
func (l *Link) Ask(ctx context.Context, op string, body []byte) []Answer {
	me, v := l.Incarnation(), l.view.Load()
	var answers []Answer
	for other, m := range v.members {
		if other != me && m.alive {
			answers = append(answers, Answer{Member: m.Name, Incarnation: other, Err: errNoAnswer})
		}
	}
	slices.SortFunc(answers, func(a, b Answer) int {
		return strings.Compare(a.Member+a.Incarnation, b.Member+b.Incarnation)
	})
	if len(answers) == 0 {
		return nil
	}
	return l.ask(ctx, op, body, answers)
}

// ask fills the answers of the members that they name.
func (l *Link) ask(ctx context.Context, op string, body []byte, answers []Answer) []Answer {
	id := newIncarnation()
	replies := make(chan Answer, len(answers))
	l.asked.mu.Lock()
	l.asked.waiting[id] = replies
	l.asked.mu.Unlock()
	defer func() {
		l.asked.mu.Lock()
		delete(l.asked.waiting, id)
		l.asked.mu.Unlock()
	}()
	missing := 0
	for i := range answers {
		if answers[i].Err = l.put(ctx, answers[i].Incarnation, parcel{
			Message: Message{ID: id, Name: op, Args: asArgs(body)}, Kind: kindAsk,
		}); answers[i].Err == nil {
			answers[i].Err = errNoAnswer
			missing++
		}
	}
	for missing > 0 {
		select {
		case r := <-replies:
			for i := range answers {
				if answers[i].Incarnation == r.Incarnation && errors.Is(answers[i].Err, errNoAnswer) {
					answers[i].Body, answers[i].Err = r.Body, r.Err
					missing--
				}
			}
		case <-ctx.Done():
			return answers
		}
	}
	return answers
}

var errNoAnswer = errors.New("the member has not answered in time")

// asArgs makes a JSON value the arguments of an envelope.
func asArgs(body []byte) string {
	if len(body) == 0 {
		return "[]"
	}
	return "[" + string(body) + "]"
}

// settle hands a reply to its asker, if it still waits.
func (a *asked) settle(p *parcel) {
	reply := Answer{Incarnation: p.Origin}
	var args []json.RawMessage
	switch err := json.Unmarshal([]byte(p.Args), &args); {
	case p.Name != "":
		reply.Err = errors.New(p.Name)
	case err != nil:
		reply.Err = err
	case len(args) > 0:
		reply.Body = args[0]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case a.waiting[p.Ref] <- reply: // a nil channel where nobody waits
	default: // twice, or too late
	}
}

// answer answers the question of another member, beside the reader.
func (l *Link) answer(p *parcel) {
	a := &l.asked
	a.mu.Lock()
	busy := a.answering >= maxAnswering
	if !busy {
		a.answering++
	}
	a.mu.Unlock()
	if busy {
		l.unreadable("busy")
		l.reply(p, nil, errBusy)
		return
	}
	l.work.Go(func() {
		defer func() {
			a.mu.Lock()
			a.answering--
			a.mu.Unlock()
		}()
		var args []json.RawMessage
		err := json.Unmarshal([]byte(p.Args), &args)
		var body []byte
		if err == nil {
			var question []byte
			if len(args) > 0 {
				question = args[0]
			}
			body, err = l.opts.Deliverer.Answer(p.Name, question)
		}
		l.reply(p, body, err)
	})
}

// errBusy answers what is above maxAnswering.
var errBusy = errors.New("the member answers too many questions at once: ask again")

// reply answers a question with a body, or with why there is none.
func (l *Link) reply(p *parcel, body []byte, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
	defer cancel()
	r := parcel{Message: Message{ID: newIncarnation(), Args: asArgs(body)}, Kind: kindReply, Ref: p.ID}
	if err == nil {
		err = l.put(ctx, p.Origin, r)
		if !errors.Is(err, errTooLong) {
			if err != nil {
				l.log.Warn("question of another member is not answered", slog.String(keyOp, p.Name), slog.Any(keyError, err))
			}
			return
		}
	}
	r.Args, r.Name = "[]", strings.ToValidUTF8(fmt.Sprintf("%.*s", maxErrorText, err), "")
	if err := l.put(ctx, p.Origin, r); err != nil {
		l.log.Warn("question of another member is not answered", slog.String(keyOp, p.Name), slog.Any(keyError, err))
	}
}

var errTooLong = errors.New("more than a member may send another")

// tellOne sends a parcel for which nobody waits.
func (l *Link) tellOne(to string, p parcel) {
	ctx, cancel := context.WithTimeout(l.ctx, maxBeatTimeout)
	defer cancel()
	if err := l.put(ctx, to, p); err != nil && !errors.Is(err, errNoInbox) {
		l.troubled()
		l.once(p.Kind, "another member is not told", slog.String(keyKind, p.Kind), slog.String(keyIncarnation, to), slog.Any(keyError, err))
	}
}

// put adds a parcel to an inbox, outside of the order of messages. One that is
// put twice, because Redis was slow to say that it has it, does no harm.
func (l *Link) put(ctx context.Context, to string, p parcel) error {
	me := l.Incarnation()
	text, err := encodeEnvelope(me, &p)
	if err != nil {
		return err
	}
	if len(text) > maxEnvelope {
		return fmt.Errorf("%d bytes: %w (%d)", len(text), errTooLong, maxEnvelope)
	}
	err = l.opts.Client.XAdd(ctx, &redis.XAddArgs{Stream: l.keys.inbox(to), NoMkStream: true, Values: []any{fieldOrigin, me, fieldText, text}}).Err()
	if errors.Is(err, redis.Nil) {
		return errNoInbox
	}
	return err
}
