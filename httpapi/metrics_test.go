package httpapi

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// metric is the value of a series of /metrics, by its name with labels.
func (w *world) metric(series string) string {
	w.t.Helper()
	for line := range strings.Lines(w.ask("GET", "/metrics", "").body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (w *world) wantMetric(series, value string) {
	w.t.Helper()
	if got := w.metric(series); got != value {
		w.t.Errorf("%s is %q, want %q", series, got, value)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, tree)
	l := w.login(17)
	s := w.connect(l, "a")
	w.ask("POST", "/admin/v1/messages", `{"context":7,"user":17,"name":"n","args":["some text"]}`)
	s.want(`42["n","some text"]`)
	w.wantMetric(`sluice_sockets{path="/socket.io/appsuite/*",protocol="engine.io-v3"}`, "1")
	w.wantMetric(`sluice_sockets{path="/ws/*",protocol="text"}`, "0")
	w.wantMetric(`sluice_handshakes_total{reason="",result="ok"}`, "1")
	w.wantMetric(`sluice_messages_queued_total`, "1")
	// The question whether the message has come goes out behind it.
	w.poll("four frames are sent", func() bool { return w.metric(`sluice_frames_sent_total`) == "4" })
	w.wantMetric(`sluice_send_latency_seconds_count`, "1")
	w.wantMetric(`sluice_config_files{status="ok"}`, "4")
	w.wantMetric(`sluice_config_files{status="failed"}`, "0")
	w.wantMetric(`sluice_config_last_reload_successful`, "1")
	w.wantMetric(`sluice_config_degraded`, "0")
	w.wantMetric(`sluice_build_info{version="test"}`, "1")
	w.wantMetric(`sluice_sessions`, "1")

	w.file("a.properties", "broken=\\u00zz\n")
	w.reload()
	w.wantMetric(`sluice_config_last_reload_successful`, "0")
	w.wantMetric(`sluice_config_files{status="failed"}`, "1")
	w.wantMetric(`sluice_config_degraded`, "1")

	w.ask("DELETE", "/admin/v1/sockets?context=7", "")
	s.closed(4410)
	w.wantMetric(`sluice_http_request_duration_seconds_count{code="200",method="DELETE",route="/admin/v1/sockets"}`, "1")
	w.ask("GET", "/admin/v1/sessions/"+l.Session, "")
	w.wantMetric(`sluice_http_request_duration_seconds_count{code="200",method="GET",route="/admin/v1/sessions/{session}"}`, "1")
	w.ask("BREW", "/admin/v1/sockets", "")
	w.wantMetric(`sluice_http_request_duration_seconds_count{code="405",method="other",route="none"}`, "1")
	for _, text := range []string{l.Session, l.Secret} {
		if strings.Contains(w.ask("GET", "/metrics", "").body, text) {
			t.Error("a session's id or secret is in the metrics")
		}
	}
	problems, err := testutil.GatherAndLint(w.server.metrics.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
