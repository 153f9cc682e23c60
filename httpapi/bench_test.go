package httpapi

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

// BenchmarkImport is what 20,000 lines cost: written, each time for another
// context, and when they are there already.
func BenchmarkImport(b *testing.B) {
	lines := func(context int) string {
		var text strings.Builder
		for u := range 10_000 {
			fmt.Fprintf(&text, `{"user":{"context":%d,"id":%d,"enabled":true,"permissions":["WebMail","Infostore"]}}`+"\n", context, u+1)
			fmt.Fprintf(&text, `{"override":{"context":%d,"user":%d,"property":"com.openexchange.websockets.enabled","value":"false"}}`+"\n", context, u+1)
		}
		return text.String()
	}
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			w := newWorld(b, tree)
			context, used := 1, time.Duration(0)
			text := lines(context)
			if again {
				w.ask("POST", "/admin/v1/import?reason=r", text, "Content-Type: "+ndjson)
			}
			var cpu time.Duration
			for b.Loop() {
				b.StopTimer()
				if !again {
					context++
					text = lines(context)
				}
				used = cpuTime(b)
				b.StartTimer()
				if a := w.ask("POST", "/admin/v1/import?reason=r", text, "Content-Type: "+ndjson); a.status != 200 {
					b.Fatal(a.body)
				}
				cpu += cpuTime(b) - used
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/20_000, "us/line")
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N)/20_000, "cpu-us/line")
		})
	}
}

// cpuTime is what the process has used.
func cpuTime(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkExplanation is how many explanations a second clients with kept-alive
// connections get, on the cores that they share with the server. They are as lean
// as load generators are: they write a request, and read as many bytes as the
// first answer had.
func BenchmarkExplanation(b *testing.B) {
	w := newWorld(b, tree)
	const path = "/admin/v1/contexts/7/users/3/properties/com.example.a"
	w.ask("PUT", path, `{"value":"v","reason":"r"}`)
	address := strings.TrimPrefix(w.tcp.URL, "http://")
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
	for _, clients := range []int{2, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			b.SetParallelism(clients / 2)
			b.RunParallel(func(pb *testing.PB) {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				count := &counting{r: conn}
				answer := []byte(nil)
				for first := true; pb.Next(); first = false {
					if _, err = conn.Write(request); err != nil {
						break
					}
					if !first {
						if _, err = io.ReadFull(conn, answer); err != nil {
							break
						}
						continue
					}
					res, rerr := http.ReadResponse(bufio.NewReader(count), nil)
					if err = rerr; err != nil {
						break
					}
					if _, err = io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
						b.Error(res.StatusCode)
						break
					}
					answer = make([]byte, count.n)
				}
				if err != nil {
					b.Error(err)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// counting counts what is read.
type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// BenchmarkNotify compares the endpoint for Dovecot, alone and with the claim in a
// cluster's Redis, with a handler that checks the password and decodes the body.
func BenchmarkNotify(b *testing.B) {
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l, p, ok := r.BasicAuth(); !ok || subtle.ConstantTimeCompare([]byte(l+p), []byte("mwpw")) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var v map[string]any
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"success":true}`)
	}))
	b.Cleanup(peer.Close)
	alone := pushWorld(b, atOnce)
	redis := redistest.Start(b)
	claimed := pushWorld(b, atOnce)
	link := testkit.Open(b, remote.New, remote.Options{
		Client: redis.Client(), Cluster: "test", Member: "m", Lease: 5 * time.Second, Timings: remote.Timings{Frequency: 10 * time.Millisecond},
		Buffered: func() int { return 1_000_000 }, Describe: func() remote.Member { return remote.Member{} }, Logger: slog.New(slog.DiscardHandler), Deliverer: nobody{},
	})
	running, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { link.Run(running) })
	b.Cleanup(func() {
		claimed.server.ClosePushes()
		link.Flush(context.Background())
		stop()
		work.Wait()
	})
	for {
		if _, status := link.Members(); status == "ok" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	claimed.server.Cluster = link
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.Cleanup(client.CloseIdleConnections)
	var uid atomic.Int64
	targets := []struct {
		name   string
		url    string
		server *Server
	}{{"peer", peer.URL, nil}, {"alone", alone.public.URL, alone.server}, {"claimed", claimed.public.URL, claimed.server}}
	const (
		turn    = 2000 // notifications
		workers = 8
	)
	// put sends a turn, and waits until the claims and deliveries are done as well.
	put := func(at int) {
		var senders sync.WaitGroup
		for range workers {
			senders.Go(func() {
				for range turn / workers {
					req, err := http.NewRequest(http.MethodPut, targets[at].url+notifyPath, strings.NewReader(mailFor("1@7", int(uid.Add(1)), "subject")))
					if err != nil {
						b.Error(err)
						return
					}
					req.SetBasicAuth("mw", "pw")
					res, err := client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					if res.StatusCode != http.StatusOK {
						b.Error(res.Status)
						return
					}
				}
			})
		}
		senders.Wait()
		for s := targets[at].server; s != nil && s.pushes.status().Waiting > 0; {
			time.Sleep(100 * time.Microsecond)
		}
	}
	took := make([][]float64, len(targets)) // µs a notification
	for i := range b.N {
		for k := range targets { // who is first alternates
			at := (i + k) % len(targets)
			start := time.Now()
			put(at)
			took[at] = append(took[at], float64(time.Since(start).Microseconds())/turn)
		}
	}
	for at, c := range targets {
		if c.server != nil {
			rates := make([]float64, b.N)
			for i := range rates {
				rates[i] = took[0][i] / took[at][i]
			}
			b.ReportMetric(median(rates), c.name+"/peer")
		}
		b.ReportMetric(median(slices.Clone(took[at])), c.name+"-µs")
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
