package httpapi

import "github.com/prometheus/client_golang/prometheus"

// pushCollector shows the notifications of producers.
type pushCollector struct{ server *Server }

var (
	pushRequests  = desc("push_notifications_total", "Notifications of Dovecot, webhooks and the admin API by what became of them.", "result")
	pushBuffered  = desc("push_buffered", "Notifications that wait for equal ones, or are being delivered.")
	pushDelivered = desc("push_deliveries_total", "Notifications that left the buffer: to a socket here, to the other members alone, to nobody since the cluster knows of no socket of the user, or not at all since another member had accepted the same.", "outcome")
	pushKnown     = desc("push_registered_users", "Users that this member knows to be registered with Dovecot.")
	pushRegisters = desc("push_registrations_total", "Users registered with Dovecot since they opened a socket; left are those for whom no place was, and no_login sockets of users whom the directory gives no name.", "outcome")
	pushUnclaimed = desc("push_unclaimed_total", "Notifications of which Redis could not say whether another member had accepted the same.")
)

// Describe implements prometheus.Collector.
func (c pushCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{pushRequests, pushBuffered, pushDelivered, pushUnclaimed, pushKnown, pushRegisters} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c pushCollector) Collect(ch chan<- prometheus.Metric) {
	st, counts := c.server.pushes.status(), &c.server.pushes.counts
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for result, n := range st.Requests {
		counter(pushRequests, n, result)
	}
	ch <- prometheus.MustNewConstMetric(pushBuffered, prometheus.GaugeValue, float64(st.Waiting))
	for outcome, n := range map[string]int64{
		"here": counts.delivered.Load(), "others": counts.carried.Load(), "no_socket": counts.noSocket.Load(), "duplicate": counts.duplicate.Load(),
	} {
		counter(pushDelivered, n, outcome)
	}
	r := c.server.registrar
	ch <- prometheus.MustNewConstMetric(pushKnown, prometheus.GaugeValue, float64(r.known.Len()))
	counter(pushRegisters, r.done.Load(), "done")
	counter(pushRegisters, r.failed.Load(), "failed")
	counter(pushRegisters, r.left.Load(), "left")
	counter(pushRegisters, r.nameless.Load(), "no_login")
	counter(pushUnclaimed, counts.unclaimed.Load())
}
