package platform

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade"
)

// processCPU is what this process has used so far.
func processCPU(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkRead is what handshakes cost that come together, each of a user who was
// never met: CPU of this process alone.
func BenchmarkRead(b *testing.B) {
	const users = 100_000
	s := newStand(b, nil, time.Hour)
	s.sql("INSERT INTO configdb.context (cid, name, enabled) VALUES (1000, 'c', 1); INSERT INTO configdb.context_server2db_pool VALUES (2, 1000, 3, 3, 'oxdb_5'); USE oxdb_5;" +
		"INSERT INTO user (cid, id, mail, mailEnabled) SELECT 1000, u.seq, CONCAT('u', u.seq, '@acme.example'), 1 FROM seq_1_to_100000 AS u;" +
		"INSERT INTO login2user SELECT 1000, u.seq, CONCAT('u', u.seq) FROM seq_1_to_100000 AS u")
	next := uint32(0)
	for _, together := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(together), func(b *testing.B) {
			before := processCPU(b)
			for b.Loop() {
				list := make([]cascade.Subject, together)
				for i := range list {
					list[i] = cascade.Subject{Context: 1000, User: next%users + 1}
					next++
				}
				if _, err := s.p.read(b.Context(), list, time.Hour); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processCPU(b)-before).Microseconds())/float64(b.N*together), "cpu-µs/user")
		})
	}
}
