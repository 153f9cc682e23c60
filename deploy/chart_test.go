package deploy_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite deploy/chart/README.md")

// valueSchema is what is used of values.schema.json.
type valueSchema struct {
	Type        string
	Description string
	Default     any
	Properties  map[string]*valueSchema
}

// leaf is a value of the chart by its path.
type leaf struct {
	path   string
	schema *valueSchema
}

func (s *valueSchema) leaves(path string) (list []leaf) {
	for name, p := range s.Properties {
		at := strings.TrimPrefix(path+"."+name, ".")
		if p.Properties != nil {
			list = append(list, leaf{at, p})
			list = append(list, p.leaves(at)...)
		} else {
			list = append(list, leaf{at, p})
		}
	}
	slices.SortFunc(list, func(a, b leaf) int { return cmp.Compare(a.path, b.path) })
	return list
}

func readSchema(t *testing.T) *valueSchema {
	t.Helper()
	b, err := os.ReadFile("chart/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s valueSchema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// TestChartReadme holds the chart's README to the schema that it is made from.
func TestChartReadme(t *testing.T) {
	const path = "chart/README.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| value | what | type | default |\n|---|---|---|---|\n")
	for _, l := range readSchema(t).leaves("") {
		if l.schema.Description == "" {
			t.Errorf("values.schema.json: %s has no description", l.path)
		}
		value := ""
		if l.schema.Properties == nil {
			b, err := json.Marshal(l.schema.Default)
			if err != nil {
				t.Fatal(err)
			}
			value = "`" + string(b) + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", l.path, strings.ReplaceAll(l.schema.Description, "|", `\|`), l.schema.Type, value)
	}
	const begin, end = "<!-- values -->\n", "<!-- /values -->\n"
	head, rest, ok := strings.Cut(string(page), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %s", path, begin)
	}
	want := head + begin + table.String() + end + tail
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("%s is not what values.schema.json says: go test ./deploy -run ChartReadme -args -update", path)
	}
}

// TestChartDefaults holds values.yaml to the defaults that the schema, and so the
// README, tells.
func TestChartDefaults(t *testing.T) {
	b, err := os.ReadFile("chart/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(b, &values); err != nil {
		t.Fatal(err)
	}
	var compare func(path string, s *valueSchema, v any)
	compare = func(path string, s *valueSchema, v any) {
		if s.Properties == nil {
			want, err1 := json.Marshal(s.Default)
			got, err2 := json.Marshal(v)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is %s in values.yaml and %s in the schema", path, got, want)
			}
			return
		}
		m, _ := v.(map[string]any)
		for name, p := range s.Properties {
			if path == "" && name == "global" {
				continue // Helm's own
			}
			value, ok := m[name]
			if !ok {
				t.Errorf("values.yaml lacks %s.%s", path, name)
				continue
			}
			compare(strings.TrimPrefix(path+"."+name, "."), p, value)
		}
		for name := range m {
			if s.Properties[name] == nil {
				t.Errorf("values.yaml has %s.%s, and the schema does not", path, name)
			}
		}
	}
	compare("", readSchema(t), values)
}

const goldenChart = "charttest/testdata/golden"

// TestGoldenChartIsNew compares what the golden output was made of with what there
// is. Rendering needs Helm, which takes minutes to build: `just torture`.
func TestGoldenChartIsNew(t *testing.T) {
	var files []string
	for _, pattern := range []string{
		"chart/Chart.yaml", "chart/values.yaml", "chart/values.schema.json", "chart/templates/*", "charttest/testdata/*.values.yaml",
	} {
		list, err := filepath.Glob(pattern)
		if err != nil || len(list) == 0 {
			t.Fatal(pattern, list, err)
		}
		files = append(files, list...)
	}
	// The order of the other module, which names them from its own folder.
	slices.SortFunc(files, func(a, b string) int { return cmp.Compare(fromChartTest(a), fromChartTest(b)) })
	sum := sha256.New()
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(file), len(b), b)
	}
	want, err := os.ReadFile(filepath.Join(goldenChart, "inputs.sha256"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x\n", sum.Sum(nil)); got != string(want) {
		t.Errorf("the golden output is of another chart: cd deploy/charttest && go test . -args -update")
	}
}

func fromChartTest(path string) string {
	if rel, ok := strings.CutPrefix(path, "charttest/"); ok {
		return rel
	}
	return "../" + path
}

// manifest is what is used of a rendered object.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Template struct {
			Spec struct {
				Volumes []struct {
					Name      string
					Projected struct {
						Sources []struct {
							ConfigMap struct {
								Name  string
								Items []struct{ Key, Path string }
							} `yaml:"configMap"`
						}
					}
				}
			}
		}
	}
}

// TestRenderedTrees has the server's own check read the trees that the chart makes,
// as a kubelet would lay them out.
func TestRenderedTrees(t *testing.T) {
	sluice := filepath.Join(unpacked(t), "usr/bin/sluice")
	for name, want := range map[string]string{
		"one":        "com.openexchange.websockets.enabled=true",
		"redis":      "sluice.store.keeper=push-sluice-0",
		"mariadb":    "sluice.database.hosts=db-0.data.svc,db-1.data.svc,db-2.data.svc",
		"everything": "com.openexchange.brand=Häßlich & acme",
	} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(goldenChart, name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			args := layOut(t, b)
			property, _, _ := strings.Cut(want, "=")
			env := append(os.Environ(), "BRAND=acme", "SLUICE_REDIS_PASSWORD=r", "SLUICE_DATABASE_PASSWORD=d", "SLUICE_PLATFORM_PASSWORD=p")
			cmd := exec.Command(sluice, append([]string{"get", property}, args...)...)
			cmd.Env = env
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), want+" ") {
				t.Errorf("get: %v\n%s", err, out)
			}
			cmd = exec.Command(sluice, append([]string{"check"}, args...)...)
			cmd.Env = env
			out, err = cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), " error: ") {
				t.Errorf("check: %v\n%s", err, out)
			}
		})
	}
}

// layOut writes the volumes of ConfigMaps into folders, and returns the options
// that name them in the order in which the image reads them.
func layOut(t *testing.T, rendered []byte) (args []string) {
	t.Helper()
	maps := map[string]map[string]string{}
	var set manifest
	for dec := yaml.NewDecoder(bytes.NewReader(rendered)); ; {
		var m manifest
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch m.Kind {
		case "ConfigMap":
			maps[m.Metadata.Name] = m.Data
		case "StatefulSet":
			set = m
		}
	}
	dirs := map[string]string{}
	for _, v := range set.Spec.Template.Spec.Volumes {
		for _, s := range v.Projected.Sources {
			for _, item := range s.ConfigMap.Items {
				if dirs[v.Name] == "" {
					dirs[v.Name] = t.TempDir()
				}
				file := filepath.Join(dirs[v.Name], item.Path)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				text, ok := maps[s.ConfigMap.Name][item.Key]
				if !ok {
					t.Fatalf("%s has no %s", s.ConfigMap.Name, item.Key)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, volume := range []string{"tree", "values"} {
		if dirs[volume] != "" {
			args = append(args, "--etc", dirs[volume])
		}
	}
	if len(args) == 0 || !reflect.DeepEqual(args[len(args)-1], dirs["values"]) {
		t.Fatalf("no volume values in %v", dirs)
	}
	return args
}
