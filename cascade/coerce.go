package cascade

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/tables"
)

// Parse is the one coercion table: every caller, typed getter, explanation and
// write check reads text through it. The result is a bool, an int64 (Int;
// Duration in its unit; a string where Enum has the word), a time.Duration (TimeSpan), a string or a []string.
//
// Text that does not fit is an error, and the last good value of the property
// applies, else its default; a boolean without a last good value is false.
func (d *Declaration) Parse(raw string) (any, error) {
	v := tables.Trim(raw)
	switch d.Kind {
	case Bool:
		switch b := tables.BoolBits(raw); b {
		case tables.BitTrue:
			return true, nil
		case tables.BitFalse:
			return false, nil
		}
		return false, fmt.Errorf("%s is neither true nor false", finding.Quote(raw))
	case Int, Duration:
		if i := slices.IndexFunc(d.Enum, func(e string) bool { return strings.EqualFold(e, v) }); i >= 0 {
			return d.Enum[i], nil
		}
		return d.parseInt(v)
	case TimeSpan:
		span, err := parseSpan(v)
		if err != nil {
			return nil, err
		}
		if ms := span.Milliseconds(); d.Ranged() && (ms < d.Min || ms > d.Max) {
			return nil, fmt.Errorf("%s is out of range: use %v to %v", finding.Quote(raw),
				time.Duration(d.Min)*time.Millisecond, time.Duration(d.Max)*time.Millisecond)
		}
		return span, nil
	case Enum:
		if i := slices.IndexFunc(d.Enum, func(e string) bool { return strings.EqualFold(e, v) }); i >= 0 {
			return d.Enum[i], nil
		}
		return nil, fmt.Errorf("%s is none of %s", finding.Quote(raw), strings.Join(d.Enum, ", "))
	case List:
		items := splitList(v)
		for _, it := range items {
			if len(d.Enum) > 0 && !slices.Contains(d.Enum, it) {
				return nil, fmt.Errorf("%s is none of %s", finding.Quote(it), strings.Join(d.Enum, ", "))
			}
		}
		return items, nil
	}
	return raw, nil
}

// Ranged reports whether Min and Max bound the value.
func (d *Declaration) Ranged() bool { return d.Min != 0 || d.Max != 0 }

func (d *Declaration) parseInt(v string) (any, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		what := "a whole number"
		if d.Unit != "" {
			what += " of " + d.Unit
		}
		if len(d.Enum) > 0 {
			what += ", nor one of " + strings.Join(d.Enum, ", ")
		}
		return nil, fmt.Errorf("%s is not %s", finding.Quote(v), what)
	}
	lo, hi := int64(math.MinInt32), int64(math.MaxInt32)
	if d.Ranged() {
		lo, hi = d.Min, d.Max
	}
	if n < lo || n > hi {
		return nil, fmt.Errorf("%d is out of range: use %d to %d", n, lo, hi)
	}
	return n, nil
}

// spanUnits are the units of a TimeSpan.
var spanUnits = map[string]time.Duration{
	"": time.Millisecond, "ms": time.Millisecond, "s": time.Second,
	"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// parseSpan reads numbers with units, added up ("1h30m"). Unlike the existing
// system it refuses what it does not understand: there "1.5h" is 15 hours.
func parseSpan(v string) (time.Duration, error) {
	bad := func() error {
		return fmt.Errorf("%s is not a time span: write 500ms, 10s, 5m, 2h (a bare number is milliseconds)", finding.Quote(v))
	}
	rest, total := strings.ReplaceAll(v, " ", ""), time.Duration(0)
	if rest == "" {
		return 0, bad()
	}
	for rest != "" {
		n := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if n < 0 {
			n = len(rest)
		}
		num, err := strconv.ParseInt(rest[:n], 10, 64)
		if err != nil {
			return 0, bad()
		}
		rest = rest[n:]
		u := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' })
		if u < 0 {
			u = len(rest)
		}
		unit, ok := spanUnits[strings.ToLower(rest[:u])]
		if !ok {
			return 0, bad()
		}
		if num > int64((math.MaxInt64-total)/unit) {
			return 0, errors.New("the time span is too long")
		}
		total += time.Duration(num) * unit
		rest = rest[u:]
	}
	return total, nil
}

// splitList splits a comma list and drops empty items.
func splitList(s string) []string {
	items := []string{}
	for it := range strings.SplitSeq(s, ",") {
		if it = tables.Trim(it); it != "" {
			items = append(items, it)
		}
	}
	return items
}
