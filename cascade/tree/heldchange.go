package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
)

// HeldChange is a change that is held, in the manifest of the last good tree: the
// files that the gate resolves until it is confirmed, and whom it would close.
type HeldChange struct {
	Hold     json.RawMessage `json:"hold"`     // what is told of it
	Change   string          `json:"change"`   // its digest without a key
	Users    json.RawMessage `json:"users"`    // some of those whom it would close
	Accepted []GoodFile      `json:"accepted"` // the tree, and the directory file, before it
}

// compact drops the blanks of a manifest, so that bytes tell whether two are the
// same.
func (h *HeldChange) compact() error {
	for _, raw := range []*json.RawMessage{&h.Hold, &h.Users} {
		var b bytes.Buffer
		if err := json.Compact(&b, *raw); err != nil {
			return err
		}
		*raw = b.Bytes()
	}
	return nil
}

// Holding notes what is held from now on, with the files of the last prepare as
// what was accepted unless something is held already; nil: nothing. The caller
// holds the engine's load lock, and calls prepare.
func (k *LastGood) Holding(next *HeldChange) {
	if next == nil {
		k.Held = nil
		return
	}
	if k.Held != nil {
		next.Accepted = k.Held.Accepted
	} else {
		for _, f := range k.files {
			next.Accepted = append(next.Accepted, f)
		}
	}
	k.Held = next
}

// same reports whether two are the same on disk.
func (h *HeldChange) same(other *HeldChange) bool {
	if h == nil || other == nil {
		return h == other
	}
	return h.Change == other.Change && bytes.Equal(h.Hold, other.Hold)
}

// names calls f with the objects that the held change needs.
func (h *HeldChange) names(f func(string)) {
	if h == nil {
		return
	}
	for _, x := range h.Accepted {
		f(x.Good)
		f(x.Clean)
	}
}

// Accepted returns the files of the roots that were in force before the change that
// is held, and the last good tree of that time.
func (k *LastGood) Accepted(roots []string) (*Set, *LastGood, error) {
	was := &LastGood{dir: k.dir, log: k.log, files: map[string]GoodFile{}}
	set := NewSet(roots)
	for _, kf := range k.Held.Accepted {
		was.files[kf.key()] = kf
		for i, root := range roots {
			if root != string(kf.Root) {
				continue
			}
			f := &File{Root: i, Rel: string(kf.Path), Kind: KindOf(string(kf.Path)), Status: FileOK}
			b, err := k.Object(kf.Good)
			if err != nil {
				return nil, nil, err
			}
			c, _, _ := Parse(f.Kind, f.Rel, b) // it was in force
			f.Have, f.Digest = c, sha256.Sum256(b)
			set.Files[FileKey(i, f.Rel)] = f
		}
	}
	return set, was, nil
}
