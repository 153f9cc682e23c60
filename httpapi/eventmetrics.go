package httpapi

import "github.com/prometheus/client_golang/prometheus"

// eventCollector shows what the streams of events count.
type eventCollector struct{ events *Events }

var (
	eventStreams = desc("event_streams", "Clients that watch the events of this member.")
	eventsTotal  = desc("events_total", "Events, by kind; those of sockets only while somebody watches.", "kind")
	eventDrops   = desc("event_streams_dropped_total", "Streams that were ended because their client did not read.")
)

// Describe implements prometheus.Collector.
func (c eventCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- eventStreams
	ch <- eventsTotal
	ch <- eventDrops
}

// Collect implements prometheus.Collector.
func (c eventCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(eventStreams, prometheus.GaugeValue, float64(c.events.watchers.Load()))
	ch <- prometheus.MustNewConstMetric(eventDrops, prometheus.CounterValue, float64(c.events.dropped.Load()))
	for kind, n := range c.events.counts {
		ch <- prometheus.MustNewConstMetric(eventsTotal, prometheus.CounterValue, float64(n.Load()), kind)
	}
}
