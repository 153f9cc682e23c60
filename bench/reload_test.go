package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// BenchmarkReload measures a whole reload, reading included: 500 files, 50,000
// properties, 200 context sets.
func BenchmarkReload(b *testing.B) {
	dir := tree(b, 500, 50_000, 200)
	e := open(b, dir)
	reload := func(b *testing.B) {
		if _, err := e.Reload(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("nothing changed", func(b *testing.B) {
		timed(b, func(int) {}, reload)
		b.ReportMetric(50, "limit-ms")
	})
	one := func(dir string) func(i int) {
		return func(i int) {
			save(b, filepath.Join(dir, "zz.properties"), fmt.Sprintf("%s=%t\n", plain, i%2 == 0))
		}
	}
	b.Run("one file changed", func(b *testing.B) {
		timed(b, one(dir), reload)
		b.ReportMetric(250, "limit-ms")
	})
	b.Run("every file changed", func(b *testing.B) {
		timed(b, func(i int) { touchAll(b, dir, i) }, reload)
		b.ReportMetric(250, "limit-ms")
	})
	b.Run("one of 5000 files", func(b *testing.B) {
		dir := tree(b, 5000, 500_000, 2000)
		large := open(b, dir)
		timed(b, one(dir), func(b *testing.B) {
			if _, err := large.Reload(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("one of 500 files saved", func(b *testing.B) { saved(b, tree(b, 500, 50_000, 200)) })
	b.Run("one of 5000 files saved", func(b *testing.B) { saved(b, tree(b, 5000, 500_000, 2000)) })
	b.Run("readers meanwhile", func(b *testing.B) {
		h := e.Bool(enabled)
		var stop atomic.Bool
		var wg sync.WaitGroup
		var quiet, busy []time.Duration
		probe := func(into *[]time.Duration) {
			for !stop.Load() {
				t := time.Now()
				h.For(cascade.Subject{Context: 5, User: 5})
				if len(*into) < 5_000_000 {
					*into = append(*into, time.Since(t))
				}
			}
		}
		wg.Go(func() { probe(&quiet) })
		time.Sleep(200 * time.Millisecond)
		stop.Store(true)
		wg.Wait()
		stop.Store(false)
		wg.Go(func() { probe(&busy) })
		for i := range b.N {
			touchAll(b, dir, i+1_000_000)
			reload(b)
		}
		stop.Store(true)
		wg.Wait()
		b.ReportMetric(float64(p(quiet, 99).Nanoseconds()), "quiet-p99-ns")
		b.ReportMetric(float64(p(busy, 99).Nanoseconds()), "reloading-p99-ns")
	})
}

// saved measures from a rename until a subscriber has seen the value, of a tree that is
// watched: the engine looks at what the events name, and at everything each 30 s.
func saved(b *testing.B, dir string) {
	target := filepath.Join(dir, "zz.properties")
	save(b, target, plain+"=true\n")
	e := open(b, dir)
	seen := make(chan struct{}, 1)
	defer e.Subscribe([]string{plain}, func([]cascade.EffectiveChange) { seen <- struct{}{} })()
	defer watch(b, e)()
	round := 0
	put := func(int) {
		round++
		save(b, target+".new", fmt.Sprintf("%s=%t\n", plain, round%2 == 0))
		if err := os.Rename(target+".new", target); err != nil {
			b.Fatal(err)
		}
	}
	see := func(b *testing.B) {
		select {
		case <-seen:
		case <-time.After(10 * time.Second):
			b.Fatal("not seen within 10 s")
		}
	}
	for range 3 { // until the first looks at everything are over
		put(0)
		see(b)
	}
	timed(b, put, see)
}

// timed measures do in the processor's time too, which other work on the machine
// changes less; before is not measured.
func timed(b *testing.B, before func(i int), do func(b *testing.B)) {
	used := time.Duration(0)
	b.ResetTimer() // what is measured was made before
	for i := range b.N {
		b.StopTimer()
		before(i)
		start := processor(b)
		b.StartTimer()
		do(b)
		used += processor(b) - start
	}
	b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// processor is what this process has used so far.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func touchAll(b *testing.B, dir string, round int) {
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(f, "# round %d\n", round); err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		b.Fatal(err)
	}
}

func p(d []time.Duration, percent int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)*percent/100]
}

// BenchmarkPutToEffect measures from a rename until a subscriber has seen the
// value, on the shipped tree: a file that is renamed over another one, and the
// swap of ..data as Kubernetes does it.
func BenchmarkPutToEffect(b *testing.B) {
	for _, style := range []string{"rename over", "..data swap"} {
		b.Run(style, func(b *testing.B) {
			dir := b.TempDir()
			if err := os.CopyFS(dir, os.DirFS("../etc")); err != nil {
				b.Fatal(err)
			}
			round := 0
			put := func() {
				round++
				text, err := fmt.Sprintf("%s=%t\n", plain, round%2 == 0), error(nil)
				if style == "rename over" {
					save(b, filepath.Join(dir, "zz.new"), text)
					err = os.Rename(filepath.Join(dir, "zz.new"), filepath.Join(dir, "zz.properties"))
				} else {
					version := fmt.Sprintf("..v%d", round)
					save(b, filepath.Join(dir, version, "zz.properties"), text)
					err = errors.Join(os.Symlink(version, filepath.Join(dir, "..next")), os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")))
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			put()
			if style == "..data swap" {
				if err := os.Symlink("..data/zz.properties", filepath.Join(dir, "zz.properties")); err != nil {
					b.Fatal(err)
				}
			}
			e := open(b, dir)
			seen := make(chan struct{}, 1)
			defer e.Subscribe([]string{plain}, func([]cascade.EffectiveChange) { seen <- struct{}{} })()
			defer watch(b, e)()
			var took []time.Duration
			for b.Loop() {
				put()
				at := time.Now()
				select {
				case <-seen:
				case <-time.After(10 * time.Second):
					b.Fatal("not seen within 10 s")
				}
				took = append(took, time.Since(at))
				time.Sleep(150 * time.Millisecond) // until the folders are watched again
			}
			b.ReportMetric(float64(p(took, 50).Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(p(took, 99).Microseconds())/1000, "p99-ms")
		})
	}
}

// watch runs the engine until stop.
func watch(b *testing.B, e *cascade.Engine) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := e.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	for e.Status().Watch.Mode != cascade.WatchInotify {
		time.Sleep(time.Millisecond)
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// BenchmarkSaveToEffect measures from the end of a save until a subscriber has
// seen the value: 200 saves in five styles.
func BenchmarkSaveToEffect(b *testing.B) {
	dir := tree(b, 20, 2000, 20)
	target := filepath.Join(dir, "zz.properties")
	save(b, target, plain+"=true\n")
	e := open(b, dir)
	seen := make(chan bool, 1)
	defer e.Subscribe([]string{plain}, func(ch []cascade.EffectiveChange) { seen <- ch[0].New.(bool) })()
	defer watch(b, e)()
	styles := map[string]func(text string) error{
		"in place": func(t string) error { return os.WriteFile(target, []byte(t), 0o644) },
		"rename over": func(t string) error {
			if err := os.WriteFile(target+".new", []byte(t), 0o644); err != nil {
				return err
			}
			return os.Rename(target+".new", target)
		},
		"backup and new, as vim": func(t string) error {
			if err := os.Rename(target, target+"~"); err != nil {
				return err
			}
			return os.WriteFile(target, []byte(t), 0o644)
		},
		"remove and new": func(t string) error {
			if err := os.Remove(target); err != nil {
				return err
			}
			return os.WriteFile(target, []byte(t), 0o644)
		},
		"in two writes": func(t string) error {
			f, err := os.Create(target)
			if err != nil {
				return err
			}
			for _, part := range []string{t[:len(t)/2], t[len(t)/2:]} {
				if _, err := f.WriteString(part); err != nil {
					return err
				}
			}
			return f.Close()
		},
	}
	var took []time.Duration
	value := true
	for range max(b.N, 40) {
		for name, style := range styles {
			value = !value
			if err := style(fmt.Sprintf("%s=%t\n", plain, value)); err != nil {
				b.Fatal(err)
			}
			at := time.Now()
			select {
			case v := <-seen:
				if v != value {
					b.Fatalf("%s: saw %t", name, v)
				}
			case <-time.After(10 * time.Second):
				b.Fatalf("%s: not seen within 10 s", name)
			}
			took = append(took, time.Since(at))
		}
	}
	b.ReportMetric(float64(p(took, 50).Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(p(took, 99).Microseconds())/1000, "p99-ms")
	b.ReportMetric(200, "limit-p50-ms")
	b.ReportMetric(500, "limit-p99-ms")
}
