package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDirectorySetAgain has others change a context between the reading and the
// writing: what they did stays, and somebody who is always faster ends it.
func TestDirectorySetAgain(t *testing.T) {
	for others, want := range map[int]int{0: 0, 2: 0, 99: 1} {
		revision, tags := 1, []string{"webmail"}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				_ = json.NewEncoder(w).Encode(map[string]any{"id": 7, "enabled": true, "tags": tags, "revision": revision})
				if others > 0 {
					others--
					revision++
					tags = append(tags, fmt.Sprint("theirs", revision))
				}
				return
			}
			if r.Header.Get("If-Match") != fmt.Sprintf(`"%d"`, revision) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusPreconditionFailed)
				_, _ = w.Write([]byte(`{"code":"stale","detail":"context 7 has another revision"}`))
				return
			}
			var in struct{ Tags []string }
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				t.Error(err)
			}
			tags = in.Tags
			_ = json.NewEncoder(w).Encode(map[string]any{"id": 7, "enabled": true, "tags": tags, "revision": revision + 1})
		}))
		before := others
		code, out, errs := run("context", "set", "7", "--add-tags", "mine", "--server", s.URL)
		s.Close()
		told := strings.Count(errs, "was changed by somebody else meanwhile")
		switch {
		case code != want:
			t.Errorf("%d others: %d\n%s%s", before, code, out, errs)
		case want == 0 && (told != before || len(tags) != before+2 || !strings.Contains(out, "mine")):
			t.Errorf("%d others: told of %d, tags %v\n%s", before, told, tags, out)
		}
	}
}
