package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed47708276/sluice/websockets/appsuite"
)

// sessionCollector shows what the store of sessions counts: our own its
// sessions, App Suite's what was asked of Redis.
type sessionCollector struct{ server *Server }

var (
	sessionsHeld   = desc("sessions", "Sessions of Sluice itself.")
	sessionsBad    = desc("sessions_unreadable_total", "Times that a session of Sluice in Redis could not be read and was skipped.")
	sessionLookups = desc("appsuite_session_lookups_total", "Sessions looked up in App Suite's Redis, by result.", "result")
	sessionTouches = desc("appsuite_session_touches_total", "Sessions of App Suite whose last use was written.")
	sessionEvents  = desc("appsuite_events_total", "Messages of App Suite about its sessions, by kind.", "kind")
	sessionFollows = desc("appsuite_events_followed", "1 while App Suite's channel of session events is subscribed to, else 0.")
)

// Describe implements prometheus.Collector.
func (c sessionCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sessionsHeld, sessionsBad, sessionLookups, sessionTouches, sessionEvents, sessionFollows} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c sessionCollector) Collect(ch chan<- prometheus.Metric) {
	switch store := c.server.Sessions.(type) {
	case interface{ Len() int }:
		ch <- prometheus.MustNewConstMetric(sessionsHeld, prometheus.GaugeValue, float64(store.Len()))
	case interface{ Unreadable() int64 }:
		ch <- prometheus.MustNewConstMetric(sessionsBad, prometheus.CounterValue, float64(store.Unreadable()))
	case interface{ Counts() appsuite.Counts }:
		n := store.Counts()
		for result, count := range n.Lookups {
			ch <- prometheus.MustNewConstMetric(sessionLookups, prometheus.CounterValue, float64(count), result)
		}
		for kind, count := range n.Events {
			ch <- prometheus.MustNewConstMetric(sessionEvents, prometheus.CounterValue, float64(count), kind)
		}
		ch <- prometheus.MustNewConstMetric(sessionTouches, prometheus.CounterValue, float64(n.Touched))
		ch <- prometheus.MustNewConstMetric(sessionFollows, prometheus.GaugeValue, oneIf(n.Following))
	}
}
