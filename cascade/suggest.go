package cascade

import "fmt"

// maxTypos is the number of edits up to which a name is taken for a mistyped
// other one.
const maxTypos = 3

// Suggest returns `, did you mean "x"?` for a name that no declaration knows,
// or "" where none is near.
func (s *Schema) Suggest(name string) string {
	names := make([]string, len(s.decls))
	for i := range s.decls {
		names[i] = s.decls[i].Name
	}
	return didYouMean(name, names)
}

// didYouMean returns `, did you mean "x"?`, or "" where nothing is near.
func didYouMean(name string, names []string) string {
	best, at := maxTypos+1, ""
	for _, n := range names {
		if d := distance(name, n, best); d < best {
			best, at = d, n
		}
	}
	if at == "" || best*3 > len(name) {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", at)
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours between a and b, or limit where it is not less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return min(prev[len(b)], limit)
}

// Near is Suggest for a name that may well be one of the rest of the platform:
// only one that is nearly a declared one is taken for a mistyped one.
func (s *Schema) Near(name string) string {
	if prefix := s.declaredPrefix(name); prefix != "" {
		return didYouMean(name, s.namesBelow(prefix))
	}
	if other := newNeighbours(s).of(name); other != "" && other != name {
		return fmt.Sprintf(", did you mean %q?", other)
	}
	if meant := ofPlatform(name); meant != "" {
		return fmt.Sprintf(", did you mean %q?", meant)
	}
	return ""
}
