// Package charttest renders the chart with Helm's own engine and decodes what
// comes out into the types of the APIs that take it. It is a module of its own:
// what it needs takes a minute or two to build, and Sluice needs none of it.
package charttest

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden output")

const (
	chartDir  = "../chart"
	goldenDir = "testdata/golden"
	// kubeVersion is the oldest that the chart is for.
	kubeVersion = "v1.30.0"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	must(t, err)
	return c
}

// render is what `helm template` prints: the values are checked against the schema,
// and the templates rendered. Keys are the names of the templates.
func render(t *testing.T, release string, values map[string]any) (map[string]string, error) {
	t.Helper()
	kube, err := chartutil.ParseKubeVersion(kubeVersion)
	must(t, err)
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *kube
	c := loadChart(t)
	top, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{
		Name: release, Namespace: "mail", Revision: 1, IsInstall: true,
	}, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, top)
}

// object is one that was rendered: its text, and its kind's own type.
type object struct {
	kind, name string
	text       []byte
	value      any
}

var kinds = map[string]func() any{
	"apps/v1 StatefulSet":                     func() any { return new(apps.StatefulSet) },
	"v1 ConfigMap":                            func() any { return new(core.ConfigMap) },
	"v1 Secret":                               func() any { return new(core.Secret) },
	"v1 Service":                              func() any { return new(core.Service) },
	"policy/v1 PodDisruptionBudget":           func() any { return new(policy.PodDisruptionBudget) },
	"networking.k8s.io/v1 NetworkPolicy":      func() any { return new(networking.NetworkPolicy) },
	"networking.k8s.io/v1 Ingress":            func() any { return new(networking.Ingress) },
	"gateway.networking.k8s.io/v1 HTTPRoute":  func() any { return new(gateway.HTTPRoute) },
	"monitoring.coreos.com/v1 ServiceMonitor": func() any { return new(monitoring.ServiceMonitor) },
	"monitoring.coreos.com/v1 PrometheusRule": func() any { return new(monitoring.PrometheusRule) },
}

// objects decodes what was rendered; a field that its type does not know is an
// error.
func objects(t *testing.T, files map[string]string) (list []object) {
	t.Helper()
	for file, text := range files {
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
			if strings.TrimSpace(doc) == "" {
				continue
			}
			var head struct {
				APIVersion, Kind string
				Metadata         struct{ Name string }
			}
			must(t, yaml.Unmarshal([]byte(doc), &head))
			make, known := kinds[head.APIVersion+" "+head.Kind]
			if !known {
				t.Fatalf("%s: no type for %s %s", file, head.APIVersion, head.Kind)
			}
			o := object{kind: head.Kind, name: head.Metadata.Name, text: []byte(doc), value: make()}
			if err := yaml.UnmarshalStrict(o.text, o.value); err != nil {
				t.Errorf("%s: %s %s: %v\n%s", file, o.kind, o.name, err, doc)
			}
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b object) int { return strings.Compare(a.kind+" "+a.name, b.kind+" "+b.name) })
	return list
}

// find is the only object of type T with a name that ends so.
func find[T any](t *testing.T, list []object, suffix string) *T {
	t.Helper()
	var found *T
	for _, o := range list {
		if v, ok := o.value.(*T); ok && strings.HasSuffix(o.name, suffix) {
			if found != nil {
				t.Fatalf("two %T end with %q", v, suffix)
			}
			found = v
		}
	}
	if found == nil {
		t.Fatalf("no %T ends with %q", found, suffix)
	}
	return found
}

func valuesFile(t *testing.T, name string) map[string]any {
	t.Helper()
	v, err := chartutil.ReadValuesFile(filepath.Join("testdata", name+".values.yaml"))
	must(t, err)
	return v
}

// cases are the value files with golden output.
var cases = []string{"one", "redis", "mariadb", "everything"}

func TestGoldenChart(t *testing.T) {
	for _, name := range cases {
		t.Run(name, func(t *testing.T) {
			files, err := render(t, "push", valuesFile(t, name))
			must(t, err)
			var out bytes.Buffer
			for _, o := range objects(t, files) {
				if c, ok := o.value.(*core.ConfigMap); ok && strings.HasSuffix(o.name, "-dashboard") {
					o.text = withoutDashboard(t, c, o.text)
				}
				fmt.Fprintf(&out, "---\n%s\n", bytes.TrimSpace(o.text))
			}
			golden := filepath.Join(goldenDir, name+".yaml")
			if *update {
				must(t, os.WriteFile(golden, out.Bytes(), 0o644))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%s: rendered otherwise: -args -update rewrites it\n%s", golden, out.Bytes())
			}
		})
	}
}

// withoutDashboard is the text without the dashboard, which has to be the file's.
func withoutDashboard(t *testing.T, c *core.ConfigMap, text []byte) []byte {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(chartDir, "files/dashboard.json"))
	must(t, err)
	if c.Data["sluice.json"] != string(want) {
		t.Error("the dashboard is another than files/dashboard.json")
	}
	head, _, _ := bytes.Cut(text, []byte("sluice.json:"))
	return append(slices.Clone(head), "sluice.json: (files/dashboard.json)"...)
}

// inputs are the files that the golden output is made of.
func inputs(t *testing.T) (list []string) {
	t.Helper()
	for _, pattern := range []string{
		chartDir + "/Chart.yaml", chartDir + "/values.yaml", chartDir + "/values.schema.json", chartDir + "/templates/*", "testdata/*.values.yaml",
	} {
		files, err := filepath.Glob(pattern)
		must(t, err)
		list = append(list, files...)
	}
	slices.Sort(list)
	return list
}

// The sum of what the golden output was made of stands beside it, so that the tests
// of the main module, which have no Helm, know golden output that is old.
func TestGoldenInputs(t *testing.T) {
	sum := sha256.New()
	for _, file := range inputs(t) {
		b, err := os.ReadFile(file)
		must(t, err)
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(file), len(b), b)
	}
	text := fmt.Sprintf("%x\n", sum.Sum(nil))
	if *update {
		must(t, os.WriteFile(filepath.Join(goldenDir, "inputs.sha256"), []byte(text), 0o644))
	}
	want, err := os.ReadFile(filepath.Join(goldenDir, "inputs.sha256"))
	must(t, err)
	if text != string(want) {
		t.Error("the golden output is of another chart: go test . -args -update")
	}
}
