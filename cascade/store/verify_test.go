package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/testkit"
)

// account is what a child has said of its writes.
type account struct {
	acked   map[string]uint64 // text -> revision
	refused map[string]string // text -> why
	done    bool
}

func newAccount() *account {
	return &account{acked: map[string]uint64{}, refused: map[string]string{}}
}

// take notes a line, and reports whether it is one.
func (a *account) take(line string) bool {
	word, rest, _ := strings.Cut(line, " ")
	first, rest, _ := strings.Cut(rest, " ")
	switch word {
	case "ack":
		n, err := strconv.ParseUint(first, 10, 64)
		if err != nil {
			return false
		}
		a.acked[rest] = n
	case "failed", "refused":
		a.refused[first] = word + " " + rest
	case "done":
		a.done = true
	default:
		return false
	}
	return true
}

// drain takes what the child has said up to its end.
func (a *account) drain(c *child) {
	for {
		l, ok := c.line()
		if !ok {
			return
		}
		if !a.take(l) {
			c.t.Errorf("the child said %q", l)
		}
	}
}

// verify opens the file that a child has left: everything that was acknowledged
// is there, nothing that was refused is, the log and the records agree, and the
// file takes writes.
func (a *account) verify(t *testing.T, path string) {
	t.Helper()
	s, err := Open(Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Load(func(b cascade.Batch) error { return b.Check() }); err != nil {
		t.Fatal(err)
	}
	if err := s.view(func(tx *bbolt.Tx) error { return a.replay(tx, s.Head()) }); err != nil {
		t.Error(err)
	}
	s.Start(func(cascade.Batch, []Entry) {})
	do(t, s, put1(ContextKey(cascade.MaxID), &Context{Name: "verify"}))
}

// replay does the log again from nothing, and compares.
func (a *account) replay(tx *bbolt.Tx, head Head) error {
	state := map[Key][]byte{}
	texts := map[string]uint64{}
	var chain Chain
	last := uint64(0)
	err := tx.Bucket(bucketLog).ForEach(func(k, v []byte) error {
		x, err := unseal(v)
		if err != nil {
			return err
		}
		if last++; x.Revision != last || binary.BigEndian.Uint64(k) != last {
			return fmt.Errorf("revision %d instead of %d", x.Revision, last)
		}
		if chain = chain.next(x.Text); chain != x.Chain {
			return fmt.Errorf("the chain breaks at revision %d", last)
		}
		texts[x.Reason] = x.Revision
		for _, c := range x.Changes {
			var before []byte
			if c.Before != nil {
				before = (&Record{c.Key, *c.Before}).encode()
			}
			if !bytes.Equal(before, state[c.Key]) {
				return fmt.Errorf("revision %d does not follow the state of %s", last, c.Key)
			}
			if delete(state, c.Key); c.After != nil {
				state[c.Key] = (&Record{c.Key, *c.After}).encode()
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if head.Revision != last || head.Chain != chain {
		return fmt.Errorf("the head is %v, the log leads to %v", head, Head{last, chain})
	}
	for _, kind := range Kinds {
		err := tx.Bucket(bucketOf[kind]).ForEach(func(name, value []byte) error {
			k, err := parseKey(kind, name)
			if err != nil {
				return err
			}
			if !bytes.Equal(state[k], value) {
				return fmt.Errorf("%s is not what the log says", k)
			}
			delete(state, k)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(state) > 0 {
		return fmt.Errorf("%d records of the log are not there", len(state))
	}
	for text, rev := range a.acked {
		if texts[text] != rev {
			err = errors.Join(err, fmt.Errorf("the write %s with revision %d is lost", text, rev))
		}
	}
	for text, why := range a.refused {
		if texts[text] != 0 {
			err = errors.Join(err, fmt.Errorf("the write %s was refused (%s), and is there", text, why))
		}
	}
	return err
}

// run runs a command that the test needs; pkg is where Debian has it.
func run(t *testing.T, pkg string, args ...string) {
	t.Helper()
	if out, err := tool(t, pkg, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func tool(t *testing.T, pkg string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(testkit.Tool(t, args[0], pkg), args[1:]...)
}
