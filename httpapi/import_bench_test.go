package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkImport is what 20,000 lines cost: written, and when they are there
// already.
func BenchmarkImport(b *testing.B) {
	var text strings.Builder
	for u := range 10_000 {
		fmt.Fprintf(&text, `{"user":{"context":1,"id":%d,"enabled":true,"permissions":["WebMail","Infostore"]}}`+"\n", u+1)
		fmt.Fprintf(&text, `{"override":{"context":1,"user":%d,"property":"com.openexchange.websockets.enabled","value":"false"}}`+"\n", u+1)
	}
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			w := newWorld(b, tree)
			for b.Loop() {
				if !again {
					b.StopTimer()
					w.ask("DELETE", "/admin/v1/contexts/1", "")
					w.ask("PUT", "/admin/v1/contexts/1", "{}")
					b.StartTimer()
				}
				if a := w.ask("POST", "/admin/v1/import?reason=r", text.String(), "Content-Type: "+ndjson); a.status != 200 {
					b.Fatal(a.body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/20_000, "us/line")
		})
	}
}
