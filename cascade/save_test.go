package cascade

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/tree"
	"github.com/seed47708276/sluice/testkit"
)

// saveLimit is ten times what a save takes on an idle machine.
const saveLimit = 2 * time.Second

// saveStyle is one way in which people and machines change a tree: before
// makes it, with probe=old, and save changes that to probe=new.
type saveStyle struct {
	name   string
	before func(t *testing.T, dir string)
	save   func(t *testing.T, dir string)
	loads  uint64 // generations that the save may take; 0: one
}

const probe = "p.properties"

func plainBefore(t *testing.T, dir string) { write(t, dir, probe, "probe=old\nother=1\n") }

func shell(script string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) { command(t, dir, "sh", "-ec", script) }
}

var saveStyles = []saveStyle{
	{name: "in place", save: func(t *testing.T, dir string) { write(t, dir, probe, "probe=new\nother=1\n") }},
	{name: "append", save: shell(`echo probe=new >> p.properties`)},
	{name: "rename over", save: func(t *testing.T, dir string) { rewrite(t, in(dir, probe), "probe=new\nother=1\n") }},
	{name: "vim", save: func(t *testing.T, dir string) {
		testkit.Tool(t, "vim", "vim")
		command(t, dir, "vim", "-es", "-u", "NONE", "-c", "%s/old/new/", "-c", "wq", probe)
	}},
	{name: "vim with a backup", save: func(t *testing.T, dir string) {
		testkit.Tool(t, "vim", "vim")
		command(t, dir, "vim", "-es", "-u", "NONE", "-c", "set backup backupcopy=no", "-c", "%s/old/new/", "-c", "wq", probe)
	}},
	{name: "sed -i", save: shell(`sed -i s/old/new/ p.properties`)},
	{name: "cp", save: shell(`printf 'probe=new\nother=1\n' > ../src; cp ../src p.properties`)},
	{name: "cp -p, older than what it replaces", save: shell(`printf 'probe=new\nother=1\n' > ../src; touch -d 2020-01-01 ../src; cp -p ../src p.properties`)},
	{name: "mv, older than what it replaces", save: shell(`printf 'probe=new\nother=1\n' > ../src; touch -d 2020-01-01 ../src; mv ../src p.properties`)},
	{name: "install", save: shell(`printf 'probe=new\nother=1\n' > ../src; install -m 644 ../src p.properties`)},
	{name: "dd, in many writes", save: shell(`printf 'probe=new\nother=1\n' > ../src; dd if=../src of=p.properties bs=1 status=none`)},
	{name: "ln -f", save: shell(`printf 'probe=new\nother=1\n' > ../src; ln -f ../src p.properties`)},
	{name: "mtime in the future", save: shell(`printf 'probe=new\nother=1\n' > p.properties; touch -d 2035-01-01 p.properties`)},
	{
		name:   "equal size and mtime",
		before: shell(`printf 'probe=old\nother=1\n' > p.properties; touch -d 2024-01-01 p.properties`),
		save:   shell(`printf 'probe=new\nother=1\n' > p.properties; touch -d 2024-01-01 p.properties`),
	},
	{
		name:   "..data swap",
		before: shell(`mkdir ..v1; echo probe=old > ..v1/p.properties; ln -s ..v1 ..data; ln -s ..data/p.properties p.properties`),
		save:   shell(`mkdir ..v2; echo probe=new > ..v2/p.properties; ln -s ..v2 ..data_tmp; mv -T ..data_tmp ..data; rm -r ..v1`),
	},
	{
		name: "..data swap of a linked folder",
		before: shell(`mkdir -p ..v1/sub; echo probe=old > ..v1/sub/p.properties; ln -s ..v1 ..data; ln -s ..data/sub sub
			mkdir ..v1/contextSets; ln -s ..data/contextSets contextSets
			printf 'b:\n  withTags: "7"\n  probe: old\n' > ..v1/contextSets/b.yml`),
		save: shell(`mkdir -p ..v2/sub ..v2/contextSets; echo probe=new > ..v2/sub/p.properties
			printf 'b:\n  withTags: "7"\n  probe: new\n' > ..v2/contextSets/b.yml
			ln -s ..v2 ..data_tmp; mv -T ..data_tmp ..data; rm -r ..v1`),
	},
	{name: "new folder with a file at once", save: shell(`mkdir -p z/y/x; echo probe=new > z/y/x/z.properties`), loads: 2},
	{
		name:   "folder replaced",
		before: shell(`mkdir sub; echo probe=old > sub/p.properties`),
		save:   shell(`mv sub ../away; mkdir sub; echo probe=new > sub/p.properties`),
	},
	{
		name:   "folder moved in",
		before: shell(`mkdir sub; echo probe=old > sub/p.properties; mkdir ../next; echo probe=new > ../next/p.properties`),
		save:   shell(`mv sub ../away; mv ../next sub`),
	},
	{name: "root removed and back", save: shell(`mkdir ../new; echo probe=new > ../new/p.properties; d=$(pwd); cd ..; rm -r "$d"; mv new "$d"`)},
	{
		name:   "file behind a link outside the root",
		before: shell(`mkdir ../out; echo probe=old > ../out/x; ln -s ../out/x p.properties`),
		save:   shell(`echo probe=new > ../out/y; mv ../out/y ../out/x`),
	},
	{
		name:   "link in the middle of a chain outside the root",
		before: shell(`mkdir ../v1 ../v2; echo probe=old > ../v1/x; echo probe=new > ../v2/x; ln -s v1 ../cur; ln -s ../cur/x p.properties`),
		save:   shell(`ln -s v2 ../tmp; mv -T ../tmp ../cur`),
	},
	{
		name:   "linked folder outside the root",
		before: shell(`mkdir -p ../out/d; echo probe=old > ../out/d/p.properties; ln -s ../out/d sub`),
		save:   shell(`echo probe=new > ../out/d/p.properties`),
	},
}

// TestSaveStyles saves a file in every style while an engine runs: a subscriber
// hears of it at once, and once.
func TestSaveStyles(t *testing.T) {
	for _, s := range saveStyles {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			dir := mkdir(t, in(t.TempDir(), "etc"))
			write(t, dir, "neighbour.properties", "neighbour=1\n")
			if s.before == nil {
				s.before = plainBefore
			}
			s.before(t, dir)
			saveIn(t, dir, dir, s)
		})
	}
}

// TestSaveThroughLinkedRoot retargets a root that is a link, and a link above
// the root.
func TestSaveThroughLinkedRoot(t *testing.T) {
	for name, save := range map[string]string{
		"the root itself":   `mkdir -p v2/etc; echo probe=new > v2/etc/p.properties; ln -s v2/etc tmp; mv -T tmp etc`,
		"a link above it":   `mkdir -p v2/etc; echo probe=new > v2/etc/p.properties; ln -s v2 tmp; mv -T tmp cur`,
		"a file below it":   `echo probe=new > v1/etc/p.properties`,
		"its target folder": `mkdir new; echo probe=new > new/p.properties; mv v1/etc away; mv new v1/etc`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			command(t, dir, "sh", "-ec", `mkdir -p v1/etc; echo probe=old > v1/etc/p.properties; ln -s v1 cur; ln -s cur/etc etc`)
			saveIn(t, dir, in(dir, "etc"), saveStyle{save: shell(save)})
		})
	}
}

func saveIn(t *testing.T, dir, root string, s saveStyle) {
	e := running(t, Options{Roots: []string{root}})
	if got := text(e.Snapshot(), "probe"); got != "old" {
		t.Fatalf("probe is %s before the save", got)
	}
	// The first load after the start may still be under way.
	throughout(t, 3*tree.QuietTime, "no change before the save", func() bool { return e.Snapshot().Generation() == 1 })
	seen, calls := make(chan time.Time, 10), atomic.Int32{}
	defer e.Subscribe([]string{"probe"}, func(ch []EffectiveChange) {
		calls.Add(1)
		if ch[0].New == "new" {
			seen <- time.Now()
		}
	})()
	s.save(t, dir)
	saved := time.Now()
	select {
	case at := <-seen:
		t.Logf("seen after %v", at.Sub(saved).Round(time.Millisecond))
	case <-time.After(saveLimit):
		t.Fatalf("not seen within %v: probe is %s, files %+v", saveLimit, text(e.Snapshot(), "probe"), e.Status())
	}
	loads := max(s.loads, 1)
	throughout(t, 4*tree.QuietTime, fmt.Sprintf("%d generation(s) for one save", loads), func() bool {
		return e.Snapshot().Generation() <= 1+loads && calls.Load() == 1 && text(e.Snapshot(), "probe") == "new"
	})
	if v, ok := e.Snapshot().Get(Subject{Context: 7}, "probe"); !ok || v.Text != "new" {
		t.Errorf("in context 7 probe is %q", v.Text)
	}
	if s := e.Status(); s.Status != "ok" || s.Watch.Mode != WatchInotify {
		t.Errorf("status %s, watch %+v", s.Status, s.Watch)
	}
}

// TestSaveLatency measures from the end of a save until a subscriber has the
// value, in five styles.
func TestSaveLatency(t *testing.T) {
	dir := t.TempDir()
	path := in(dir, probe)
	writeTree(t, dir, treeSize{files: 50, properties: 5000, sets: 20})
	write(t, dir, probe, "probe=0\n")
	e := running(t, Options{Roots: []string{dir}})
	seen := make(chan string, 1)
	defer e.Subscribe([]string{"probe"}, func(ch []EffectiveChange) { seen <- ch[0].New.(string) })()
	styles := []func(text string){
		func(s string) { must(t, os.WriteFile(path, []byte(s), 0o644)) },
		func(s string) { rewrite(t, path, s) },
		func(s string) { // as vim does
			must(t, os.Rename(path, path+"~"))
			must(t, os.WriteFile(path, []byte(s), 0o644))
			must(t, os.Remove(path+"~"))
		},
		func(s string) {
			must(t, os.Remove(path))
			must(t, os.WriteFile(path, []byte(s), 0o644))
		},
		func(s string) {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("\n" + s)
			must(t, err)
			must(t, f.Close())
		},
	}
	var took []time.Duration
	for i := range rounds(15, 200) {
		want := fmt.Sprint(i + 1)
		styles[i%len(styles)]("probe=" + want + "\n")
		saved := time.Now()
		select {
		case got := <-seen:
			if got != want {
				t.Fatalf("round %d: saw %s", i, got)
			}
			took = append(took, time.Since(saved))
		case <-time.After(saveLimit):
			t.Fatalf("round %d: not seen within %v", i, saveLimit)
		}
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("%d saves: p50 %v, p99 %v, max %v", len(took), p50, p99, took[len(took)-1])
	if p50 > 200*time.Millisecond {
		t.Errorf("half of the saves took longer than %v", p50)
	}
	if *torture && p99 > 500*time.Millisecond {
		t.Errorf("p99 is %v", p99)
	}
}
