package cascade

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
)

// heldChange is a change that is held, in the manifest of the last good tree: the
// files that the gate resolves until it is confirmed, and whom it would close.
type heldChange struct {
	Hold     json.RawMessage `json:"hold"`     // what is told of it
	Change   string          `json:"change"`   // its digest without a key
	Users    json.RawMessage `json:"users"`    // some of those whom it would close
	Accepted []lastGoodFile  `json:"accepted"` // the tree, and the directory file, before it
}

// compact drops the blanks of a manifest, so that bytes tell whether two are the
// same.
func (h *heldChange) compact() error {
	for _, raw := range []*json.RawMessage{&h.Hold, &h.Users} {
		var b bytes.Buffer
		if err := json.Compact(&b, *raw); err != nil {
			return err
		}
		*raw = b.Bytes()
	}
	return nil
}

// holding notes what is held from now on, with the files of the last prepare as
// what was accepted unless something is held already; nil: nothing. The caller
// holds the engine's load lock, and calls prepare.
func (k *lastGood) holding(next *heldChange) {
	if next == nil {
		k.held = nil
		return
	}
	if k.held != nil {
		next.Accepted = k.held.Accepted
	} else {
		for _, f := range k.files {
			next.Accepted = append(next.Accepted, f)
		}
	}
	k.held = next
}

// same reports whether two are the same on disk.
func (h *heldChange) same(other *heldChange) bool {
	if h == nil || other == nil {
		return h == other
	}
	return h.Change == other.Change && bytes.Equal(h.Hold, other.Hold)
}

// names calls f with the objects that the held change needs.
func (h *heldChange) names(f func(string)) {
	if h == nil {
		return
	}
	for _, x := range h.Accepted {
		f(x.Good)
		f(x.Clean)
	}
}

// accepted returns the files of the roots that were in force before the change that
// is held, and the last good tree of that time.
func (k *lastGood) accepted(roots []string) (*fileSet, *lastGood, error) {
	was := &lastGood{dir: k.dir, log: k.log, files: map[string]lastGoodFile{}}
	set := newFileSet(roots)
	for _, kf := range k.held.Accepted {
		was.files[kf.key()] = kf
		for i, root := range roots {
			if root != string(kf.Root) {
				continue
			}
			f := &treeFile{root: i, rel: string(kf.Path), kind: kindOf(string(kf.Path)), status: FileOK}
			b, err := k.object(kf.Good)
			if err != nil {
				return nil, nil, err
			}
			c, _, _ := parse(f.kind, f.rel, b) // it was in force
			f.have, f.digest = c, sha256.Sum256(b)
			set.files[fileKey(i, f.rel)] = f
		}
	}
	return set, was, nil
}
