package httpapi

import (
	"fmt"
	"io"
	"net/http"
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

// BenchmarkExplanation is how many explanations a second two clients with
// kept-alive connections get, on the cores that they share with the server.
func BenchmarkExplanation(b *testing.B) {
	w := newWorld(b, tree)
	w.ask("PUT", "/admin/v1/contexts/7/users/3/properties/com.example.a", `{"value":"v","reason":"r"}`)
	url := w.admin.URL + "/admin/v1/contexts/7/users/3/properties/com.example.a"
	for _, clients := range []int{2, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
			defer client.CloseIdleConnections()
			b.SetParallelism(clients / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					res, err := client.Get(url)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body) // its length is that of the others
					res.Body.Close()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
