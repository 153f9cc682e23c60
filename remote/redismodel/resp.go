package redismodel

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
)

// Bounds of what a client may send: those of the proto-max-bulk-len of Redis
// are far above what a test needs.
const (
	maxArgs = 1 << 20
	maxBulk = 64 << 20
)

// What a command answers: a string (bulk), int64, float64 (a score), nil (no
// value), or one of these.
type (
	status  string   // OK and the like
	failure string   // an error; the first word is its code
	array   []any    //
	mapping []any    // keys and values in turn: a flat array in RESP 2
	set     []any    // an array in RESP 2
	streams []any    // of XREAD, keys and entries in turn: pairs in RESP 2
	noArray struct{} // the null array of RESP 2
)

const okay = status("OK")

var errProtocol = errors.New("redismodel: the client does not speak RESP")

// readCommand reads an array of bulk strings, or an inline command.
func readCommand(r *bufio.Reader) ([]string, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, "*") {
		return strings.Fields(line), nil
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n > maxArgs {
		return nil, errProtocol
	}
	args := make([]string, 0, max(n, 0))
	for range n {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
		if err != nil || size < 0 || size > maxBulk {
			return nil, errProtocol
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		args = append(args, string(text[:size]))
	}
	return args, nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// encode appends an answer in the given version of RESP.
func encode(b *bytes.Buffer, answer any, version int) {
	switch a := answer.(type) {
	case nil:
		if version == 3 {
			b.WriteString("_\r\n")
		} else {
			b.WriteString("$-1\r\n")
		}
	case noArray:
		if version == 3 {
			b.WriteString("_\r\n")
		} else {
			b.WriteString("*-1\r\n")
		}
	case status:
		b.WriteString("+" + string(a) + "\r\n")
	case failure:
		b.WriteString("-" + strings.NewReplacer("\r", " ", "\n", " ").Replace(string(a)) + "\r\n")
	case int:
		encode(b, int64(a), version)
	case int64:
		b.WriteString(":" + strconv.FormatInt(a, 10) + "\r\n")
	case bool:
		encode(b, integer(a), version)
	case float64:
		text := formatScore(a)
		if version == 3 {
			b.WriteString("," + text + "\r\n")
		} else {
			encode(b, text, version)
		}
	case string:
		b.WriteString("$" + strconv.Itoa(len(a)) + "\r\n")
		b.WriteString(a)
		b.WriteString("\r\n")
	case array:
		encodeAll(b, '*', len(a), a, version)
	case set:
		kind := byte('*')
		if version == 3 {
			kind = '~'
		}
		encodeAll(b, kind, len(a), a, version)
	case mapping:
		if version == 3 {
			encodeAll(b, '%', len(a)/2, a, version)
		} else {
			encodeAll(b, '*', len(a), a, version)
		}
	case streams:
		if version == 3 {
			encodeAll(b, '%', len(a)/2, a, version)
		} else {
			encode(b, a.pairs(), version)
		}
	default:
		panic("redismodel: an answer of a type that RESP does not have")
	}
}

func encodeAll(b *bytes.Buffer, kind byte, n int, list []any, version int) {
	b.WriteByte(kind)
	b.WriteString(strconv.Itoa(n) + "\r\n")
	for _, a := range list {
		encode(b, a, version)
	}
}

// pairs is the form of RESP 2.
func (s streams) pairs() array {
	list := make(array, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		list = append(list, array{s[i], s[i+1]})
	}
	return list
}

func integer(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// formatScore writes a score as Redis does: with 17 digits at most, whole
// numbers without an exponent.
func formatScore(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f == math.Trunc(f) && math.Abs(f) < 1e17:
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
