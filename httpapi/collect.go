package httpapi

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/store"
	"github.com/seed47708276/sluice/httpapi/doveadm"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/shared"
	"github.com/seed47708276/sluice/websockets/appsuite"
)

// collector reads the counters, which live with what they count, when somebody
// asks for the metrics.
type collector struct{ server *Server }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range described {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, collect := range []func(samples){
		c.server.collectConfig,
		c.server.collectProcess,
		c.server.collectSocket,
		c.server.collectSession,
		c.server.collectLink,
		c.server.collectStore,
		c.server.collectEvent,
		c.server.collectPush,
		c.server.collectPlatform,
		c.server.collectReadiness,
	} {
		collect(ch)
	}
}

// samples takes the values of one scrape.
type samples chan<- prometheus.Metric

type number interface {
	~int | ~int32 | ~int64 | ~uint64 | ~float64
}

func gauge[N number](out samples, d *prometheus.Desc, v N, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

func counter[N number](out samples, d *prometheus.Desc, v N, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func histogram(out samples, d *prometheus.Desc, l shared.Latency, labels ...string) {
	buckets, count := make(map[float64]uint64, len(l.Bounds)), uint64(0)
	for i, n := range l.Counts {
		count += uint64(n)
		if i < len(l.Bounds) {
			buckets[l.Bounds[i]] = count
		}
	}
	out <- prometheus.MustNewConstHistogram(d, count, l.Sum, buckets, labels...)
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (s *Server) collectConfig(out samples) {
	st := s.Engine.Status()
	at, took, loads := s.Engine.LastLoad()
	files := map[string]int{cascade.FileOK: 0, cascade.FileFailed: 0, cascade.FileHeld: 0, cascade.FileMissing: 0}
	errors := 0
	for _, f := range st.Files {
		files[f.Status]++
		for _, e := range f.Errors {
			if e.Severity == finding.Error {
				errors++
			}
		}
	}
	gauge(out, configGeneration, st.Identity.Generation)
	counter(out, configLoads, loads)
	gauge(out, configSuccess, oneIf(files[cascade.FileFailed] == 0))
	gauge(out, configTime, float64(at.UnixMilli())/1000)
	gauge(out, configTook, took.Seconds())
	for status, n := range files {
		gauge(out, configFiles, n, status)
	}
	gauge(out, configErrors, errors)
	for _, mode := range []string{cascade.WatchInotify, cascade.WatchRescan, cascade.WatchOff} {
		gauge(out, configWatch, oneIf(st.Watch.Mode == mode), mode)
	}
	h := st.Held
	if h == nil {
		h = &cascade.Hold{}
	}
	gauge(out, configPending, len(st.Pending))
	gauge(out, configHeldUsers, h.Users)
	gauge(out, configHeld, h.Sockets)
	counter(out, configHolds, s.Engine.Holds())
	gauge(out, configDegraded, oneIf(st.Status != "ok"))
}

func (s *Server) collectProcess(out samples) {
	b := s.budget
	gauge(out, connections, b.open.Load())
	counter(out, connectionsRefused, b.refused.Load())
	counter(out, handshakesFailed, s.errors.handshakes.Load())
	for listener, cert := range map[string]*Certificate{"public": s.Certificate, "admin": s.AdminCertificate} {
		if cert != nil {
			gauge(out, certificateExpires, cert.Expires().Unix(), listener)
			gauge(out, certificateFailed, oneIf(cert.failed.Load()), listener)
		}
	}
	if f := s.TokenFile; f != nil {
		gauge(out, tokenFileFailed, oneIf(f.Failed()))
	}
}

func (s *Server) collectSocket(out samples) {
	st := s.Sockets.Stats()
	for k, n := range st.Sockets {
		gauge(out, socketsOpen, n, k.Path, k.Protocol)
	}
	gauge(out, socketsQueued, st.Queued)
	gauge(out, socketsQueuedBytes, st.QueuedBytes)
	gauge(out, socketsMuted, st.Muted)
	for h, n := range st.Handshakes {
		counter(out, handshakes, n, h.Result, h.Reason)
	}
	for cl, n := range st.Closed {
		counter(out, socketsClosed, n, cl.Cause, strconv.Itoa(int(cl.Code)))
	}
	counter(out, messagesQueued, st.Messages)
	counter(out, messagesConflated, st.Conflated)
	counter(out, clientEvents, st.Events)
	counter(out, framesReceived, st.FramesIn)
	counter(out, framesSent, st.FramesOut)
	counter(out, bytesReceived, st.BytesIn)
	counter(out, bytesSent, st.BytesOut)
	histogram(out, sendLatency, st.SendLatency)
	histogram(out, arrival, st.Arrivals.Browser, "browser")
	histogram(out, arrival, st.Arrivals.Page, "page")
	gauge(out, arrivalAsking, st.Asking)
	gauge(out, deliveriesKept, st.Remembered)
	gauge(out, deliveriesBytes, st.Memory)
	counter(out, rechecks, st.Rechecks)
	counter(out, recheckUsers, st.RecheckUsers)
	counter(out, recheckClosed, st.RecheckClosed)
	for result, n := range st.Recoveries {
		counter(out, recoveries, n, result)
	}
	counter(out, recoveredMessages, st.Resent)
	counter(out, recoveredTwice, st.Doubtful)
	gauge(out, keptMessages, st.Kept)
	gauge(out, keptBytes, st.KeptBytes)
	gauge(out, keptUsers, st.KeptUsers)
	gauge(out, departures, st.Departures)
}

func (s *Server) collectSession(out samples) {
	switch store := s.Sessions.(type) {
	case interface{ Len() int }:
		gauge(out, sessionsHeld, store.Len())
	case interface{ Unreadable() int64 }:
		counter(out, sessionsBad, store.Unreadable())
	case interface{ Counts() appsuite.Counts }:
		n := store.Counts()
		for result, count := range n.Lookups {
			counter(out, sessionLookups, count, result)
		}
		for kind, count := range n.Events {
			counter(out, sessionEvents, count, kind)
		}
		counter(out, sessionTouches, n.Touched)
		gauge(out, sessionFollows, oneIf(n.Following))
	}
}

func (s *Server) collectLink(out samples) {
	if s.Cluster == nil {
		return
	}
	st := s.Cluster.Stats()
	gauge(out, linkUp, oneIf(st.Healthy))
	gauge(out, linkLease, st.LeaseAge.Seconds())
	gauge(out, linkMembers, st.Members)
	gauge(out, linkBuffered, st.Buffer.Buffered)
	gauge(out, linkMaxBuffer, cascade.ServerValue[int64](s.Engine.Snapshot(), remote.PropMaxBuffered))
	gauge(out, linkDrifted, s.drifted())
	counter(out, linkCoalesced, st.Buffer.Coalesced)
	for reason, n := range map[string]int64{
		"due": st.Buffer.Flushed.Due, "order": st.Buffer.Flushed.Order, "sync": st.Buffer.Flushed.Sync, "closed": st.Buffer.Flushed.Closed,
	} {
		counter(out, linkFlushed, n, reason)
	}
	counter(out, linkRefused, st.Buffer.Refused)
	counter(out, linkSent, st.Sent)
	counter(out, linkEntries, st.Posted)
	counter(out, linkReceived, st.Received)
	counter(out, linkRepeated, st.Repeated)
	counter(out, linkRecognised, s.recognised.Load())
	for reason, n := range st.Dropped {
		counter(out, linkDropped, n, reason)
	}
	for kind, n := range st.Skipped {
		counter(out, linkSkipped, n, kind)
	}
	for what, n := range map[string]int64{"send": st.Retries, "read": st.ReadsFailed, "register": st.RegistersFailed, "heartbeat": st.BeatsFailed} {
		counter(out, linkFailures, n, what)
	}
	counter(out, linkLosses, st.Losses)
	counter(out, linkReaped, st.Reaped)
	gauge(out, linkRegistered, st.Registered)
	counter(out, linkRepairs, st.Repairs)
	histogram(out, linkLag, st.InboxLag)
	histogram(out, linkCommands, st.Commands)
	gauge(out, linkEvicts, oneIf(s.evicts() != ""))
	counter(out, linkErrors, st.CommandErrors)
	counter(out, linkResent, st.Resent)
	counter(out, linkGaps, st.Gaps)
	gauge(out, linkKept, st.Kept)
	// Two processes may have one name.
	seen := map[string]bool{}
	for _, x := range s.Cluster.Canaries() {
		if seen[x.From] {
			continue
		}
		seen[x.From] = true
		histogram(out, canarySeconds, x.Seconds, x.From, s.Member)
		counter(out, canaryMissed, x.Missed, x.From, s.Member)
	}
}

func (s *Server) collectStore(out samples) {
	if s.Store == nil {
		return // only tests have none
	}
	n := s.Store.Stats()
	gauge(out, storeOK, oneIf(s.Store.Standing() == nil))
	gauge(out, storeRevision, n.Revision)
	gauge(out, storeBytes, n.Bytes)
	counter(out, storeWrites, n.Writes)
	counter(out, storeCommits, n.Commits)
	counter(out, storeSeconds, n.Took.Seconds())
	counter(out, storeFailures, n.Failures)
	counter(out, storeResyncs, n.Resyncs)
	for _, k := range store.Kinds {
		gauge(out, storeRecords, n.Records[k], string(k))
	}
}

func (s *Server) collectEvent(out samples) {
	gauge(out, eventStreams, s.Events.Watchers())
	counter(out, eventDrops, s.Events.Dropped())
	for kind, n := range s.Events.Counts() {
		counter(out, eventsTotal, n, kind)
	}
}

func (s *Server) collectPush(out samples) {
	st, counts := s.pushes.status(), &s.pushes.counts
	for result, n := range st.Requests {
		counter(out, pushRequests, n, result)
	}
	gauge(out, pushBuffered, st.Waiting)
	for outcome, n := range map[string]int64{
		"here": counts.delivered.Load(), "others": counts.carried.Load(), "no_socket": counts.noSocket.Load(), "duplicate": counts.duplicate.Load(),
	} {
		counter(out, pushDelivered, n, outcome)
	}
	r := s.registrar
	gauge(out, pushKnown, r.known.Len())
	counter(out, pushRegisters, r.done.Load(), "done")
	counter(out, pushRegisters, r.failed.Load(), "failed")
	counter(out, pushRegisters, r.left.Load(), "left")
	counter(out, pushRegisters, r.nameless.Load(), "no_login")
	for _, e := range st.Endpoints {
		if e.Status != doveadm.StatusUnasked {
			gauge(out, pushDoveAdm, oneIf(e.Status == doveadm.StatusOK), e.URL)
		}
	}
	counter(out, pushUnclaimed, counts.unclaimed.Load())
}

func (s *Server) collectPlatform(out samples) {
	if s.Platform == nil {
		return
	}
	st := s.Platform.Status()
	gauge(out, platformUp, oneIf(st.Error == ""))
	if st.Round != nil {
		gauge(out, platformRead, float64(st.Round.UnixMilli())/1000)
	}
	gauge(out, platformKnown, st.Known)
	gauge(out, platformProblems, len(st.Problems))
	counter(out, platformQueries, st.Queries)
}

func (s *Server) collectReadiness(out samples) {
	if s.Store == nil {
		return // only tests have none
	}
	_, checks := s.readiness()
	for _, k := range checks {
		gauge(out, degraded, oneIf(k.Status != "ok" && k.Status != "warning"), k.Name)
	}
}
