package charttest

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"
	"sigs.k8s.io/yaml"
)

var (
	installCommand = regexp.MustCompile(`(?m)^helm install (\S+) deploy/chart(.*)$`)
	setOption      = regexp.MustCompile(`--set (?:'([^']*)'|(\S+))`)
	valuesBlock    = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
)

// The commands and the values that the documentation shows can be rendered.
func TestDocumentedCommands(t *testing.T) {
	commands, blocks := 0, 0
	for _, page := range []string{"../chart/README.md", "../../docs/operations.md"} {
		b, err := os.ReadFile(page)
		must(t, err)
		for _, m := range installCommand.FindAllStringSubmatch(string(b), -1) {
			values := map[string]any{}
			for _, set := range setOption.FindAllStringSubmatch(m[2], -1) {
				must(t, strvals.ParseInto(set[1]+set[2], values))
			}
			if strings.Count(m[2], "--set") != len(setOption.FindAllString(m[2], -1)) {
				t.Errorf("%s: a --set of %q is not understood", page, m[0])
			}
			files, err := render(t, m[1], values)
			if err != nil {
				t.Errorf("%s: %s: %v", page, m[0], err)
				continue
			}
			objects(t, files)
			commands++
		}
		if !strings.HasSuffix(page, "README.md") {
			continue
		}
		for _, m := range valuesBlock.FindAllStringSubmatch(string(b), -1) {
			values := chartutil.Values{}
			must(t, yaml.Unmarshal([]byte(m[1]), &values))
			files, err := render(t, "push", values)
			must(t, err)
			objects(t, files)
			blocks++
		}
	}
	if commands < 3 || blocks == 0 {
		t.Errorf("%d commands and %d blocks of values found", commands, blocks)
	}
}
