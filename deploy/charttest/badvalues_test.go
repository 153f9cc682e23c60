package charttest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v, err := chartutil.ReadValues([]byte(text))
	must(t, err)
	return v
}

// Each value that cannot be is refused before anything is installed, with a message
// that names the value.
func TestBadValues(t *testing.T) {
	const clustered = "redis: {hosts: [r:6379]}\n"
	for text, want := range map[string][]string{
		// The schema's.
		"replicas: 0":                                  {"at '/replicas': minimum: got 0, want 1"},
		"replicas: many":                               {"at '/replicas': got string, want integer"},
		"replica: 3":                                   {"additional properties 'replica' not allowed"},
		"redis: {host: r}":                             {"at '/redis': additional properties 'host' not allowed"},
		"redis: {mode: guess}":                         {"at '/redis/mode'", "'standalone', 'sentinel', 'cluster'"},
		"redis: {hosts: ['a:1,b:2']}":                  {"at '/redis/hosts/0'", "does not match pattern"},
		"redis: {hosts: r:6379}":                       {"at '/redis/hosts'", "want array"},
		"fullnameOverride: Push_1":                     {"at '/fullnameOverride'", "does not match pattern"},
		"fullnameOverride: " + letters(53):             {"at '/fullnameOverride'", "does not match pattern"},
		"image: {pullPolicy: Sometimes}":               {"at '/image/pullPolicy'", "'IfNotPresent'"},
		"properties: {a: [1, 2]}":                      {"at '/properties/a': got array, want boolean or number or string"},
		"properties: {'': x}":                          {"at '/properties': additional properties '' not allowed"},
		"properties: {sluice.public.port: 1}":          {"properties: sluice.public.port is the chart's own"},
		"secretProperties: {sluice.remote.member: x}":  {"secretProperties: sluice.remote.member is the chart's own"},
		"contextSets: {a: {x: y}}":                     {"at '/contextSets/a': missing property 'withTags'"},
		"contextSets: {a: {withTags: 1}}":              {"at '/contextSets/a/withTags': got number, want string"},
		"contextSets: {a: {withTags: t, priority: x}}": {"at '/contextSets/a/priority': got string, want integer"},
		"etcFiles: {'../a.properties': x}":             {"at '/etcFiles': additional properties '../a.properties' not allowed"},
		"etcFiles: {a.properties: x, /opt/open-xchange/etc/a.properties: z}": {"etcFiles: a.properties is there twice"},
		"etcFiles: {" + letters(254) + ": x}":                                {"is longer than the 253 characters"},
		"etcFiles: {a..b: x}":                                                {"at '/etcFiles': additional properties 'a..b' not allowed"},
		"etcFiles: {/etc/passwd: x}":                                         {"at '/etcFiles': additional properties '/etc/passwd' not allowed"},
		"etcFiles: {a.properties: {b: c}}":                                   {"at '/etcFiles/a.properties': got object, want string"},
		"existingSecret: Big":                                                {"at '/existingSecret'", "does not match pattern"},
		"keeper: {ordinal: -1}":                                              {"at '/keeper/ordinal': minimum: got -1, want 0"},
		"persistence: {size: big}":                                           {"at '/persistence/size'", "does not match pattern"},
		"drain: {delaySeconds: 600}":                                         {"at '/drain/delaySeconds': maximum: got 600, want 60"},
		"service: {type: ExternalName}":                                      {"at '/service/type'", "'ClusterIP'"},
		"serviceMonitor: {interval: often}":                                  {"at '/serviceMonitor/interval'", "does not match pattern"},
		"podDisruptionBudget: {maxUnavailable: 0}":                           {"at '/podDisruptionBudget/maxUnavailable': minimum: got 0, want 1"},
		"httpRoute: {parentRefs: [{}]}":                                      {"at '/httpRoute/parentRefs/0': missing property 'name'"},
		// What does not go together.
		"replicas: 3": {"replicas is 3 and redis.hosts is empty: members find each other over Redis"},
		clustered + "persistence: {enabled: false}":                            {"persistence.enabled is false and database.hosts is empty", "the keeper's file"},
		clustered + "replicas: 3\nkeeper: {ordinal: 3}":                        {"keeper.ordinal is 3 and replicas is 3: there is no such pod"},
		"platform: {enabled: true, user: u}":                                   {"platform.user is set and platform.hosts is empty"},
		"ingress: {enabled: true}":                                             {"ingress.hosts is empty"},
		"httpRoute: {enabled: true}":                                           {"httpRoute.parentRefs is empty"},
		"properties: {sluice.drain.spread: soon}":                              {"sluice.drain.spread=soon is not a time span"},
		"properties: {sluice.drain.spread: 11m}":                               {"sluice.drain.spread is 660 s: Sluice takes at most 10m"},
		"secretProperties: {sluice.drain.spread: 10s}":                         {"secretProperties: sluice.drain.spread belongs into properties"},
		"properties: {a: 12345678901234567890}":                                {"is too large to be kept exactly: write it in quotes"},
		"etcFiles: {big.properties: " + strings.Repeat("x", 900_001) + "}":     {"etcFiles: big.properties has 900001 bytes", "split the file"},
		"contextSets: {a: {withTags: t, v: " + strings.Repeat("x", 1e6) + "}}": {"properties and contextSets have 1000", "move some of them to etcFiles"},
	} {
		_, err := render(t, "push", values(t, text))
		if err == nil {
			t.Errorf("%.80q is taken", text)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%.80q: %.400s\nlacks %q", text, err, part)
			}
		}
	}
}

func letters(n int) string { return strings.Repeat("n", n) }

// The longest name of a release that Helm takes gives names and labels that a
// cluster takes, and another release has others.
func TestLongReleaseName(t *testing.T) {
	v := valuesFile(t, "redis")
	seen := map[string]bool{}
	for _, release := range []string{strings.Repeat("r", 53), strings.Repeat("r", 52) + "s", strings.Repeat("sluice", 8) + "-push"} {
		files, err := render(t, release, v)
		must(t, err)
		list := objects(t, files)
		for _, o := range list {
			// A Service's name is a label of DNS; so is a pod's, which is its host name.
			if errs := validation.IsDNS1035Label(o.name); len(errs) > 0 {
				t.Errorf("%s %q: %v", o.kind, o.name, errs)
			}
		}
		set := find[apps.StatefulSet](t, list, "")
		if pod, revision := set.Name+"-199", set.Name+"-0123456789"; len(pod) > 63 || len(revision) > 63 {
			t.Errorf("pod %q and revision %q: at most 63 characters", pod, revision)
		}
		for k, label := range set.Spec.Template.Labels {
			if errs := validation.IsValidLabelValue(label); len(errs) > 0 {
				t.Errorf("label %s=%q: %v", k, label, errs)
			}
		}
		if seen[set.Name] {
			t.Errorf("two releases have the name %s", set.Name)
		}
		seen[set.Name] = true
		keeper := "sluice.store.keeper=" + set.Name + "-0\n"
		if text := find[core.ConfigMap](t, list, set.Name).Data["chart.properties"]; !strings.Contains(text, keeper) {
			t.Errorf("no %q in\n%s", keeper, text)
		}
	}
}

// A tree of a megabyte is spread over ConfigMaps that a cluster takes, and stands
// whole in the pod.
func TestTreeOfMegabyte(t *testing.T) {
	const files, size = 50, 24_000
	tree := map[string]any{}
	for i := range files {
		tree[fmt.Sprintf("contextSets/set-%02d.yml", i)] = strings.Repeat("x", size)
	}
	rendered, err := render(t, "push", map[string]any{"etcFiles": tree})
	must(t, err)
	list := objects(t, rendered)
	mounted := map[string]string{}
	maps := map[string]*core.ConfigMap{}
	for _, o := range list {
		if c, ok := o.value.(*core.ConfigMap); ok {
			maps[c.Name] = c
			n := 0
			for k, v := range c.Data {
				n += len(k) + len(v)
				if errs := validation.IsConfigMapKey(k); len(errs) > 0 {
					t.Errorf("key %q: %v", k, errs)
				}
			}
			if n > 1<<20 {
				t.Errorf("%s has %d bytes", c.Name, n)
			}
		}
	}
	for _, v := range find[apps.StatefulSet](t, list, "").Spec.Template.Spec.Volumes {
		if v.Name != "tree" {
			continue
		}
		for _, s := range v.Projected.Sources {
			for _, item := range s.ConfigMap.Items {
				mounted[item.Path] = maps[s.ConfigMap.Name].Data[item.Key]
			}
		}
	}
	if len(mounted) != files || len(maps) != 3 {
		t.Errorf("%d files in %d ConfigMaps, want %d in 3", len(mounted), len(maps), files)
	}
	for path, text := range mounted {
		if text != tree[path] {
			t.Errorf("%s has %d bytes, want %d", path, len(text), size)
		}
	}
}

// The grace period has room for what the member does before it ends.
func TestGracePeriod(t *testing.T) {
	for spread, want := range map[string]int64{"": 35, "0": 25, "500ms": 26, "90": 26, "30s": 55, "1m30s": 115, "1M 30S": 115, "10m": 625} {
		v := map[string]any{}
		if spread != "" {
			v["properties"] = map[string]any{"sluice.drain.spread": spread}
		}
		files, err := render(t, "push", v)
		must(t, err)
		pod := find[apps.StatefulSet](t, objects(t, files), "").Spec.Template.Spec
		if got := *pod.TerminationGracePeriodSeconds; got != want {
			t.Errorf("sluice.drain.spread=%s: grace period %d s, want %d", spread, got, want)
		}
		if s := pod.Containers[0].Lifecycle.PreStop.Sleep; s == nil || s.Seconds != 5 {
			t.Errorf("preStop: %+v", s)
		}
	}
}

// Without a Redis, or with one that is away, no probe ends a member that serves;
// and the keeper's pod comes back with its name and its file.
func TestWhatIsAway(t *testing.T) {
	files, err := render(t, "push", valuesFile(t, "redis"))
	must(t, err)
	set := find[apps.StatefulSet](t, objects(t, files), "")
	c := set.Spec.Template.Spec.Containers[0]
	if c.LivenessProbe.HTTPGet.Path != "/livez" || c.StartupProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("probes: %v %v %v", c.LivenessProbe, c.StartupProbe, c.ReadinessProbe)
	}
	if set.Spec.PodManagementPolicy != apps.ParallelPodManagement {
		t.Error("members wait for the keeper")
	}
	if len(set.Spec.VolumeClaimTemplates) != 1 || set.Spec.VolumeClaimTemplates[0].Name != "state" {
		t.Errorf("the keeper's file has no volume: %v", set.Spec.VolumeClaimTemplates)
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.Name == "state" && m.MountPath == "/var/lib/sluice" }) {
		t.Errorf("the state is not mounted: %v", c.VolumeMounts)
	}
}

// What `helm lint --strict` says of the chart.
func TestLint(t *testing.T) {
	kube, err := chartutil.ParseKubeVersion(kubeVersion)
	must(t, err)
	for _, name := range cases {
		linter := lint.AllWithKubeVersion(chartDir, valuesFile(t, name), "mail", kube)
		for _, m := range linter.Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

// Every value of the schema's top level is used in a case with golden output.
func TestCasesUseEverything(t *testing.T) {
	used := map[string]bool{}
	for _, name := range cases {
		maps.Copy(used, asSet(valuesFile(t, name)))
	}
	for key := range loadChart(t).Values {
		if !used[key] && key != "fullnameOverride" && key != "database" && key != "topologySpread" {
			t.Errorf("no case sets %s", key)
		}
	}
}

func asSet(m map[string]any) map[string]bool {
	set := map[string]bool{}
	for k := range m {
		set[k] = true
	}
	return set
}
