package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed47708276/sluice/cascade/propfile"
	"github.com/seed47708276/sluice/node"
)

// maxGivenValue is the longest value that is read from standard input or a file,
// in bytes: the longest that a file of the tree may hold.
const maxGivenValue = propfile.MaxValueBytes

// givenValue is the value of a set: an argument, standard input (-), or a file.
// The line end that an editor or echo leaves is no part of it.
func (a *app) givenValue(args []string, from string) (string, error) {
	in := a.stdin
	switch {
	case from != "" && len(args) > 1:
		return "", usage("the value stands in --from already: leave it out of the command line")
	case from != "":
		f, err := os.Open(from)
		if err != nil {
			return "", exit(exitFindings, err)
		}
		defer f.Close()
		in = f
	case len(args) < 2:
		return "", usage("give a value, - to read it from standard input, or --from FILE")
	case args[1] != "-":
		if node.Schema().Hides(args[0], args[1]) {
			a.note("%s is a secret, and stood on the command line, where the history of the shell and the list of processes show it: use - or --from FILE", args[0])
		}
		return args[1], nil
	}
	b, err := io.ReadAll(io.LimitReader(in, maxGivenValue+3))
	if err != nil {
		return "", exit(exitFindings, fmt.Errorf("read the value: %w", err))
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if len(value) > maxGivenValue {
		return "", exit(exitFindings, fmt.Errorf("the value has more than %d bytes: at most that many are read", maxGivenValue))
	}
	return value, nil
}
