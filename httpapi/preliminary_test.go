package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

// TestPreliminaryBound holds an answer without pages to its limit.
func TestPreliminaryBound(t *testing.T) {
	var b strings.Builder
	for i := range maxPreliminary + 1 {
		fmt.Fprintf(&b, "com.example.many%05d=1\n", i)
	}
	w := newWorld(t, map[string]string{"many.properties": b.String()})
	const path = "/preliminary/configuration/v1/withPrefix/"
	w.ask("GET", path+"com.example.many", "").refused(t, 422, "too_many")
	w.ask("GET", path+"com.example.many/7/3", "").refused(t, 422, "too_many")
	var values map[string]string
	a := w.ask("GET", path+"com.example.many0/7/3", "")
	if a.into(t, &values); a.status != 200 || len(values) != 10_000 {
		t.Errorf("%d with %d values", a.status, len(values))
	}
}
