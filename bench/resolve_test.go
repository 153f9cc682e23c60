package bench

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/viper"

	"github.com/seed47708276/sluice/cascade"
)

var sink atomic.Int64

// number turns an answer into a count without a branch: the guess of one would
// fail half of the time, and wait for memory each time it does.
func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// BenchmarkResolve measures one look-up of a declared boolean with all four
// scopes populated: a million known users, 10,000 contexts, 200 context sets.
func BenchmarkResolve(b *testing.B) {
	e := open(b, tree(b, 10, 1000, 200))
	fill(b, e, func(i int) bool { return i%2 == 0 })
	h := e.Bool(enabled)
	all := shuffled()
	var own, through []cascade.Subject
	for _, su := range all {
		if i := (int(su.User)-2)*contexts + int(su.Context) - 1; i%2 == 0 {
			own = append(own, su)
		} else {
			through = append(through, su)
		}
	}
	hot := own[0]
	count := func(b *testing.B, limit float64, look func(i int) bool) {
		b.ReportAllocs()
		n := int64(0)
		b.ResetTimer()
		for i := range b.N {
			n += number(look(i))
		}
		sink.Add(n)
		if limit > 0 {
			b.ReportMetric(limit, "limit-ns")
		}
	}
	b.Run("hot by handle", func(b *testing.B) { count(b, 25, func(int) bool { return h.For(hot) }) })
	b.Run("hot by name", func(b *testing.B) {
		count(b, 40, func(int) bool { v, _ := e.Snapshot().Bool(hot, enabled); return v })
	})
	b.Run("hot, falls through", func(b *testing.B) { count(b, 25, func(int) bool { return h.For(through[0]) }) })
	b.Run("all users, shuffled", func(b *testing.B) { count(b, 150, func(i int) bool { return h.For(all[i%len(all)]) }) })
	b.Run("falls through, shuffled", func(b *testing.B) {
		count(b, 150, func(i int) bool { return h.For(through[i%len(through)]) })
	})
	server := open(b, tree(b, 10, 1000, 200))
	fill(b, server, func(i int) bool { return i == 0 })
	hs := server.Bool(enabled)
	b.Run("falls to contextSets or server, shuffled", func(b *testing.B) {
		count(b, 150, func(i int) bool { return hs.For(all[i%len(all)]) })
	})
	b.Run("dependent chain, shuffled", func(b *testing.B) {
		at := 0
		count(b, 0, func(i int) bool {
			v := h.For(all[at])
			at = (at + i) % len(all)
			if v {
				at = (at + 1) % len(all)
			}
			return v
		})
	})
	b.Run("two readers", func(b *testing.B) { readers(b, 2, h, all) })
	b.Run("one reader", func(b *testing.B) { readers(b, 1, h, all) })
}

// readers resolves with n goroutines at once; ns/op is of all look-ups
// together, so two readers should show little more than half of one.
func readers(b *testing.B, n int, h cascade.BoolHandle, all []cascade.Subject) {
	if runtime.NumCPU() < n {
		b.Fatalf("needs %d cores", n)
	}
	var wg sync.WaitGroup
	for r := range n {
		wg.Go(func() {
			k := int64(0)
			for i := r; i < b.N; i += n {
				k += number(h.For(all[i%len(all)]))
			}
			sink.Add(k)
		})
	}
	wg.Wait()
}

// BenchmarkBaseline is what others take for less: one layer, no scopes.
func BenchmarkBaseline(b *testing.B) {
	b.Run("plain map behind an atomic pointer", func(b *testing.B) {
		var p atomic.Pointer[map[string]bool]
		m := map[string]bool{enabled: true, plain: true}
		p.Store(&m)
		n := int64(0)
		for range b.N {
			if (*p.Load())[enabled] {
				n++
			}
		}
		sink.Add(n)
	})
	b.Run("viper", func(b *testing.B) {
		v := viper.New()
		v.Set(enabled, true)
		n := int64(0)
		for range b.N {
			if v.GetBool(enabled) {
				n++
			}
		}
		sink.Add(n)
	})
	b.Run("koanf", func(b *testing.B) {
		k := koanf.New("/")
		if err := k.Load(confmap.Provider(map[string]any{enabled: true}, "/"), nil); err != nil {
			b.Fatal(err)
		}
		n := int64(0)
		for range b.N {
			if k.Bool(enabled) {
				n++
			}
		}
		sink.Add(n)
	})
	b.Run("map of maps, user over context over server", func(b *testing.B) {
		all := shuffled()
		users := make(map[cascade.Subject]map[string]bool, million)
		for _, su := range all {
			users[su] = map[string]bool{enabled: true}
		}
		b.ResetTimer()
		n := int64(0)
		for i := range b.N {
			if users[all[i%len(all)]][enabled] {
				n++
			}
		}
		sink.Add(n)
	})
}

// BenchmarkFirstResolve is the first look-up of a subject whose tags nobody
// had before, with 200 context sets.
func BenchmarkFirstResolve(b *testing.B) {
	e := open(b, tree(b, 10, 1000, 200))
	h := e.Bool(enabled)
	const batch = 10_000
	for from := 0; from < b.N; from += batch {
		b.StopTimer()
		// Every context has a set of brands of its own.
		bt := cascade.Batch{}
		for i := range min(batch, b.N-from) {
			n := from + i
			tags := []string{"webmail"}
			for bit := range 24 {
				if n>>bit&1 == 1 {
					tags = append(tags, "brand"+string(rune('0'+bit/10))+string(rune('0'+bit%10)), "brand"+itoa(bit))
				}
			}
			bt.Contexts = append(bt.Contexts, cascade.Context{ID: uint32(n%cascade.MaxID) + 1, Enabled: true, Tags: tags})
		}
		if err := e.Apply(bt); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for i := range min(batch, b.N-from) {
			h.For(cascade.Subject{Context: uint32((from+i)%cascade.MaxID) + 1, User: 1})
		}
	}
	b.ReportMetric(50_000, "limit-ns")
}
