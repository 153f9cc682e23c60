package remote

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxInline is the longest body that goes through the log, which all members
	// read; what is longer is compressed into a key of its own, of which the log has
	// the name.
	maxInline = 16 << 10
	// maxBody bounds such a body, uncompressed: a write has 16 MiB at most, and
	// twice that as JSON within JSON.
	maxBody = 64 << 20
	// bodyLife removes such a key: whoever was to read it has given up.
	bodyLife = time.Minute
)

// errNotThere is returned by AskMember where nothing was sent.
var errNotThere = errors.New("it is not among the members that are alive")

// AskMember asks one member by its name. An error that is errNotThere or
// errNotAsked says that nothing was asked; one that is a Refusal comes from that
// member; after any other it is not known what has become of the question.
func (l *Link) AskMember(ctx context.Context, name, op string, body []byte) ([]byte, error) {
	m := l.freshest(name)
	if m == nil {
		return nil, fmt.Errorf("the member %s: %w", name, errNotThere)
	}
	body, err := l.shelve(ctx, body)
	if err != nil {
		return nil, fmt.Errorf("the member %s: %w: %w", name, errNotThere, err)
	}
	answers := l.ask(ctx, op, m.Incarnation, body, []Answer{{Member: name, Incarnation: m.Incarnation, Err: errNoAnswer}})
	if err := answers[0].Err; err != nil {
		return nil, fmt.Errorf("the member %s: %w", name, err)
	}
	return l.unshelve(ctx, answers[0].Body)
}

// replyBlock is how long one look for the reply of one member waits: ctx does not
// end it.
const replyBlock = 100 * time.Millisecond

// awaitReply waits for what the only member that was asked has answered, until ctx
// ends.
func (l *Link) awaitReply(ctx context.Context, id string, a Answer) Answer {
	key, after := l.keys.replies(id), beginning
	for ctx.Err() == nil {
		streams, err := l.opts.Client.XRead(ctx, &redis.XReadArgs{Streams: []string{key, after}, Count: 1, Block: replyBlock}).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil || len(streams) != 1 || len(streams[0].Messages) == 0 {
			pause(ctx, maxAskPause)
			continue
		}
		m := streams[0].Messages[0]
		after = m.ID
		text, _ := m.Values[fieldText].(string)
		if reply, ok := l.readReply(id, text); ok && reply.Incarnation == a.Incarnation {
			a.Body, a.Err = reply.Body, reply.Err
			return a // the key has a life
		}
	}
	return a
}

// freshest is the live process of a name, the one that was heard last.
func (l *Link) freshest(name string) *seen {
	me := l.Incarnation()
	var best *seen
	for id, m := range l.view.Load().members {
		if m.Name == name && m.alive && id != me && (best == nil || m.changed.After(best.changed)) {
			best = m
		}
	}
	return best
}

// shelved is the body of what is in a key.
type shelved struct {
	Key string `json:"$shelved"`
}

func (l *Link) bodyKey() string { return "sluice:{" + l.opts.Cluster + ":body}:" + newIncarnation() }

// shelve puts a long body into a key.
func (l *Link) shelve(ctx context.Context, body []byte) ([]byte, error) {
	if len(body) <= maxInline {
		return body, nil
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%d bytes: %w (%d)", len(body), errTooLong, maxBody)
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err = z.Write(body); err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, err
	}
	key := l.bodyKey()
	if err := l.opts.Client.Set(ctx, key, b.Bytes(), bodyLife).Err(); err != nil {
		return nil, err
	}
	return json.Marshal(shelved{key})
}

// unshelve reads a body that shelve may have put into a key.
func (l *Link) unshelve(ctx context.Context, body []byte) ([]byte, error) {
	var s shelved
	if len(body) > maxName || !bytes.Contains(body, []byte(`"$shelved"`)) || json.Unmarshal(body, &s) != nil {
		return body, nil
	}
	if !strings.HasPrefix(s.Key, "sluice:{"+l.opts.Cluster+":body}:") {
		return nil, errors.New("the key of the body is not one of this cluster's")
	}
	text, err := l.opts.Client.Get(ctx, s.Key).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, errors.New("a body is not there any more")
	case err != nil:
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	long, err := io.ReadAll(io.LimitReader(z, maxBody+1))
	if err == nil && len(long) > maxBody {
		err = errTooLong
	}
	return long, err
}
