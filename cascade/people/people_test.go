package people

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func found(hits []Hit) (out []Subject) {
	for _, h := range hits {
		out = append(out, h.Subject)
	}
	return out
}

func example() *Index {
	x := &Index{}
	x.Put(Subject{1, 0}, &Names{Name: "Straßenbau Nord GmbH", Logins: []string{"nord.example"}})
	x.Put(Subject{1, 1}, &Names{Login: "anna", Mails: []string{"anna.mueller@example.com", "am@example.com"}, Name: "Anna Müller"})
	x.Put(Subject{1, 2}, &Names{Login: "bob", Mails: []string{"Bob@Example.com"}, Name: "Robert O'Neil-Müller"})
	x.Put(Subject{2, 1}, &Names{Login: "anna", Mails: []string{"anna@other.example"}, Name: "Anna Mu\u0308ller"})
	return x
}

func TestSearch(t *testing.T) {
	x := example()
	for _, c := range []struct {
		text  string
		users bool
		want  []Subject
	}{
		{"anna", true, []Subject{{1, 1}, {2, 1}}},
		{"ANNA.M", true, []Subject{{1, 1}}},
		{"bob@example", true, []Subject{{1, 2}}},
		{"müller", true, []Subject{{1, 1}, {1, 2}, {2, 1}}}, // composed or not
		{"MÜLLER", true, []Subject{{1, 1}, {1, 2}, {2, 1}}},
		{"anna mü", true, []Subject{{1, 1}, {2, 1}}},
		{"neil", true, []Subject{{1, 2}}},
		{"example.com", true, nil}, // of an address only the beginning counts
		{"strasse", false, []Subject{{1, 0}}},
		{"nord", false, []Subject{{1, 0}}},
		{"gmbh", false, []Subject{{1, 0}}},
		{"nord", true, nil},
		{"", true, []Subject{{1, 1}, {2, 1}, {1, 2}}},
		{strings.Repeat("x", 10_000), true, nil},
	} {
		hits, next, _ := x.Search(c.text, c.users, nil, 10)
		if got := found(hits); !slices.Equal(got, c.want) || next != nil {
			t.Errorf("%.40q: %v, want %v, next %v", c.text, got, c.want, next)
		}
	}
	hits, _, _ := x.Search("bob", true, nil, 1)
	if n := hits[0].Names; n.Login != "bob" || n.Mails[0] != "Bob@Example.com" || n.Name != "Robert O'Neil-Müller" {
		t.Errorf("names %+v", n)
	}
}

func TestExact(t *testing.T) {
	x := example()
	for _, c := range []struct {
		text  string
		users bool
		want  []Subject
	}{
		{"Anna", true, []Subject{{1, 1}, {2, 1}}},
		{"AM@example.com", true, []Subject{{1, 1}}},
		{"ann", true, nil},
		{"Anna Müller", true, nil}, // a display name names nobody
		{"straßenbau nord gmbh", false, []Subject{{1, 0}}},
		{"nord.example", false, []Subject{{1, 0}}},
		{"nord gmbh", false, nil},
	} {
		if got := found(x.Exact(c.text, c.users, 10)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.text, got, c.want)
		}
	}
	if got := x.Exact("anna", true, 1); len(got) != 1 {
		t.Errorf("limit 1: %v", got)
	}
}

func TestChange(t *testing.T) {
	x := example()
	x.Settle()
	x.Put(Subject{1, 1}, &Names{Login: "annika"})
	if got := found(x.Exact("anna", true, 10)); !slices.Equal(got, []Subject{{2, 1}}) {
		t.Errorf("after a new name: %v", got)
	}
	if n := x.Of(Subject{1, 1}); n.Login != "annika" || len(n.Mails) != 0 {
		t.Errorf("names %+v", n)
	}
	x.Delete(Subject{1, 0})
	if hits, _, _ := x.Search("", true, nil, 10); len(hits) != 1 || x.Len() != 1 {
		t.Errorf("after the deletion of a context: %v", hits)
	}
	x.Put(Subject{2, 1}, &Names{})
	if x.Len() != 0 {
		t.Error("a user without names is found")
	}
	x.Reset()
	if hits, _, _ := x.Search("", true, nil, 10); len(hits) != 0 {
		t.Errorf("after a reset: %v", hits)
	}
}

// TestModel compares pages of random changes with a plain scan.
func TestModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x, model := &Index{}, map[Subject]Names{}
	word := func() string { return strings.Repeat(string("abÄé"[r.IntN(2)]), 1+r.IntN(3)) }
	for round := range 4000 {
		su := Subject{uint32(1 + r.IntN(3)), uint32(1 + r.IntN(60))}
		n := Names{Login: word(), Mails: []string{word() + "@" + word()}, Name: word() + " " + word()}
		if r.IntN(4) == 0 {
			n = Names{}
		}
		x.Put(su, &n)
		if model[su] = n; n.Login == "" {
			delete(model, su)
		}
		if round%40 != 0 {
			continue
		}
		text := word()
		var want, got []Subject
		for su, n := range model {
			for _, p := range []string{n.Login, n.Mails[0], n.Name, n.Name[strings.Index(n.Name, " ")+1:]} {
				if strings.HasPrefix(Fold(p), Fold(text)) {
					want = append(want, su)
					break
				}
			}
		}
		for after := (*Position)(nil); ; {
			hits, next, _ := x.Search(text, true, after, 7)
			got = append(got, found(hits)...)
			if after = next; next == nil {
				break
			}
		}
		slices.SortFunc(want, compareSubjects)
		slices.SortFunc(got, compareSubjects)
		if !slices.Equal(got, want) {
			t.Fatalf("round %d, %q: %v, want %v", round, text, got, want)
		}
	}
}

// TestSorting searches and writes while many names are being sorted: nobody waits,
// an exact name is found all the same, and in the end everybody.
func TestSorting(t *testing.T) {
	const users = settleFrom
	x := &Index{}
	put := func(context uint32) {
		for i := range users {
			x.Put(Subject{context, uint32(i + 1)}, &Names{Login: fmt.Sprintf("p%d-%d", context, i)})
		}
	}
	x.Put(Subject{1, 1}, &Names{Login: "p0-first"})
	x.Search("p", true, nil, 1)
	put(2)
	x.Put(Subject{3, 1}, &Names{Login: "p3-last"})
	hits, _, sorting := x.Search("p", true, nil, 10)
	if got := found(hits); !sorting || !slices.Equal(got, []Subject{{1, 1}}) {
		t.Errorf("before they are sorted: %v, sorting %t", got, sorting)
	}
	if got := found(x.Exact("P2-77", true, 10)); !slices.Equal(got, []Subject{{2, 78}}) {
		t.Errorf("an exact name before they are sorted: %v", got)
	}
	var work sync.WaitGroup
	work.Go(x.Settle)
	for i := range 50 {
		x.Put(Subject{4, uint32(i + 1)}, &Names{Login: fmt.Sprintf("p4-%d", i)})
		x.Put(Subject{2, uint32(i + 1)}, &Names{Login: "another"})
		x.Search("p", true, nil, 10)
		x.Exact("p2-77", true, 10)
	}
	work.Wait()
	work.Go(func() { put(5); x.Settle() })
	x.Reset()
	work.Wait()
	x.Reset()
	put(6)
	x.Ready()
	if hits, _, sorting := x.Search("p6-", true, nil, 2*users); sorting || len(hits) != users {
		t.Errorf("once they are sorted %d are found, sorting %t", len(hits), sorting)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		n    Names
		want string
	}{
		{Names{Login: "a b", Name: " x "}, ""},
		{Names{Login: "a\nb"}, `the login "a\nb" has control characters`},
		{Names{Mails: []string{" a@b"}}, `the mail address " a@b" is empty, or has blanks around it`},
		{Names{Mails: []string{""}}, `the mail address "" is empty`},
		{Names{Name: strings.Repeat("x", MaxName+1)}, "is longer than 4096 bytes"},
		{Names{Login: strings.Repeat("x", MaxText+1)}, "is longer than 320 bytes"},
		{Names{Logins: make([]string, MaxLogins+1)}, "65 login mappings"},
	} {
		err := c.n.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+.60v: %v, want %q", c.n, err, c.want)
		}
	}
}

func million(n int) *Index {
	x := &Index{}
	first := []string{"Anna", "Bob", "Chris", "Dora", "Émile", "Fritz", "Gül", "Hans", "Ida", "Jan"}
	for i := range n {
		f, l := first[i%len(first)], fmt.Sprintf("Nachname%d", i%40_000)
		x.Put(Subject{uint32(1 + i/1000), uint32(1 + i%1000)}, &Names{
			Login: fmt.Sprintf("%s.%s%d", strings.ToLower(f), strings.ToLower(l), i),
			Mails: []string{fmt.Sprintf("%s.%s%d@example.com", strings.ToLower(f), strings.ToLower(l), i)}, Name: f + " " + l,
		})
	}
	x.Settle()
	return x
}

// BenchmarkSearch asks a million users for pages of 100, by all that can be searched
// for and by texts that many begin with; the slowest of a hundred pages, and the bytes
// a user beyond the strings, are reported.
func BenchmarkSearch(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := million(1_000_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	strings := 0
	for i := range x.slots {
		n := unpack(x.slots[i].text)
		strings += len(n.Login) + len(n.Mails[0]) + len(n.Name)
	}
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		for _, text := range []string{fmt.Sprintf("nachname%d", i%40_000), fmt.Sprintf("anna.nachname%d", i%40_000), "anna", "n", "émile nach", "nobody has it"} {
			began := time.Now()
			hits, next, _ := x.Search(text, true, nil, 100)
			took = append(took, time.Since(began))
			if len(hits) == 0 != (text == "nobody has it") {
				b.Fatalf("%q finds %d", text, len(hits))
			}
			if next != nil {
				began = time.Now()
				x.Search(text, true, next, 100)
				took = append(took, time.Since(began))
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(int(after.HeapAlloc-before.HeapAlloc)-strings)/1e6, "B/user")
}

// TestSettleOnTime writes parts of an import: what they left is sorted once
// they have ended, and not while they go on.
func TestSettleOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &Index{}
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { x.SettleOnTime(ctx) })
		for part := range 8 {
			for i := range settleFrom / 4 {
				x.Put(Subject{1, uint32(part*settleFrom + i + 1)}, &Names{Login: fmt.Sprintf("p%d-%d", part, i)})
			}
			time.Sleep(settleRest / 2)
			synctest.Wait()
			if n, _ := x.unsorted(); n != (part+1)*settleFrom/4 {
				t.Fatalf("after part %d %d keys wait", part, n)
			}
		}
		time.Sleep(3 * settleRest)
		synctest.Wait()
		if n, _ := x.unsorted(); n != 0 {
			t.Errorf("%d keys wait after the import", n)
		}
		x.Put(Subject{2, 1}, &Names{Login: "one"})
		time.Sleep(3 * settleRest)
		synctest.Wait()
		if n, _ := x.unsorted(); n != 1 {
			t.Errorf("%d keys wait after one write, which a search sorts", n)
		}
		cancel()
		work.Wait()
	})
}
