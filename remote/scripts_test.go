package remote

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redismodel"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/shared"
)

// The scripts of the registry and of the keeper answer and write the same over
// redis-server and over the model: what the schedules find is true.
func TestScriptsOverModel(t *testing.T) {
	const (
		a, b     = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
		one, two = "1111111111111111", "2222222222222222" // sessions
	)
	k := keys{"test"}
	bucket := []string{k.bucket(1)}
	registration := func(id, connection, session string) *shared.Registration {
		return &shared.Registration{ID: id, Context: 1, User: 5, Connection: connection, Session: session}
	}
	var steps []redismodel.Step
	call := func(s *redis.Script, keys []string, args ...any) {
		steps = append(steps, redismodel.Step{Script: s, Keys: keys, Args: args})
	}
	register := func(me, id, connection, session string, limit, floor int, dead ...any) {
		r := registration(id, connection, session)
		call(registerScript, bucket, append([]any{fieldOf(r), counter(me), valueOf(r, me), id, me, session, connection, limit, floor}, dead...)...)
	}
	put := func(me, id, connection, session string, floor int) {
		r := registration(id, connection, session)
		call(putScript, bucket, fieldOf(r), counter(me), valueOf(r, me), id, floor)
	}
	remove := func(me, id string, floor int) {
		call(removeScript, bucket, fieldOf(registration(id, "", one)), counter(me), id, floor)
	}
	register(a, "s1", "x", one, 3, 0)
	register(a, "s1", "x", one, 3, 1) // once more
	register(b, "s2", "x", one, 3, 0) // takes over
	register(b, "s3", "x", two, 3, 1) // a duplicate
	register(a, "s4", "y", two, 3, 2)
	register(a, "s5", "", two, 3, 7)
	register(b, "s6", "z", two, 3, 1)    // too many
	register(b, "s7", "z", two, 3, 1, a) // a is dead
	put(a, "s8", "w", two, 20)
	put(a, "s8", "w", two, 21)
	put(b, "s4", "other", one, 0)
	remove(a, "nothing", 3)
	remove(a, "s8", 40)
	remove(b, "s2", 2)
	call(purgeScript, bucket, fieldOf(registration("", "", one)), a)
	call(purgeScript, bucket, "9:9", a)
	// What is no list of registrations.
	call(redis.NewScript(`return redis.call('HSET', KEYS[1], '1:6', 'rubbish')`), bucket)
	call(putScript, bucket, "1:6", counter(a), valueOf(registration("s9", "c", one), a), "s9", 0)

	keeper := []string{k.shared("keeper"), k.shared("entries")}
	head := `{"revision":2}`
	call(keeperScript, keeper, "id1", 1, "m0", head, "0", 100, 1, 2, "1-0", "c1", "e1", "2-0", "c2", "e2")
	call(keeperScript, keeper, "id1", 1, "m0", head, "0", 100, 3, 1, "3-0", "c3", "e3")
	call(keeperScript, keeper, "id1", 1, "m0", head, "0", 100, 9, 1, "9-0", "c9", "e9") // a gap
	call(keeperScript, keeper, "id1", 1, "m1", head, "0", 100, 10, 0)                   // taken
	call(keeperScript, keeper, "id2", 1, "m1", head, "0", 100, 10, 0)                   // another history
	call(adoptScript, keeper, "id1", "5", "id1", 2, "m1", head, "1")                    // looked at another
	call(adoptScript, keeper, "id1", "1", "id1", 2, "m1", head, "1")
	call(keeperScript, keeper, "id1", 1, "m0", head, "0", 100, 10, 0) // outdated
	call(adoptScript, keeper, "id1", "2", "id2", 3, "m1", head, "1")

	real := redistest.Start(t)
	redismodel.Same(t, real.Client(), steps, bucket[0], keeper[0], keeper[1])
}
