package cascade

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseRollout(t *testing.T) {
	for tag, want := range map[string]rollout{
		"rollout.autumn.1":                            {"autumn", 1, false},
		"rollout.autumn.100":                          {"autumn", 100, false},
		"rollout.A-b_9.10.context":                    {"A-b_9", 10, true},
		"rollout.10.10":                               {"10", 10, false},
		"rollout.context.5":                           {"context", 5, false},
		"rollout." + strings.Repeat("x", 64) + ".5":   {strings.Repeat("x", 64), 5, false},
		"rollout.autumn.0":                            {},
		"rollout.autumn.101":                          {},
		"rollout.autumn.010":                          {},
		"rollout.autumn.+10":                          {},
		"rollout.autumn.1.5":                          {},
		"rollout.autumn":                              {},
		"rollout..10":                                 {},
		"rollout.autumn.":                             {},
		"rollout.autumn.10.Context":                   {},
		"Rollout.autumn.10":                           {},
		"rollout.au,tumn.10":                          {},
		"rollout.h\u00e9.10":                          {},
		"rollout." + strings.Repeat("x", 65) + ".5":   {},
		"rollout.10.context":                          {},
		"rollout.autumn.99999999999999999999.context": {},
	} {
		got, ok := parseRollout(tag)
		if ok != (want != rollout{}) || ok && got != want {
			t.Errorf("%s: %+v %t, want %+v", tag, got, ok, want)
		}
	}
}

// TestRolloutBucketsNeverChange pins buckets: whoever is in a roll-out must be
// in it with every version, on every machine.
func TestRolloutBucketsNeverChange(t *testing.T) {
	got := []uint32{}
	for _, su := range []Subject{{Context: 1, User: 1}, {Context: 1, User: 2}, {Context: 2, User: 1}, {Context: 1337, User: 17}, {Context: MaxID, User: MaxID}, {Context: 1337, User: 0}} {
		got = append(got, rolloutBucket(rolloutSeed("autumn"), su.Context, su.User), rolloutBucket(rolloutSeed("beta"), su.Context, su.User))
	}
	want := []uint32{4, 100, 45, 63, 88, 95, 69, 82, 56, 13, 86, 14}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestRolloutShares counts a million users: 10,000 contexts of 100. Every
// percent of every name has its share, and no two names choose alike.
func TestRolloutShares(t *testing.T) {
	const names, contexts, users = 20, 10_000, 100
	const share = contexts * users / rolloutBuckets
	buckets := make([][]uint8, names)
	for n := range names {
		seed := rolloutSeed(fmt.Sprintf("name%d", n))
		counts := [rolloutBuckets]int{}
		buckets[n] = make([]uint8, 0, contexts*users)
		for c := range uint32(contexts) {
			for u := range uint32(users) {
				b := rolloutBucket(seed, c+1, u+2)
				counts[b-1]++
				buckets[n] = append(buckets[n], uint8(b))
			}
		}
		chi := 0.0
		for b, count := range counts {
			if d := math.Abs(float64(count-share)) / share; d > 0.05 {
				t.Errorf("name%d, bucket %d: %d users, %.1f %% off", n, b+1, count, 100*d)
			}
			chi += float64((count-share)*(count-share)) / share
		}
		if p := chiSquareP(chi, rolloutBuckets-1); p < 0.001 || p > 0.999 {
			t.Errorf("name%d: chi-square %.1f, p %g", n, chi, p)
		}
	}
	for a := range names {
		for b := range a {
			// 10 by 10 cells, each 10,000 users if neither name tells of the other.
			var cells [10][10]int
			for i := range buckets[a] {
				cells[(buckets[a][i]-1)/10][(buckets[b][i]-1)/10]++
			}
			const expect = contexts * users / 100
			chi := 0.0
			for _, row := range cells {
				for _, n := range row {
					chi += float64((n-expect)*(n-expect)) / expect
				}
			}
			// Of 190 pairs one below 0.001 is no wonder; one in a million is.
			if p := chiSquareP(chi, 99); p < 1e-6 {
				t.Errorf("name%d and name%d: chi-square %.1f, p %g", a, b, chi, p)
			}
		}
	}
}

// chiSquareP is the probability of chi or more with k degrees of freedom, by
// the cube root of Wilson and Hilferty, good to three digits at these k.
func chiSquareP(chi float64, k int) float64 {
	v := 2 / (9 * float64(k))
	return math.Erfc((math.Cbrt(chi/float64(k))-(1-v))/math.Sqrt(2*v)) / 2
}

func TestChiSquareP(t *testing.T) {
	// From a table: the quantiles of 99 degrees of freedom.
	for chi, p := range map[float64]float64{148.23: 0.001, 123.225: 0.05, 98.334: 0.5, 61.137: 0.999} {
		if got := chiSquareP(chi, 99); math.Abs(got-p) > 0.001 {
			t.Errorf("%g: %g, want %g", chi, got, p)
		}
	}
}

// TestRolloutOnlyGrows raises the percentage of a tree step by step: nobody
// who is in leaves.
func TestRolloutOnlyGrows(t *testing.T) {
	for _, suffix := range []string{"", ".context"} {
		dir := t.TempDir()
		in := map[Subject]bool{}
		for percent := 1; percent <= 100; percent++ {
			write(t, dir, "contextSets/a.yml", fmt.Sprintf("new:\n  withTags: rollout.autumn.%d%s\n  feature: on\n", percent, suffix))
			e, err := Open(Options{Roots: []string{dir}, Schema: testSchema(t)})
			must(t, err)
			sn := e.Snapshot()
			for c := range uint32(30) {
				for u := range uint32(10) {
					su := Subject{Context: c + 1, User: u + 1}
					_, ok := sn.Get(su, "feature")
					if in[su] && !ok {
						t.Fatalf("%v left at %d %%", su, percent)
					}
					in[su] = ok
				}
			}
		}
		for su, ok := range in {
			if !ok {
				t.Fatalf("%v is not in at 100 %%", su)
			}
		}
	}
}

// TestManyRollouts has more names than a key can number, so that subjects are
// told apart by their tags alone.
func TestManyRollouts(t *testing.T) {
	dir := t.TempDir()
	var yml strings.Builder
	const names = 70
	for i := range names {
		fmt.Fprintf(&yml, "s%d:\n  withTags: rollout.n%d.50\n  p%d: x\n", i, i, i)
	}
	write(t, dir, "contextSets/a.yml", yml.String())
	e, err := Open(Options{Roots: []string{dir}, Schema: testSchema(t)})
	must(t, err)
	sn := e.Snapshot()
	if _, ok := sn.tree.sets.rolloutKey(Subject{Context: 1, User: 1}); ok {
		t.Fatal("these roll-outs have a number: add more names")
	}
	for u := range uint32(300) {
		su := Subject{Context: 1, User: u + 1}
		for i := range names {
			_, got := sn.Get(su, fmt.Sprintf("p%d", i))
			if _, want := (rollout{fmt.Sprintf("n%d", i), 50, false}).has(su); got != want {
				t.Fatalf("%v, n%d: %t, want %t", su, i, got, want)
			}
		}
	}
}

// BenchmarkRollout compares look-ups of a million users with a roll-out tag and
// with a permission tag in its place, with answers that are remembered (bool)
// and without (text).
// BenchmarkRollout compares look-ups that go through a context set with a
// roll-out tag with those that go through one with another tag, in short turns of
// the same run: rollout/plain is the median of their ratios.
func BenchmarkRollout(b *testing.B) {
	const (
		contexts, users = 10_000, 100
		turn            = 20_000 // look-ups
	)
	var engines []*Engine
	for _, tag := range []string{"ucWebMail", "rollout.autumn.50"} {
		dir := b.TempDir()
		write(b, dir, "contextSets/a.yml", "new:\n  withTags: "+tag+"\n  com.openexchange.websockets.enabled: false\n  com.openexchange.websockets.mode: remember\n")
		e, err := Open(Options{Roots: []string{dir}, Schema: testSchema(b)})
		if err != nil {
			b.Fatal(err)
		}
		batch := Batch{}
		for c := range uint32(contexts) {
			batch.Contexts = append(batch.Contexts, Context{ID: c + 1, Enabled: true})
			for u := range uint32(users) {
				batch.Users = append(batch.Users, User{Context: c + 1, ID: u + 1, Enabled: true, Permissions: []string{"WebMail"}[:u%2]})
			}
		}
		if err := e.Apply(batch); err != nil {
			b.Fatal(err)
		}
		engines = append(engines, e)
	}
	subject := func(i int) Subject {
		n := uint32(uint64(i) * 2654435761 % (contexts * users))
		return Subject{Context: n/users + 1, User: n%users + 1}
	}
	bools := func(e *Engine, from int) {
		h := e.Bool("com.openexchange.websockets.enabled")
		for i := range turn {
			h.For(subject(from + i))
		}
	}
	texts := func(e *Engine, from int) {
		sn := e.Snapshot()
		for i := range turn {
			if v, _ := sn.Get(subject(from+i), "com.openexchange.websockets.mode"); v.Err != nil {
				b.Fatal(v.Err)
			}
		}
	}
	for name, look := range map[string]func(*Engine, int){"bool": bools, "text": texts} {
		b.Run(name, func(b *testing.B) {
			var ratios []float64
			var sum [2]time.Duration
			for i := range b.N {
				var took [2]time.Duration
				for turns := range 2 { // who is first alternates
					at := (i + turns) % 2
					start := time.Now()
					look(engines[at], i*turn)
					took[at] = time.Since(start)
					sum[at] += took[at]
				}
				ratios = append(ratios, float64(took[1])/float64(took[0]))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "rollout/plain")
			b.ReportMetric(float64(sum[0].Nanoseconds())/float64(b.N*turn), "plain-ns")
			b.ReportMetric(float64(sum[1].Nanoseconds())/float64(b.N*turn), "rollout-ns")
		})
	}
}
