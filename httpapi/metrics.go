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

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/finding"
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
		processCollector{s},
		configCollector{s.Engine},
		socketCollector{s.Sockets},
		sessionCollector{s},
		linkCollector{s},
		storeCollector{s},
		eventCollector{s.Events},
		pushCollector{s},
		platformCollector{s},
		readinessCollector{s},
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

// configCollector shows the state of the engine.
type configCollector struct{ engine *cascade.Engine }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

var (
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
)

// Describe implements prometheus.Collector.
func (c configCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		configGeneration, configLoads, configSuccess, configTime, configTook, configFiles, configErrors, configWatch, configDegraded,
		configPending, configHeldUsers, configHeld, configHolds,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c configCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.engine.Status()
	at, took, loads := c.engine.LastLoad()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
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
	gauge(configGeneration, float64(st.Identity.Generation))
	ch <- prometheus.MustNewConstMetric(configLoads, prometheus.CounterValue, float64(loads))
	gauge(configSuccess, oneIf(files[cascade.FileFailed] == 0))
	gauge(configTime, float64(at.UnixMilli())/1000)
	gauge(configTook, took.Seconds())
	for status, n := range files {
		gauge(configFiles, float64(n), status)
	}
	gauge(configErrors, float64(errors))
	for _, mode := range []string{cascade.WatchInotify, cascade.WatchRescan, cascade.WatchOff} {
		gauge(configWatch, oneIf(st.Watch.Mode == mode), mode)
	}
	h := st.Held
	if h == nil {
		h = &cascade.Hold{}
	}
	gauge(configPending, float64(len(st.Pending)))
	gauge(configHeldUsers, float64(h.Users))
	gauge(configHeld, float64(h.Sockets))
	ch <- prometheus.MustNewConstMetric(configHolds, prometheus.CounterValue, float64(c.engine.Holds()))
	gauge(configDegraded, oneIf(st.Status != "ok"))
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// processCollector shows what belongs to the listeners.
type processCollector struct{ server *Server }

var (
	connections        = desc("http_connections", "Connections of both listeners that are no sockets.")
	connectionsRefused = desc("http_connections_refused_total", "Connections that were closed at once, because there were too many descriptors.")
	certificateExpires = desc("tls_certificate_expiry_timestamp_seconds", "When the certificate of a listener ends, where it has one.", "listener")
	handshakesFailed   = desc("tls_handshake_errors_total", "TLS handshakes that failed.")
	certificateFailed  = desc("tls_certificate_reload_failed", "1 when the certificate's files have changed and cannot be used, else 0.", "listener")
	tokenFileFailed    = desc("auth_token_file_failed", "1 when the file of tokens cannot be read or has lines that are wrong, else 0.")
)

// Describe implements prometheus.Collector.
func (c processCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connections, connectionsRefused, handshakesFailed, certificateExpires, certificateFailed, tokenFileFailed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c processCollector) Collect(ch chan<- prometheus.Metric) {
	b := c.server.budget
	ch <- prometheus.MustNewConstMetric(connections, prometheus.GaugeValue, float64(b.open.Load()))
	ch <- prometheus.MustNewConstMetric(connectionsRefused, prometheus.CounterValue, float64(b.refused.Load()))
	ch <- prometheus.MustNewConstMetric(handshakesFailed, prometheus.CounterValue, float64(c.server.errors.handshakes.Load()))
	for listener, cert := range map[string]*Certificate{"public": c.server.Certificate, "admin": c.server.AdminCertificate} {
		if cert != nil {
			ch <- prometheus.MustNewConstMetric(certificateExpires, prometheus.GaugeValue, float64(cert.Expires().Unix()), listener)
			ch <- prometheus.MustNewConstMetric(certificateFailed, prometheus.GaugeValue, oneIf(cert.failed.Load()), listener)
		}
	}
	if f := c.server.TokenFile; f != nil {
		ch <- prometheus.MustNewConstMetric(tokenFileFailed, prometheus.GaugeValue, oneIf(f.failed.Load()))
	}
}
