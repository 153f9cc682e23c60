package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed47708276/sluice/cascade/sqlpool/sqltest"
	"github.com/seed47708276/sluice/remote/redistest"
	"github.com/seed47708276/sluice/testkit"
)

const (
	dashboardFile = "../deploy/chart/files/dashboard.json"
	// maxMetricsPage is what a scrape of a member may take, in bytes.
	maxMetricsPage = 60_000
	// scrapeInterval of the test's Prometheus; four of them are Grafana's interval
	// for rates.
	scrapeInterval = time.Second
)

// panelQuery is a query of a panel as Prometheus takes it.
type panelQuery struct{ panel, query string }

// dashboardQueries are the queries of all panels, with Grafana's variables
// replaced: all members, and rates over ten scrapes.
func dashboardQueries(t *testing.T) (list []panelQuery) {
	t.Helper()
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Type, Title, Description string
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", (10 * scrapeInterval).String(), "$instance", ".+")
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Description == "" {
			t.Errorf("panel %q has no query, or no description", p.Title)
		}
		for _, target := range p.Targets {
			query := variables.Replace(target.Expr)
			if strings.Contains(query, "$") {
				t.Errorf("panel %q: a variable is left in %s", p.Title, query)
			}
			list = append(list, panelQuery{p.Title, query})
		}
	}
	if len(list) < 30 {
		t.Fatalf("%s has %d queries", dashboardFile, len(list))
	}
	return list
}

// prometheus is Debian's, with two members to scrape.
type prometheus struct {
	t    *testing.T
	base string
}

// startPrometheus runs Prometheus on the members' listeners for administrators,
// which have TLS.
func startPrometheus(t *testing.T, members []*member) *prometheus {
	t.Helper()
	path := testkit.Tool(t, "prometheus", "prometheus")
	var targets []string
	for _, m := range members {
		_, host, _ := strings.Cut(m.tcp, "://")
		targets = append(targets, host)
	}
	dir := t.TempDir()
	put(t, dir, "prometheus.yml", fmt.Sprintf(`global: {scrape_interval: %s, scrape_timeout: %[1]s}
scrape_configs:
  - job_name: sluice
    scheme: https
    tls_config: {insecure_skip_verify: true}
    static_configs: [{targets: ['%s']}]
`, scrapeInterval, strings.Join(targets, "', '")))
	p := &prometheus{t: t}
	for range 5 { // another may take the port in between
		if p.start(path, dir) {
			return p
		}
	}
	b, _ := os.ReadFile(filepath.Join(dir, "log"))
	t.Fatalf("Prometheus does not start\n%s", b)
	return nil
}

// start runs the process until the end of the test, and reports whether it answers
// rather than ends.
func (p *prometheus) start(path, dir string) bool {
	p.t.Helper()
	// Below the ports that connections get.
	address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
	p.base = "http://" + address
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = log.Close()
	})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		res, err := http.Get(p.base + "/-/ready")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ended:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	p.t.Fatal("Prometheus is not ready")
	return false
}

// ask returns how many series with a number a query has. A query that is refused
// ends the test.
func (p *prometheus) ask(query string) int {
	p.t.Helper()
	res, err := http.Get(p.base + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s: %s", query, body)
	}
	numbers := 0
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			numbers++
		}
	}
	return numbers
}

// Each panel of the dashboard shows something of a cluster of two that is used.
func TestDashboard(t *testing.T) {
	t.Parallel()
	db := sqltest.Start(t)
	db.SQL(platformTables + fmt.Sprintf("INSERT INTO configdb.db_pool VALUES (3, 'jdbc:mysql://%s/', 'reader', 'reader', 'secret', 'one');", db.Host))
	cert, key, _ := testkit.Certificate(t)
	f := newFleet(t, redistest.Start(t), 2, delayProperty+"=0", "sluice.metrics.public=true",
		"sluice.admin.tls.cert="+cert, "sluice.admin.tls.key="+key,
		"sluice.platform.enabled=true", "sluice.platform.hosts="+db.Host, "sluice.platform.user=reader", "sluice.platform.password=secret", "sluice.platform.refresh=2s")
	a, b := f.members[0], f.members[1]
	p := startPrometheus(t, f.members)
	l := a.login(17)
	onB, err := b.dial(l, "stays")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // until the socket is closed by the end of the test
		for {
			if _, _, err := onB.Read(t.Context()); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = onB.CloseNow() })

	// use is what a cluster has all the time: a message, a socket that comes and
	// goes, and a handshake that is refused.
	use := func() {
		a.must("POST", "/admin/v1/messages", `{"context":1337,"user":17,"name":"n","args":["x"]}`)
		conn, err := a.dial(l, "goes")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.CloseNow()
		_, _ = b.dial(login{Session: "0123456789abcdef0123456789abcdef"}, "none")
	}
	for _, q := range dashboardQueries(t) {
		for deadline := time.Now().Add(patience); p.ask(q.query) == 0; use() {
			if time.Now().After(deadline) {
				t.Errorf("panel %q shows nothing: %s", q.panel, q.query)
				break
			}
		}
	}
	for _, m := range f.members {
		res, err := adminClient.Get(adminURL(m.admin, "/metrics"))
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || len(page) > maxMetricsPage {
			t.Errorf("the metrics of %s have %d bytes, want at most %d (%v)", m.name, len(page), maxMetricsPage, err)
		}
		t.Logf("the metrics of %s have %d bytes", m.name, len(page))
	}
}
