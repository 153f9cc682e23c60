package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// repeated finds a member that stands twice, or nesting beyond the bound, by
// the tokens of encoding/json.
func repeated(b []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var walk func(depth int) bool
	walk = func(depth int) bool {
		tok, err := dec.Token()
		if err != nil {
			panic(err)
		}
		d, _ := tok.(json.Delim)
		if d == 0 {
			return false
		}
		if depth == maxDepth {
			return true
		}
		seen := map[string]bool{}
		for dec.More() {
			if d == '{' {
				name, _ := dec.Token()
				if seen[name.(string)] {
					return true
				}
				seen[name.(string)] = true
			}
			if walk(depth + 1) {
				return true
			}
		}
		_, err = dec.Token()
		return err != nil
	}
	return walk(0)
}

func FuzzCheckMembers(f *testing.F) {
	var many strings.Builder
	for i := range 3 * manyMembers {
		fmt.Fprintf(&many, `"m%d":%d,`, i, i)
	}
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{"a":[{"b":1},{"b":2}]}`, `{"a":"\u0061","\u0061":1}`,
		`{"a":{"a":{"a":1}},"b":"}\",{"}`, ` { "a" : [ ] } `, `{"a":[["b","b"],{"b":["b"]}]}`, `{"\ud800":1,"\ufffd":2}`,
		`{"a":{` + many.String() + `"last":1}}`, `{"a":{` + many.String() + `"m3":1}}`, strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) || bytes.TrimLeft(b, " \t\r\n")[0] != '{' {
			return
		}
		var top map[string]json.RawMessage
		if json.Unmarshal(b, &top) != nil {
			return
		}
		var names []string
		for name := range top {
			names = append(names, name)
		}
		if err := checkMembers(b, names); (err != nil) != repeated(b) {
			t.Fatalf("%s: %v, reference says %v", b, err, repeated(b))
		}
	})
}
