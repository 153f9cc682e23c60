package remote

import (
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/cascade/store"
)

// A group is settled when the stream has all of its entries, in whatever parts they
// come; what others wrote is left to who follows, and ends nothing.
func TestArrivals(t *testing.T) {
	head := store.Head{}
	sealed := func(request string) store.Sealed {
		x, err := store.Seal(head, &store.Write{Actor: "x", Action: "a", Request: request}, []store.Changed{})
		if err != nil {
			t.Fatal(err)
		}
		head = x.Head()
		return x
	}
	message := func(x store.Sealed) redis.XMessage {
		return redis.XMessage{
			ID:     strconv.FormatUint(x.Revision, 10) + "-0",
			Values: map[string]any{fieldEntry: string(x.Text), fieldChain: x.Chain.String()},
		}
	}
	group := func(requests ...string) (list []*store.Proposal) {
		for _, r := range requests {
			list = append(list, &store.Proposal{Write: &store.Write{Actor: "x", Action: "a", Request: r}})
		}
		return list
	}
	var a arrivals
	one, two, other, three := sealed("1"), sealed("2"), sealed("other"), sealed("3")
	if a.take([]redis.XMessage{message(one)}) != 0 {
		t.Error("nobody waits, and an entry is taken")
	}

	g := group("1", "2")
	w := a.await(g)
	if last := a.take([]redis.XMessage{message(one)}); last != 1 {
		t.Errorf("after the first: %d", last)
	}
	select {
	case <-w.all:
		t.Error("one is missing, and the group is settled")
	default:
	}
	if last := a.take([]redis.XMessage{message(two), message(other)}); last != 0 {
		t.Errorf("with one of another's: %d", last)
	}
	<-w.all
	w.settle(g)
	if made := w.made(); len(made) != 2 || g[0].Entry.Revision != 1 || g[1].Entry.Revision != 2 || g[0].Err != nil {
		t.Errorf("%d made, %+v", len(made), g)
	}
	a.read()

	// What does not follow is not among what was made: it has to be asked for.
	g = group("2", "3")
	w = a.await(g)
	a.take([]redis.XMessage{message(three), message(two)})
	<-w.all
	w.settle(g)
	if made := w.made(); len(made) != 1 || made[0].Revision != 2 || g[1].Entry.Revision != 4 {
		t.Errorf("%d made, %+v", len(made), g)
	}
	a.read()

	// A name that was used for another write is no answer to this one.
	g = group("1")
	g[0].Write.Reason = "another"
	w = a.await(g)
	a.take([]redis.XMessage{message(one)})
	<-w.all
	if w.settle(g); g[0].Err == nil {
		t.Error("another write of the same name is taken for it")
	}
	a.read()

	// One that does not parse is left to who follows.
	w = a.await(group("1"))
	bad := message(one)
	bad.Values[fieldEntry] = "{"
	if last := a.take([]redis.XMessage{bad}); last != 0 || len(w.entries) != 0 {
		t.Errorf("%d %v", last, w.entries)
	}
	a.end(w)
	for range maxUnread - 1 {
		a.await(group("1"))
	}
	if a.await(group("1")) != nil {
		t.Error("more answers are unread than may be")
	}
}
