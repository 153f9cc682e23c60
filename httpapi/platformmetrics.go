package httpapi

import "github.com/prometheus/client_golang/prometheus"

// platformCollector shows how the reading of the platform's own database goes,
// where it is read.
type platformCollector struct{ server *Server }

var (
	platformUp       = desc("platform_up", "1 while the platform's database answers, else 0.")
	platformRead     = desc("platform_read_timestamp_seconds", "When the last round over all connected users was complete.")
	platformKnown    = desc("platform_known", "Contexts and users of the platform that this member knows.")
	platformProblems = desc("platform_problems", "Rows of the platform's database that cannot be read and do not count.")
	platformQueries  = desc("platform_queries_total", "Queries to the platform's database.")
)

// Describe implements prometheus.Collector.
func (c platformCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{platformUp, platformRead, platformKnown, platformProblems, platformQueries} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Before the first round there is no
// time of one.
func (c platformCollector) Collect(ch chan<- prometheus.Metric) {
	if c.server.Platform == nil {
		return
	}
	st := c.server.Platform.Status()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(platformUp, oneIf(st.Error == ""))
	if st.Round != nil {
		gauge(platformRead, float64(st.Round.UnixMilli())/1000)
	}
	gauge(platformKnown, float64(st.Known))
	gauge(platformProblems, float64(len(st.Problems)))
	ch <- prometheus.MustNewConstMetric(platformQueries, prometheus.CounterValue, float64(st.Queries))
}

// readinessCollector shows the lines of /readyz that want an administrator.
type readinessCollector struct{ server *Server }

var degraded = desc("degraded", "1 for each check of /readyz that is degraded or held, 0 for the others.", "check")

// Describe implements prometheus.Collector.
func (c readinessCollector) Describe(ch chan<- *prometheus.Desc) { ch <- degraded }

// Collect implements prometheus.Collector.
func (c readinessCollector) Collect(ch chan<- prometheus.Metric) {
	if c.server.Store == nil {
		return // only tests have none
	}
	_, checks := c.server.readiness()
	for _, k := range checks {
		ch <- prometheus.MustNewConstMetric(degraded, prometheus.GaugeValue, oneIf(k.Status != "ok" && k.Status != "warning"), k.Name)
	}
}
