package httpapi

import (
	"bytes"
	"io"
	"sync"
)

const (
	// logBytes and logLines bound what LogLines keeps: hours of a member in
	// trouble, and days of one that is not.
	logBytes = 1 << 20
	logLines = 5000
	// maxLogLine bounds one line, of which the rest is cut off.
	maxLogLine = 8 << 10
)

// LogLines passes a log on and keeps its last lines. Each Write is a record, as
// slog's handlers do it.
type LogLines struct {
	to io.Writer

	mu    sync.Mutex
	lines [][]byte // the oldest first
	bytes int
}

// NewLogLines keeps the lines of a log that goes to w.
func NewLogLines(w io.Writer) *LogLines { return &LogLines{to: w} }

// Write implements io.Writer.
func (l *LogLines) Write(p []byte) (int, error) {
	line := bytes.TrimSuffix(p, []byte{'\n'})
	if len(line) > maxLogLine {
		line = append(bytes.ToValidUTF8(line[:maxLogLine:maxLogLine], nil), "..."...)
	}
	line = bytes.Clone(line)
	l.mu.Lock()
	l.lines = append(l.lines, line)
	l.bytes += len(line)
	gone := 0
	for l.bytes > logBytes || len(l.lines)-gone > logLines {
		l.bytes -= len(l.lines[gone])
		l.lines[gone] = nil
		gone++
	}
	l.lines = l.lines[gone:]
	l.mu.Unlock()
	return l.to.Write(p)
}

// Last are the lines that are kept.
func (l *LogLines) Last() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return nil
	}
	return append(bytes.Join(l.lines, []byte{'\n'}), '\n')
}
