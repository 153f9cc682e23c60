// Command growth measures how reloads grow with the files and the gate's re-check
// with the connected users, in the processor's time, and draws both.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed47708276/sluice/bench/internal/chart"
	"github.com/seed47708276/sluice/cascade"
)

const gate = "com.openexchange.websockets.enabled"

func main() {
	folder := flag.String("plot", ".", "folder for the plots")
	runs := flag.Int("runs", 9, "times that each point is measured; the median counts")
	flag.Parse()
	if err := run(*folder, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

func run(folder string, runs int) error {
	reloads := chart.Chart{Title: "Reloads: 100 properties and 0.4 context sets a file", X: "files", Y: "processor, ms"}
	one := chart.Line{Name: "one file changed"}
	none := chart.Line{Name: "nothing changed"}
	for _, files := range []int{500, 1000, 2000, 3500, 5000} {
		changed, same, err := reload(files, runs)
		if err != nil {
			return err
		}
		fmt.Printf("%d files: one changed %.1f ms, nothing %.1f ms\n", files, changed, same)
		one.Points = append(one.Points, chart.Point{X: files, Y: changed})
		none.Points = append(none.Points, chart.Point{X: files, Y: same})
	}
	reloads.Lines = []chart.Line{one, none}
	checks := chart.Chart{Title: "The gate after a change: asked for all users, or for nobody", X: "connected users", Y: "processor, ms"}
	all := chart.Line{Name: "a change that may concern it"}
	skipped := chart.Line{Name: "a change that cannot"}
	for _, users := range []int{10_000, 25_000, 50_000, 75_000, 100_000} {
		asked, unchanged, err := recheck(users, runs)
		if err != nil {
			return err
		}
		fmt.Printf("%d users: asked %.2f ms, skipped %.4f ms\n", users, asked, unchanged)
		all.Points = append(all.Points, chart.Point{X: users, Y: asked})
		skipped.Points = append(skipped.Points, chart.Point{X: users, Y: unchanged})
	}
	checks.Lines = []chart.Line{all, skipped}
	for name, c := range map[string]chart.Chart{"growth-reload.svg": reloads, "growth-gate.svg": checks} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(c.Draw()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func open(dir string) (*cascade.Engine, error) {
	schema, err := cascade.NewSchema(nil, []cascade.Declaration{{Name: gate, Kind: cascade.Bool, Default: "true"}})
	if err != nil {
		return nil, err
	}
	return cascade.Open(cascade.Options{Roots: []string{dir}, Schema: schema})
}

// reload is what a reload takes, in ms, after one file was saved and after none.
func reload(files, runs int) (changed, same float64, err error) {
	dir, err := os.MkdirTemp("", "sluice-growth-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	for f := range files {
		var b strings.Builder
		for k := range 100 {
			fmt.Fprintf(&b, "com.openexchange.component%d.some.property%d=value %d of file %d\n", f, k, k, f)
		}
		if err := save(filepath.Join(dir, fmt.Sprintf("part%d/file%d.properties", f%10, f)), b.String()); err != nil {
			return 0, 0, err
		}
	}
	var b strings.Builder
	for s := range files * 2 / 5 {
		fmt.Fprintf(&b, "set%d:\n  withTags: brand%d & (webmail | ucWebMail) & !beta%d\n  com.openexchange.set%d: x\n", s, s, s%7, s)
	}
	if err := save(filepath.Join(dir, "contextSets/brands.yml"), b.String()); err != nil {
		return 0, 0, err
	}
	time.Sleep(2 * time.Second) // until stamps tell that files stay as they are
	e, err := open(dir)
	if err != nil {
		return 0, 0, err
	}
	again := func() error {
		_, err := e.Reload(context.Background())
		return err
	}
	if changed, err = median(runs, func(i int) error {
		return save(filepath.Join(dir, "zz.properties"), fmt.Sprintf("%s=%t\n", gate, i%2 == 0))
	}, again); err != nil {
		return 0, 0, err
	}
	same, err = median(runs, func(int) error { return nil }, again)
	return changed, same, err
}

func save(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// recheck is what asking the gate for all users takes, in ms, and what it takes to
// know that it need not be asked.
func recheck(users, runs int) (asked, skipped float64, err error) {
	dir, err := os.MkdirTemp("", "sluice-growth-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	e, err := open(dir)
	if err != nil {
		return 0, 0, err
	}
	subject := func(u int) cascade.Subject {
		return cascade.Subject{Context: uint32(u/1000) + 1, User: uint32(u%1000) + 1}
	}
	var b cascade.Batch
	for u := range users {
		su := subject(u)
		b.Users = append(b.Users, cascade.User{Context: su.Context, ID: su.User, Enabled: true})
	}
	if err := e.Apply(b); err != nil {
		return 0, 0, err
	}
	enabled, value := e.Bool(gate), 0
	other := func(int) error {
		value++
		return e.Apply(cascade.Batch{Overrides: []cascade.Override{{Key: cascade.Key{Subject: subject(0), Property: "other"}, Value: fmt.Sprint(value)}}})
	}
	if asked, err = median(runs, other, func() error {
		sn := e.Snapshot()
		for u := range users {
			if su := subject(u); sn.Account(su) != cascade.AccountOpen || !enabled.In(sn, su) {
				return fmt.Errorf("%v is refused", su)
			}
		}
		return nil
	}); err != nil {
		return 0, 0, err
	}
	// Too short for the processor's clock: many of them.
	const times = 1000
	old := e.Snapshot()
	if err := other(0); err != nil {
		return 0, 0, err
	}
	now := e.Snapshot()
	skipped, err = median(runs, func(int) error { return nil }, func() error {
		for range times {
			if !now.Unchanged(old, gate) {
				return fmt.Errorf("an override of another property is taken for one of %s", gate)
			}
		}
		return nil
	})
	return asked, skipped / times, err
}

// median is the processor's time of do in ms; before is not counted.
func median(runs int, before func(i int) error, do func() error) (float64, error) {
	var took []float64
	for i := range runs {
		if err := before(i); err != nil {
			return 0, err
		}
		start, err := processor()
		if err != nil {
			return 0, err
		}
		if err := do(); err != nil {
			return 0, err
		}
		end, err := processor()
		if err != nil {
			return 0, err
		}
		took = append(took, float64((end-start).Microseconds())/1000)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

func processor() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}
