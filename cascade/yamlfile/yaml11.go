package yamlfile

import (
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// class is what an unquoted scalar is for YAML 1.1 as the existing system
// implements it. Quoted and block scalars are always classText.
type class uint8

const (
	classText class = iota
	classNull
	classWord // true, false, yes, no, on, off
	classInt
	classFloat
	classDate
)

// The forms that the existing system's reader gives a type to: YAML 1.1
// (yaml.org/type), without 08 and 0_, which are texts there.
var (
	intForm   = regexp.MustCompile(`^[-+]?(?:0b_*[01][01_]*|0_*[0-7][0-7_]*|0|[1-9][0-9_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	floatForm = regexp.MustCompile(`^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$`)
	dateForm  = regexp.MustCompile(`^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$`)
)

// maxNumber is the longest text, in bytes, whose number is worked out: it
// costs more than linear time.
const maxNumber = 64

// words are the booleans of YAML 1.1, and what they mean.
var words = map[string]string{
	"true": "true", "True": "true", "TRUE": "true", "false": "false", "False": "false", "FALSE": "false",
	"yes": "true", "Yes": "true", "YES": "true", "on": "true", "On": "true", "ON": "true",
	"no": "false", "No": "false", "NO": "false", "off": "false", "Off": "false", "OFF": "false",
}

func classify(text string) class {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return classNull
	}
	if _, ok := words[text]; ok {
		return classWord
	}
	if c := text[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return classText
	}
	switch {
	case intForm.MatchString(text):
		return classInt
	case floatForm.MatchString(text):
		return classFloat
	case dateForm.MatchString(text):
		return classDate
	}
	return classText
}

// existingReading is the text that the existing system makes of an unquoted
// scalar of class c: the value is converted to its type and printed again.
// Empty if it is another text that is not worked out: a date, which depends on
// its time zone, a number of more than maxNumber bytes, or one that it cannot
// read.
func existingReading(text string, c class) string {
	switch c {
	case classWord:
		return words[text]
	case classInt:
		return existingInt(text)
	case classFloat:
		return existingFloat(text)
	case classDate:
		return ""
	}
	return text
}

func existingInt(text string) string {
	digits := strings.ReplaceAll(strings.TrimLeft(text, "+-"), "_", "")
	base := 10
	switch {
	case digits == "0":
	case strings.HasPrefix(digits, "0b"):
		digits, base = digits[2:], 2
	case strings.HasPrefix(digits, "0x"):
		digits, base = digits[2:], 16
	case strings.HasPrefix(digits, "0"):
		digits, base = digits[1:], 8
	case strings.Contains(digits, ":"):
		return sexagesimalInt(text, digits)
	case text[0] == '-':
		return "-" + digits // of any length
	default:
		return digits
	}
	n, ok := new(big.Int), len(digits) <= maxNumber
	if ok {
		n, ok = n.SetString(digits, base)
	}
	if !ok {
		return ""
	}
	if text[0] == '-' {
		n.Neg(n)
	}
	return n.String()
}

const sexagesimal = 60 // the base of 12:30:45 in YAML 1.1

// sexagesimalInt adds up in 32 bits, which overflow, as the existing system's
// reader does.
func sexagesimalInt(text, digits string) string {
	parts := strings.Split(digits, ":")
	var sum, weight int32 = 0, 1
	for _, part := range slices.Backward(parts) {
		v, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return ""
		}
		sum, weight = int32(int64(sum)+v*int64(weight)), weight*sexagesimal
	}
	switch s := strconv.Itoa(int(sum)); {
	case text[0] != '-' || sum == 0:
		return s
	case sum < 0:
		return "" // -- is no number
	default:
		return "-" + s
	}
}

func existingFloat(text string) string {
	digits := strings.ReplaceAll(strings.TrimLeft(text, "+-"), "_", "")
	if len(digits) > maxNumber {
		return ""
	}
	v := 0.0
	switch strings.ToLower(digits) {
	case ".inf":
		v = math.Inf(1)
	case ".nan":
		v = math.NaN()
	default:
		var weight int32 = 1
		for _, part := range slices.Backward(strings.Split(digits, ":")) {
			d, err := strconv.ParseFloat(part, 64)
			if err != nil && !math.IsInf(d, 0) {
				return ""
			}
			v, weight = v+d*float64(weight), weight*sexagesimal
		}
	}
	if text[0] == '-' {
		v = -v
	}
	return javaDouble(v)
}

// Between these magnitudes Java prints a double without an exponent.
const (
	javaPlainMin = 1e-3
	javaPlainMax = 1e7
)

// javaDouble prints as java.lang.Double.toString does.
func javaDouble(v float64) string {
	switch abs := math.Abs(v); {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	case abs == 0 || abs >= javaPlainMin && abs < javaPlainMax:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}
