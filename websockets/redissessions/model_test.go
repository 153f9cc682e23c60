package redissessions

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed47708276/sluice/remote/redismodel"
	"github.com/seed47708276/sluice/remote/redistest"
)

// The scripts of the sessions answer and write the same over redis-server and
// over the model.
func TestScriptsOverModel(t *testing.T) {
	owner := []string{"sluice:{test:7:17}:sessions"}
	hour, forever := time.Hour.Milliseconds(), int64(foreverMillis)
	var steps []redismodel.Step
	call := func(s *redis.Script, keys []string, args ...any) {
		steps = append(steps, redismodel.Step{Script: s, Keys: keys, Args: args})
	}
	call(reserveScript, owner, "s1", 2, hour, forever)
	call(reserveScript, owner, "s1", 2, hour, forever) // once more
	call(reserveScript, owner, "s2", 2, 2*hour, forever)
	call(reserveScript, owner, "s3", 2, hour, forever) // too many
	call(reserveScript, owner, "s3", 0, hour, forever) // no limit
	call(extendScript, owner, "s1", 3*hour)
	call(extendScript, owner, "nothing", hour)
	redismodel.Same(t, redistest.Start(t).Client(), steps, owner...)

	call(reserveScript, owner, "s4", 0, 0, forever) // for ever
	call(extendScript, owner, "s1", 4*hour)
	redismodel.Same(t, redistest.Start(t).Client(), steps, owner...)
}
