package cascade

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// SharedSums returns a sum of each file's contents that all members of a cluster
// are to have alike, by its path. What differs between two members is behind the
// difference of their SharedDigest.
func (sn *Snapshot) SharedSums() map[string]string {
	sums := map[string]string{}
	for _, r := range sn.tree.reports {
		if r.Digest != "" {
			sums[r.Path] = sn.shortSum(r.Digest)
		}
	}
	for i, c := range sn.tree.contents {
		if c == nil {
			continue
		}
		if kept := sn.sharedEntries(i); len(kept) < len(c.Entries) {
			delete(sums, sn.tree.files[i])
			text := ""
			for _, e := range kept {
				text += fmt.Sprintf("%q %q\n", e.key, e.value)
			}
			if text != "" {
				sums[sn.tree.files[i]] = sn.shortSum(text)
			}
		}
	}
	return sums
}

// SharedKeySums returns a sum of each value that a properties file has for all
// members alike, by property; nil where there is no such file.
func (sn *Snapshot) SharedKeySums(path string) map[string]string {
	for i, c := range sn.tree.contents {
		if c == nil || sn.tree.files[i] != path || c.Entries == nil {
			continue
		}
		sums := map[string]string{}
		for _, e := range sn.sharedEntries(i) { // the last one counts
			sums[e.key] = sn.shortSum(e.value)
		}
		return sums
	}
	return nil
}

type sharedEntry struct{ key, value string }

// sharedEntries are those of a properties file without the properties that each
// member has for itself.
func (sn *Snapshot) sharedEntries(file int) (kept []sharedEntry) {
	for _, e := range sn.tree.contents[file].Entries {
		if i, declared := sn.schema.byName[e.Key]; !declared || !sn.schema.decls[i].Local {
			kept = append(kept, sharedEntry{e.Key, e.Value})
		}
	}
	return kept
}

// sumBytes tell two values of one name apart.
const sumBytes = 8

// shortSum is keyed as digests are, so that nobody finds a value by guesses.
func (sn *Snapshot) shortSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return sn.schema.shownDigest(hex.EncodeToString(sum[:]))[:2*sumBytes]
}
