package cascade

import "strings"

// maxPlatformTypos is how many edits make a key, of which the rest of the
// platform has thousands, a mistyped one of Sluice: fewer than for keys below a
// prefix that is Sluice's alone.
const maxPlatformTypos = 2

// typos finds keys that no declaration knows and that are nearly one that it
// does, wherever in the key the mistake is. Keys of the rest of the platform are
// near to none.
func (l *linter) typos() {
	sn := l.sn
	near := newNeighbours(sn.schema)
	for p, name := range sn.names.List {
		if sn.schema.known(name) || sn.schema.declaredPrefix(name) != "" { // unknown tells of these
			continue
		}
		other := near.of(name)
		if other == "" {
			if meant := ofPlatform(name); meant != "" {
				for _, at := range l.placesOf(uint32(p)) {
					l.warn(at.file, at.line, "unknown-key", "no key of the platform begins as %s does, did you mean %q?", name, meant)
				}
			}
			continue
		}
		for _, at := range l.placesOf(uint32(p)) {
			l.warn(at.file, at.line, "unknown-key", "no property of Sluice is called %s, did you mean %q?: if it is one of the rest of the platform, all is well", name, other)
		}
	}
}

// platformPrefix begins nearly every key of the platform.
const platformPrefix = "com.openexchange."

// ofPlatform is a key whose beginning is nearly platformPrefix, with that in its
// place; "" for all others.
func ofPlatform(name string) string {
	first, rest, _ := strings.Cut(name, ".")
	second, rest, more := strings.Cut(rest, ".")
	begin := first + "." + second + "."
	if !more || rest == "" || begin == platformPrefix || distance(begin, platformPrefix, maxPlatformTypos+1) > maxPlatformTypos {
		return ""
	}
	return platformPrefix + rest
}

// neighbours finds declared names that are near to others.
type neighbours struct {
	names []string
	sums  [][256]int8 // how often each byte is in a name
}

func newNeighbours(s *Schema) *neighbours {
	n := &neighbours{}
	for i := range s.decls {
		n.names = append(n.names, s.decls[i].Name)
		n.sums = append(n.sums, bytesOf(s.decls[i].Name))
	}
	return n
}

func bytesOf(name string) (sum [256]int8) {
	for i := range len(name) {
		if sum[name[i]] < 127 {
			sum[name[i]]++
		}
	}
	return sum
}

// of returns the declared name that is nearest; "" where none is near enough.
func (n *neighbours) of(name string) string {
	sum := bytesOf(name)
	best, at := maxPlatformTypos+1, ""
	for i, other := range n.names {
		if strings.EqualFold(name, other) {
			return other
		}
		if d := len(name) - len(other); d >= best || -d >= best {
			continue
		}
		// Each edit changes two counts at most: this rules out nearly all.
		differ := 0
		for b := range sum {
			differ += abs(int(sum[b]) - int(n.sums[i][b]))
		}
		if differ > 2*(best-1) {
			continue
		}
		if d := distance(name, other, best); d < best {
			best, at = d, other
		}
	}
	return at
}

func abs(n int) int { return max(n, -n) }
