package yamlfile

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// class is what an unquoted scalar is for YAML 1.1 as the existing system
// implements it. Quoted and block scalars are always classText.
type class uint8

const (
	classText class = iota
	classNull
	classBool // true and false
	classWord // yes, no, on, off: booleans to YAML 1.1 only
	classInt
	classFloat
	classDate
)

// The forms of YAML 1.1 (yaml.org/type), with floats as wide as any version of
// the existing system's library reads them: 1e3 and 08 are floats there.
var (
	intForm   = regexp.MustCompile(`^(?:[-+]?0b_*[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	floatForm = regexp.MustCompile(`^(?:[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	dateForm  = regexp.MustCompile(`^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$`)
)

// maxNumber is the longest text, in bytes, that is taken for a number; longer
// runs of digits are identifiers, and converting them costs more than linear
// time.
const maxNumber = 64

// words are the booleans of YAML 1.1 beyond true and false, and what they mean.
var words = map[string]string{
	"yes": "true", "Yes": "true", "YES": "true", "on": "true", "On": "true", "ON": "true",
	"no": "false", "No": "false", "NO": "false", "off": "false", "Off": "false", "OFF": "false",
}

func classify(text string) class {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return classNull
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return classBool
	}
	if _, ok := words[text]; ok {
		return classWord
	}
	if c := text[0]; len(text) > maxNumber || c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
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
// Empty if there is no telling (a date depends on its time zone; some forms
// are errors).
func existingReading(text string, c class) string {
	switch c {
	case classBool:
		return strings.ToLower(text)
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
	}
	n := new(big.Int)
	for part := range strings.SplitSeq(digits, ":") {
		v, ok := new(big.Int).SetString(part, base)
		if !ok {
			return ""
		}
		n.Add(n.Mul(n, big.NewInt(sexagesimal)), v)
	}
	if strings.HasPrefix(text, "-") {
		n.Neg(n)
	}
	return n.String()
}

const sexagesimal = 60 // the base of 12:30:45 in YAML 1.1

func existingFloat(text string) string {
	digits := strings.ReplaceAll(strings.TrimLeft(text, "+-"), "_", "")
	v := 0.0
	switch strings.ToLower(digits) {
	case ".inf":
		v = math.Inf(1)
	case ".nan":
		v = math.NaN()
	default:
		for part := range strings.SplitSeq(digits, ":") {
			d, err := strconv.ParseFloat(part, 64)
			if err != nil && !math.IsInf(d, 0) {
				return ""
			}
			v = v*sexagesimal + d
		}
	}
	if strings.HasPrefix(text, "-") {
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
