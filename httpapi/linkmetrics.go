package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

// linkCollector shows the counters of the link to the other members, where
// there is one.
type linkCollector struct{ server *Server }

var (
	linkUp         = desc("remote_link_up", "1 while Redis answers and this member's lease is held, else 0.")
	linkLease      = desc("remote_lease_age_seconds", "Since Redis has confirmed this member's lease.")
	linkMembers    = desc("remote_members", "Members that are alive, this one included.")
	linkBuffered   = desc("remote_buffered", "Messages for other members that wait, or that Redis has not taken yet.")
	linkDrifted    = desc("remote_drifted_members", "Other members that are alive and have another configuration than this one.")
	linkMaxBuffer  = desc("remote_max_buffered", "Messages for other members that may wait: sluice.remote.maxBuffered.")
	linkCoalesced  = desc("remote_coalesced_total", "Messages that met an equal one in the buffer, which carries them too.")
	linkFlushed    = desc("remote_flushed_total", "Messages that left the buffer, by reason.", "reason")
	linkRefused    = desc("remote_refused_total", "Messages refused because the buffer was full.")
	linkSent       = desc("remote_sent_total", "Messages that Redis has taken, or that no other member was to get.")
	linkEntries    = desc("remote_entries_total", "Entries put into the log that all members read; one carries many messages.")
	linkReceived   = desc("remote_received_total", "Messages of other members.")
	linkRepeated   = desc("remote_repeated_total", "Entries of the log that came twice and were delivered once.")
	linkRecognised = desc("remote_recognised_total", "Messages of other members that were not delivered again, because one with the same id had been.")
	linkDropped    = desc("remote_dropped_total", "Messages dropped, or where they were not counted entries, by reason.", "reason")
	linkSkipped    = desc("remote_skipped_total", "Parts of the log and of the members' keys that could not be read, by kind.", "kind")
	linkFailures   = desc("remote_failures_total", "What Redis did not do when it was asked, by what.", "what")
	linkLosses     = desc("remote_redis_losses_total", "Times that Redis was found to have lost data.")
	linkReaped     = desc("remote_reaped_total", "Dead members whose registrations this one has removed.")
	linkRegistered = desc("remote_registered_sockets", "Sockets of this member in the registry, at the last pass.")
	linkRepairs    = desc("remote_registry_repairs_total", "Registrations that a pass has added or removed.")
	linkLag        = desc("remote_inbox_lag_seconds", "From Redis to this member, by the clock of Redis.")
	linkCommands   = desc("redis_command_duration_seconds", "Round trips to Redis, reading the log excluded.")
	linkResent     = desc("remote_resent_total", "Entries that were sent again because a member lacked them.")
	linkGaps       = desc("remote_gaps_total", "Times that this member asked another for entries that it lacked.")
	linkKept       = desc("remote_unacknowledged", "Messages that Redis has taken and a member that reads has not acknowledged.")
	canarySeconds  = desc("canary_seconds", "From another member to this one, measured each second with a message of its own.", "from", "to")
	canaryMissed   = desc("canary_missed_total", "Seconds without a message from another member that is alive.", "from", "to")
	linkEvicts     = desc("redis_evicts", "1 where the maxmemory-policy of Redis drops keys when its memory is full, else 0.")
	linkErrors     = desc("redis_command_errors_total", "Round trips to Redis that failed.")
)

// Describe implements prometheus.Collector.
func (c linkCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		linkUp, linkLease, linkMembers, linkBuffered, linkCoalesced, linkFlushed, linkRefused, linkSent, linkEntries, linkReceived,
		linkRepeated, linkRecognised, linkDropped, linkSkipped, linkFailures, linkLosses, linkReaped, linkRegistered, linkRepairs, linkLag, linkCommands, linkErrors,
		linkResent, linkGaps, linkKept, canarySeconds, canaryMissed, linkEvicts, linkDrifted, linkMaxBuffer,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c linkCollector) Collect(ch chan<- prometheus.Metric) {
	if c.server.Cluster == nil {
		return
	}
	st := c.server.Cluster.Stats()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(linkUp, oneIf(st.Healthy))
	gauge(linkLease, st.LeaseAge.Seconds())
	gauge(linkMembers, float64(st.Members))
	gauge(linkBuffered, float64(st.Buffer.Buffered))
	gauge(linkMaxBuffer, float64(c.server.Engine.Int(remote.PropMaxBuffered).Server()))
	gauge(linkDrifted, float64(c.server.drifted()))
	counter(linkCoalesced, st.Buffer.Coalesced)
	for reason, n := range map[string]int64{
		"due": st.Buffer.Flushed.Due, "order": st.Buffer.Flushed.Order, "sync": st.Buffer.Flushed.Sync, "closed": st.Buffer.Flushed.Closed,
	} {
		counter(linkFlushed, n, reason)
	}
	counter(linkRefused, st.Buffer.Refused)
	counter(linkSent, st.Sent)
	counter(linkEntries, st.Posted)
	counter(linkReceived, st.Received)
	counter(linkRepeated, st.Repeated)
	counter(linkRecognised, c.server.recognised.Load())
	for reason, n := range st.Dropped {
		counter(linkDropped, n, reason)
	}
	for kind, n := range st.Skipped {
		counter(linkSkipped, n, kind)
	}
	for what, n := range map[string]int64{"send": st.Retries, "read": st.ReadsFailed, "register": st.RegistersFailed, "heartbeat": st.BeatsFailed} {
		counter(linkFailures, n, what)
	}
	counter(linkLosses, st.Losses)
	counter(linkReaped, st.Reaped)
	gauge(linkRegistered, float64(st.Registered))
	counter(linkRepairs, st.Repairs)
	ch <- histogram(linkLag, websockets.Latency(st.InboxLag))
	ch <- histogram(linkCommands, websockets.Latency(st.Commands))
	gauge(linkEvicts, oneIf(c.server.evicts() != ""))
	counter(linkErrors, st.CommandErrors)
	counter(linkResent, st.Resent)
	counter(linkGaps, st.Gaps)
	gauge(linkKept, float64(st.Kept))
	// Two processes may have one name.
	seen := map[string]bool{}
	for _, x := range c.server.Cluster.Canaries() {
		if seen[x.From] {
			continue
		}
		seen[x.From] = true
		ch <- histogram(canarySeconds, websockets.Latency(x.Seconds), x.From, c.server.Member)
		counter(canaryMissed, x.Missed, x.From, c.server.Member)
	}
}
