package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is what /metrics shows: counters that live with what they count, and
// the requests of the listeners. docs/metrics.md lists them.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	// authFailures counts requests that were refused for want of a token, a
	// password or a role.
	authFailures *prometheus.CounterVec
	handler      http.Handler
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_http_request_duration_seconds",
			Help: "Requests of the admin listener by route, method and status.",
			// From a look-up in memory to a reload of a large tree.
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"route", "method", "code"}),
		authFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_auth_failures_total", Help: "Requests that were refused for want of a token, a password or a role, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range authReasons {
		m.authFailures.WithLabelValues(reason) // so that the first one is an increase
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sluice_build_info", Help: "Always 1; the version is a label.",
			ConstLabels: prometheus.Labels{"version": s.Version},
		}, func() float64 { return 1 }),
		m.requests, m.authFailures,
		collector{s},
	)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	return m
}

func (s *Server) showMetrics(w http.ResponseWriter, r *http.Request) error {
	s.metrics.handler.ServeHTTP(w, r)
	return nil
}

// measure counts the requests of a listener by their route, of which there are
// as many as there are patterns; those that no pattern has are one.
func (m *metrics) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		start := time.Now()
		next.ServeHTTP(ww, r)
		route := "none" // known once the router has found it
		if rc := chi.RouteContext(r.Context()); rc != nil && rc.RoutePattern() != "" {
			route = rc.RoutePattern()
		}
		m.requests.WithLabelValues(route, knownMethod(r.Method), strconv.Itoa(status(ww))).Observe(time.Since(start).Seconds())
	})
}

func status(w middleware.WrapResponseWriter) int {
	if code := w.Status(); code != 0 {
		return code
	}
	return http.StatusOK
}

func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
		return method
	default:
		return "other"
	}
}

// described are all metrics that a collector has.
var described []*prometheus.Desc

func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("sluice_"+name, help, labels, nil)
	described = append(described, d)
	return d
}

var (
	// The files and the tree.
	configGeneration = desc("config_generation", "Swaps of the configuration since the start.")
	configLoads      = desc("config_loads_total", "Changes of files that were read.")
	configSuccess    = desc("config_last_reload_successful", "1 when every file of the last reload could be read, else 0.")
	configTime       = desc("config_last_reload_timestamp_seconds", "When the configuration in force was read.")
	configTook       = desc("config_last_reload_duration_seconds", "How long the last reload took.")
	configFiles      = desc("config_files", "Files by status.", "status")
	configErrors     = desc("config_errors", "Errors in the files that are in force.")
	configWatch      = desc("config_watch_mode", "1 for the way in which changes are noticed, 0 for the others.", "mode")
	configPending    = desc("config_restart_pending", "Properties whose values in the files are not in force until a restart.")
	configHeldUsers  = desc("config_held_users", "Users that the change which is held would send away; 0 where none is held.")
	configHeld       = desc("config_held_sockets", "Sockets that the change which is held would close; 0 where none is held.")
	configHolds      = desc("config_holds_total", "Changes that were held since the start.")
	configDegraded   = desc("config_degraded", "1 when the configuration needs an administrator, else 0.")

	// The listeners.
	connections        = desc("http_connections", "Connections of both listeners that are no sockets.")
	connectionsRefused = desc("http_connections_refused_total", "Connections that were closed at once, because there were too many descriptors.")
	certificateExpires = desc("tls_certificate_expiry_timestamp_seconds", "When the certificate of a listener ends, where it has one.", "listener")
	handshakesFailed   = desc("tls_handshake_errors_total", "TLS handshakes that failed.")
	certificateFailed  = desc("tls_certificate_reload_failed", "1 when the certificate's files have changed and cannot be used, else 0.", "listener")
	tokenFileFailed    = desc("auth_token_file_failed", "1 when the file of tokens cannot be read or has lines that are wrong, else 0.")

	// The sockets.
	socketsOpen        = desc("sockets", "Open sockets by class of their path and by protocol.", "path", "protocol")
	socketsQueued      = desc("socket_queued_frames", "Frames that wait to be written, of all sockets.")
	socketsQueuedBytes = desc("socket_queued_bytes", "Bytes that wait to be written, of all sockets.")
	socketsMuted       = desc("sockets_muted", "Open sockets that get no messages, because their users are switched off and held.")
	handshakes         = desc("handshakes_total", "Handshakes by result, ok or the code of the refusal; reason is the check behind a code that hides it.", "result", "reason")
	socketsClosed      = desc("sockets_closed_total", "Sockets that ended, by cause and code of the close frame; 0 is none.", "cause", "code")
	messagesQueued     = desc("messages_queued_total", "Service messages queued, once for each socket.")
	messagesConflated  = desc("messages_conflated_total", "Messages that were given up for newer ones of the same topic and folder while they waited, once for each socket.")
	clientEvents       = desc("client_events_total", "Events that clients sent.")
	framesReceived     = desc("frames_received_total", "Messages of clients, heartbeats included.")
	framesSent         = desc("frames_sent_total", "Frames written to clients.")
	bytesReceived      = desc("received_bytes_total", "Bytes of clients, after their handshakes.")
	bytesSent          = desc("sent_bytes_total", "Bytes written to clients, after their handshakes.")
	sendLatency        = desc("send_latency_seconds", "From the call that sends a message until the kernel has it, for the oldest message of each write.")
	recoveries         = desc("recoveries_total", "Clients that came back for what they missed, by result: all, gap where a part was not kept, unknown for a pid or offset that nothing is known of, foreign for the connection id of another session.", "result")
	recoveredMessages  = desc("recovered_messages_total", "Messages that clients got when they came back.")
	recoveredTwice     = desc("recovered_doubtful_total", "Of these, messages that had been written before without an answer of the browser: they may have arrived twice.")
	keptMessages       = desc("kept_messages", "Messages that are kept for clients that come back.")
	keptBytes          = desc("kept_bytes", "What these count as.")
	keptUsers          = desc("kept_users", "Users for whom messages are kept, those with sockets among them.")
	departures         = desc("departures", "Sockets that ended whose clients may come back for what they miss.")
	arrival            = desc("arrival_seconds", "From the call that sends a message until a client has answered that its browser, or its page, has it; of those messages that were asked for.", "at")
	arrivalAsking      = desc("arrival_asked_sockets", "Sockets that have not answered yet whether a message has come.")
	deliveriesKept     = desc("deliveries_remembered", "Messages of which is known what became of them.")
	deliveriesBytes    = desc("deliveries_bytes", "Bytes that the remembered messages count as.")
	rechecks           = desc("gate_rechecks_total", "Times that the gate was asked for all connected users, because the configuration changed.")
	recheckUsers       = desc("gate_recheck_users_total", "Users that these rechecks asked for.")
	recheckClosed      = desc("gate_recheck_closed_total", "Sockets that these rechecks closed.")

	// The store of sessions: our own its sessions, App Suite's what was asked of Redis.
	sessionsHeld   = desc("sessions", "Sessions of Sluice itself.")
	sessionsBad    = desc("sessions_unreadable_total", "Times that a session of Sluice in Redis could not be read and was skipped.")
	sessionLookups = desc("appsuite_session_lookups_total", "Sessions looked up in App Suite's Redis, by result.", "result")
	sessionTouches = desc("appsuite_session_touches_total", "Sessions of App Suite whose last use was written.")
	sessionEvents  = desc("appsuite_events_total", "Messages of App Suite about its sessions, by kind.", "kind")
	sessionFollows = desc("appsuite_events_followed", "1 while App Suite's channel of session events is subscribed to, else 0.")

	// The link to the other members, where there is one.
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

	// The store of decisions.
	storeOK       = desc("store_ok", "1 while decisions can be stored, and this member has what the cluster has, else 0.")
	storeRevision = desc("store_revision", "Number of the last write that this member has.")
	storeRecords  = desc("store_records", "Records, by kind.", "kind")
	storeBytes    = desc("store_bytes", "Size of the store file.")
	storeWrites   = desc("store_writes_total", "Writes that this member was asked for and that reached the file, refused ones included.")
	storeCommits  = desc("store_commits_total", "Transactions; each takes the writes that wait together.")
	storeSeconds  = desc("store_commit_seconds_total", "Time that these transactions took.")
	storeFailures = desc("store_failures_total", "Failures of the file or its disk.")
	storeResyncs  = desc("store_resyncs_total", "Times that this member took the whole state of the cluster over.")

	// The streams of events.
	eventStreams = desc("event_streams", "Clients that watch the events of this member.")
	eventsTotal  = desc("events_total", "Events, by kind; those of sockets only while somebody watches.", "kind")
	eventDrops   = desc("event_streams_dropped_total", "Streams that were ended because their client did not read.")

	// The notifications of producers.
	pushRequests  = desc("push_notifications_total", "Notifications of Dovecot, webhooks and the admin API by what became of them.", "result")
	pushBuffered  = desc("push_buffered", "Notifications that wait for equal ones, or are being delivered.")
	pushDelivered = desc("push_deliveries_total", "Notifications that left the buffer: to a socket here, to the other members alone, to nobody since the cluster knows of no socket of the user, or not at all since another member had accepted the same.", "outcome")
	pushKnown     = desc("push_registered_users", "Users that this member knows to be registered with Dovecot.")
	pushRegisters = desc("push_registrations_total", "Users registered with Dovecot since they opened a socket; left are those for whom no place was, and no_login sockets of users whom the directory gives no name.", "outcome")
	pushDoveAdm   = desc("push_doveadm_up", "Whether the last request to an endpoint of Dovecot's HTTP API was answered; missing before the first.", "endpoint")
	pushUnclaimed = desc("push_unclaimed_total", "Notifications of which Redis could not say whether another member had accepted the same.")

	// The reading of the platform's own database, where it is read.
	platformUp       = desc("platform_up", "1 while the platform's database answers, else 0.")
	platformRead     = desc("platform_read_timestamp_seconds", "When the last round over all connected users was complete.")
	platformKnown    = desc("platform_known", "Contexts and users of the platform that this member knows.")
	platformProblems = desc("platform_problems", "Rows of the platform's database that cannot be read and do not count.")
	platformQueries  = desc("platform_queries_total", "Queries to the platform's database.")

	// The lines of /readyz that want an administrator.
	degraded = desc("degraded", "1 for each check of /readyz that is degraded or held, 0 for the others.", "check")
)
