// Command soak keeps a cluster of three members busy for a long time, with sockets
// that come and go, files that are saved, overrides, messages and cut links, and
// fails where memory, goroutines or descriptors of a member grow. What it does and
// which growth it lets pass is in docs/bench.md.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/seed47708276/sluice/bench/internal/process"
)

// load is how much is done.
type load struct {
	span     time.Duration
	sockets  int
	churn    int           // sockets a second that are closed and opened again
	messages int           // a second
	writes   int           // overrides a second
	saves    time.Duration // between two saved files
	whole    time.Duration // all links are whole for so long, then one is cut
	cut      time.Duration // for so long
}

var full = load{
	span: 40 * time.Minute, sockets: 600, churn: 20, messages: 100, writes: 5,
	saves: 2 * time.Second, whole: 10 * time.Second, cut: 3 * time.Second,
}

func main() { process.Main("soak", command) }

func command(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	l := full
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	folder := flags.String("folder", "soak", "folder of this program's sources")
	binary := flags.String("sluice", "", "binary to soak, instead of one built from the sources beside")
	support := flags.String("support", "", "folder in which the members' support bundles are put at the end, with the stacks of their goroutines")
	flags.DurationVar(&l.span, "for", l.span, "how long")
	flags.IntVar(&l.sockets, "sockets", l.sockets, "sockets of all members")
	flags.IntVar(&l.churn, "churn", l.churn, "sockets a second that are closed and opened again")
	flags.IntVar(&l.messages, "messages", l.messages, "messages a second")
	flags.IntVar(&l.writes, "writes", l.writes, "overrides a second that are set or removed")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 || l.span <= 0 || l.sockets < 1 || l.churn < 1 || l.messages < 1 || l.writes < 1 {
		return errors.New("all numbers are above 0, and there are flags only")
	}
	if *binary == "" {
		built, err := os.MkdirTemp("", "sluice-soak-bin-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(built)) }()
		*binary = filepath.Join(built, "sluice")
		if err := process.BuildSluice(ctx, *folder, *binary); err != nil {
			return err
		}
	}
	s, err := open(ctx, *binary, l)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.run(ctx, stdout); err != nil {
		return err
	}
	if *support != "" {
		if err := s.support(ctx, *support); err != nil {
			return err
		}
	}
	return s.judge(stdout)
}
