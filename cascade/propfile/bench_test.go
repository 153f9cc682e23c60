package propfile

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/magiconair/properties"
)

// tree is what the product promises to reload quickly: 500 files of 100
// properties.
func tree() [][]byte {
	files := make([][]byte, 500)
	for f := range files {
		var text strings.Builder
		for k := range 100 {
			fmt.Fprintf(&text, "# Says what property %d of file %d does.\n", k, f)
			fmt.Fprintf(&text, "com.openexchange.module%d.property%d=value of property %d\n\n", f, k, k)
		}
		files[f] = []byte(text.String())
	}
	return files
}

func BenchmarkParseTree(b *testing.B) {
	files := tree()
	b.ReportAllocs()
	for b.Loop() {
		for _, data := range files {
			if f, _ := Parse("bench.properties", data); f == nil || len(f.Entries) != 100 {
				b.Fatal("want 100 entries")
			}
		}
	}
}

// BenchmarkParseWorst parses files at the limits, each the shape that costs
// most for its size.
func BenchmarkParseWorst(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"shortest keys", strings.Repeat("a\n", MaxKeys)},
		{"one key", strings.Repeat("key=value\n", MaxKeys)},
		{"empty continuation lines", "a=" + strings.Repeat("\\\n", (MaxFileBytes-2)/2)},
		{"escapes", strings.Repeat("k="+strings.Repeat(`\u00e9\\`, 8000)+"\n", 60)},
		{"lone surrogates", strings.Repeat("k="+strings.Repeat(`\ud83d`, 40000)+"\n", 17)},
		{"lone surrogates on continuation lines", "k=" + strings.Repeat("\\ud83d\\\n", 43000)},
		{"comments", strings.Repeat("# comment\r", MaxFileBytes/10)},
		{"no line end", strings.Repeat("x", MaxFileBytes)},
		{"Latin-1 continuation lines", "k=\xff" + strings.Repeat("\xff", MaxLineBytes-16) + strings.Repeat("\\\n", 1900000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			data := []byte(c.text)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				Parse("bench.properties", data)
			}
		})
	}
}

// BenchmarkParseTreeParallel parses the same amount with the files spread over
// the processors, as a loader may: Parse shares nothing.
func BenchmarkParseTreeParallel(b *testing.B) {
	files := tree()
	b.ReportAllocs()
	for b.Loop() {
		var wg sync.WaitGroup
		next := make(chan []byte)
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for data := range next {
					Parse("bench.properties", data)
				}
			})
		}
		for _, data := range files {
			next <- data
		}
		close(next)
		wg.Wait()
	}
}

// BenchmarkLibraryAlone is the share of the library in BenchmarkParseTree.
func BenchmarkLibraryAlone(b *testing.B) {
	files := tree()
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	for b.Loop() {
		for _, data := range files {
			if _, err := loader.LoadBytes(data); err != nil {
				b.Fatal(err)
			}
		}
	}
}
