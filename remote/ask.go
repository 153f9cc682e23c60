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
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/redispipe"
	"github.com/seed47708276/sluice/shared"
)

// maxAnswering bounds the questions that this member answers at once. What is
// above is not answered, and says so.
const maxAnswering = 16

// maxErrorText bounds what a member tells of its failure.
const maxErrorText = 200

// asked are the questions of other members that this one answers.
type asked struct {
	mu        sync.Mutex
	answering int
}

// Ask asks all other members that are alive, without some, by their incarnations,
// and returns what each of them has answered when all have, or ctx ends. Those that
// have not have an error.
func (l *Link) Ask(ctx context.Context, op string, body []byte, without ...string) []Answer {
	me, v := l.Incarnation(), l.view.Load()
	var answers []Answer
	for other, m := range v.members {
		if other != me && m.alive && !slices.Contains(without, other) {
			answers = append(answers, Answer{Member: m.Name, Incarnation: other, Err: errNoAnswer})
		}
	}
	slices.SortFunc(answers, func(a, b Answer) int {
		return strings.Compare(a.Member+a.Incarnation, b.Member+b.Incarnation)
	})
	if len(answers) == 0 {
		return nil
	}
	return l.ask(ctx, op, "", body, answers)
}

// ask fills the answers of the members that they name; to is the incarnation of
// the only one, or "" for all.
func (l *Link) ask(ctx context.Context, op, to string, body []byte, answers []Answer) []Answer {
	id, err := newIncarnation(), error(nil)
	p := parcel{Message: Message{Name: op, Args: asArgs(body), Label: shared.Label{ID: id}}, Kind: kindAsk, Ref: to}
	if deadline, ok := ctx.Deadline(); ok {
		p.Expires = l.redisTime().Add(time.Until(deadline)).UnixMilli()
	}
	if l.healthy() {
		err = l.postToAll(p)
	} else {
		err = errNotAsked
	}
	if err != nil {
		for i := range answers {
			answers[i].Err = err
		}
		return answers
	}
	if to != "" {
		answers[0] = l.awaitReply(ctx, id, answers[0])
	} else {
		l.collectReplies(ctx, id, answers)
	}
	return answers
}

const (
	// askPause and maxAskPause are the times between two looks for answers.
	askPause    = 2 * time.Millisecond
	maxAskPause = 50 * time.Millisecond
	// repliesLife removes answers that nobody waits for.
	repliesLife = 30 * time.Second
)

// collectReplies reads what was answered until all have, or ctx ends.
func (l *Link) collectReplies(ctx context.Context, id string, answers []Answer) {
	missing, read, key := len(answers), int64(0), l.keys.replies(id)
	for wait := askPause; missing > 0; wait = min(2*wait, maxAskPause) {
		if !pause(ctx, wait) {
			return
		}
		list, err := l.opts.Client.LRange(ctx, key, read, -1).Result()
		if err != nil {
			continue // until ctx ends
		}
		read += int64(len(list))
		for _, text := range list {
			reply, ok := l.readReply(id, text)
			for i := range answers {
				if ok && answers[i].Incarnation == reply.Incarnation && errors.Is(answers[i].Err, errNoAnswer) {
					answers[i].Body, answers[i].Err = reply.Body, reply.Err
					missing--
				}
			}
		}
	}
	// What is left where this fails has a life.
	_ = l.opts.Client.Del(ctx, key).Err()
}

var (
	errNoAnswer = errors.New("the member has not answered in time")
	errNotAsked = errors.New("the link to Redis does not work: nothing was asked")
)

// asArgs makes a JSON value the arguments of an envelope.
func asArgs(body []byte) string {
	if len(body) == 0 {
		return "[]"
	}
	return "[" + string(body) + "]"
}

// readReply reads what a member has answered to the question id.
func (l *Link) readReply(id, text string) (reply Answer, ok bool) {
	p, err := decodeEnvelope([]byte(text))
	if err != nil || p.Kind != kindReply || p.Ref != id {
		l.unreadable("envelope")
		return reply, false
	}
	reply.Incarnation = p.Origin
	var args []json.RawMessage
	switch err := json.Unmarshal([]byte(p.Args), &args); {
	case p.Name != "":
		reply.Err = errors.New(p.Name)
	case err != nil:
		reply.Err = err
	case len(args) > 0:
		reply.Body = args[0]
	}
	return reply, true
}

// answer answers the question of another member, beside the reader.
func (l *Link) answer(p *parcel) {
	switch {
	case p.Ref != "" && p.Ref != l.Incarnation():
		return
	case p.Expires != 0 && l.redisTime().UnixMilli() > p.Expires:
		// Who has asked was told that there is no answer.
		l.unreadable("late")
		return
	}
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
	r := parcel{Message: Message{Args: asArgs(body), Label: shared.Label{ID: newIncarnation()}}, Kind: kindReply, Ref: p.ID}
	if err == nil {
		err = l.putReply(ctx, p, r)
		if !errors.Is(err, errTooLong) {
			if err != nil {
				l.log.Warn("question of another member is not answered", slog.String(keyOp, p.Name), slog.Any(keyError, err))
			}
			return
		}
	}
	r.Args, r.Name = "[]", strings.ToValidUTF8(fmt.Sprintf("%.*s", maxErrorText, err), "")
	if err := l.putReply(ctx, p, r); err != nil {
		l.log.Warn("question of another member is not answered", slog.String(keyOp, p.Name), slog.Any(keyError, err))
	}
}

var errTooLong = errors.New("more than a member may send another")

// postToAllOrLog posts a parcel for whose failure there is no caller.
func (l *Link) postToAllOrLog(p parcel) {
	if err := l.postToAll(p); err != nil {
		l.once(p.Kind, "the other members are not told", slog.String(keyKind, p.Kind), slog.Any(keyError, err))
	}
}

// putReply adds a reply to those of a question: to a list, or to a stream where one
// member was asked, which waits for it. A reply that is put twice, because Redis was
// slow to say that it has it, counts once.
func (l *Link) putReply(ctx context.Context, asked *parcel, p parcel) error {
	text, err := encodeEnvelope(l.Incarnation(), &p)
	if err != nil {
		return err
	}
	if len(text) > maxEnvelope {
		return fmt.Errorf("%d bytes: %w (%d)", len(text), errTooLong, maxEnvelope)
	}
	pipe, key := l.opts.Client.Pipeline(), l.keys.replies(asked.ID)
	if asked.Ref != "" {
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{fieldText, text}})
	} else {
		pipe.RPush(ctx, key, text)
	}
	pipe.PExpire(ctx, key, repliesLife)
	return redispipe.Exec(ctx, pipe)
}
