package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed47708276/sluice/cascade/store"
)

// storeCollector shows what the store counts.
type storeCollector struct{ server *Server }

var (
	storeOK       = desc("store_ok", "1 while decisions can be stored, and this member has what the cluster has, else 0.")
	storeRevision = desc("store_revision", "Number of the last write that this member has.")
	storeRecords  = desc("store_records", "Records, by kind.", "kind")
	storeBytes    = desc("store_bytes", "Size of the store file.")
	storeWrites   = desc("store_writes_total", "Writes that this member was asked for and that reached the file, refused ones included.")
	storeCommits  = desc("store_commits_total", "Transactions; each takes the writes that wait together.")
	storeSeconds  = desc("store_commit_seconds_total", "Time that these transactions took.")
	storeFailures = desc("store_failures_total", "Failures of the file or its disk.")
	storeResyncs  = desc("store_resyncs_total", "Times that this member took the whole state of the cluster over.")
)

// Describe implements prometheus.Collector.
func (c storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		storeOK, storeRevision, storeRecords, storeBytes, storeWrites, storeCommits, storeSeconds, storeFailures, storeResyncs,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.server.Store
	if s == nil {
		return // only tests have none
	}
	n := s.Stats()
	for d, v := range map[*prometheus.Desc]float64{
		storeOK: oneIf(s.Standing() == nil), storeRevision: float64(n.Revision), storeBytes: float64(n.Bytes),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	for d, v := range map[*prometheus.Desc]float64{
		storeWrites: float64(n.Writes), storeCommits: float64(n.Commits), storeSeconds: n.Took.Seconds(),
		storeFailures: float64(n.Failures), storeResyncs: float64(n.Resyncs),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	for _, k := range store.Kinds {
		ch <- prometheus.MustNewConstMetric(storeRecords, prometheus.GaugeValue, float64(n.Records[k]), string(k))
	}
}
