package yamlfile

import (
	"strings"
	"testing"
)

// TestYAML11 holds what the existing system makes of unquoted scalars. Where
// the two texts are the same, nothing is said.
func TestYAML11(t *testing.T) {
	rows := []struct {
		in       string
		class    class
		existing string
	}{
		{"010", classInt, "8"},
		{"-010", classInt, "-8"},
		{"00", classInt, "0"},
		{"0", classInt, "0"},
		{"-0", classInt, "0"},
		{"+5", classInt, "5"},
		{"0x1F", classInt, "31"},
		{"0b1", classInt, "1"},
		{"-0b101", classInt, "-5"},
		{"1_000", classInt, "1000"},
		{"12:30", classInt, "750"},
		{"12:30:45", classInt, "45045"},
		{"-1:30", classInt, "-90"},
		{"12345678901234567890123", classInt, "12345678901234567890123"},
		{"0_", classText, "0_"},
		{"0x_", classText, "0x_"},
		{"08", classText, "08"},
		{"1.10", classFloat, "1.1"},
		{"1.0", classFloat, "1.0"},
		{"7.10", classFloat, "7.1"},
		{"1.", classFloat, "1.0"},
		{".5", classFloat, "0.5"},
		{"-.5", classFloat, "-0.5"},
		{"1e3", classFloat, "1000.0"},
		{"1E3", classFloat, "1000.0"},
		{"1.5e+3", classFloat, "1500.0"},
		{"1e7", classFloat, "1.0E7"},
		{"1.25e10", classFloat, "1.25E10"},
		{"1e-4", classFloat, "1.0E-4"},
		{"0.001", classFloat, "0.001"},
		{"1e999", classFloat, "Infinity"},
		{"1_0.5", classFloat, "10.5"},
		{"1:30.5", classFloat, "90.5"},
		{"0.0", classFloat, "0.0"},
		{"-0.0", classFloat, "-0.0"},
		{".inf", classFloat, "Infinity"},
		{"-.INF", classFloat, "-Infinity"},
		{"+.Inf", classFloat, "Infinity"},
		{".nan", classFloat, "NaN"},
		{".NaN", classFloat, "NaN"},
		{"2026-01-01", classDate, ""},
		{"2026-1-1 10:00:00", classDate, ""},
		{"2026-01-01T10:00:00Z", classDate, ""},
		{"2026-01-01 10:00:00.5 -05:00", classDate, ""},
		{"yes", classWord, "true"},
		{"OFF", classWord, "false"},
		{"TRUE", classWord, "true"},
		{"~", classNull, "~"},

		{"0o17", classText, "0o17"},
		{"0b2", classText, "0b2"},
		{"0xg", classText, "0xg"},
		{"12:60", classText, "12:60"},
		{"1e", classText, "1e"},
		{".", classText, "."},
		{"-", classText, "-"},
		{"+", classText, "+"},
		{"1.2.3", classText, "1.2.3"},
		{"2026-1-1", classText, "2026-1-1"},
		{"20260101", classInt, "20260101"},
		{"2026-01", classText, "2026-01"},
		{"1,5", classText, "1,5"},
		{"5m", classText, "5m"},
		{"y", classText, "y"},
		{"tRue", classText, "tRue"},
		{"-.nan", classText, "-.nan"},
		{strings.Repeat("1", maxNumber+1), classInt, strings.Repeat("1", maxNumber+1)},
	}
	for _, r := range rows {
		c := classify(r.in)
		if c != r.class {
			t.Errorf("%q is of class %d, want %d", r.in, c, r.class)
		}
		if got := existingReading(r.in, c); got != r.existing {
			t.Errorf("%q reads %q, want %q", r.in, got, r.existing)
		}
		_, fs, ok := ParseSets("p.yml", []byte("b:\n  withTags: a\n  k: "+r.in+"\n"))
		want := ""
		if r.existing != r.in && r.class != classWord && r.class != classNull {
			want = "3:6 warning yaml11"
		}
		if !ok && r.in != "-" || ok && brief(fs) != want {
			t.Errorf("%q: %s, want %s", r.in, brief(fs), want)
		}
		if want != "" && r.existing != "" && !strings.Contains(fs[0].Text, `"`+r.existing+`"`) {
			t.Errorf("%q: %q does not say %q", r.in, fs[0].Text, r.existing)
		}
	}
}
