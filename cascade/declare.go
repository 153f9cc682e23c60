package cascade

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade/tables"
)

// Kind is the type of a declared property.
type Kind uint8

// The kinds. A Duration is a plain integer in the property's Unit, as the
// existing names have it; a TimeSpan is Sluice's own form (500ms, 10s, 1h; a
// bare number is milliseconds). A List is comma separated, its items trimmed.
const (
	Text Kind = iota
	Bool
	Int
	Duration
	TimeSpan
	Enum
	List
)

var kindNames = [...]string{"text", "boolean", "integer", "duration", "time span", "enum", "list"}

func (k Kind) String() string { return kindNames[k] }

// Declaration is what the code knows of a property that it uses. It stands
// next to that code, once, and feeds the typed getters, lint, the generated
// reference and the validation of writes.
type Declaration struct {
	Name    string
	Kind    Kind
	Default string // as text, in the form an administrator would write; "" with NoDefault means undefined
	Unit    string // of a Duration: "ms", "s"
	Min     int64  // of Int, Duration, and TimeSpan (ms); both 0: no range
	Max     int64
	Enum    []string // of Enum, and of the items of a List when not empty; words that an Int takes beside numbers
	Server  bool     // only the server scope is read
	Restart bool     // read at start: a change needs a restart
	Secret  bool     // masked in every output
	Local   bool     // each member of a cluster has its own: no drift
	File    string   // where `set` puts a new key
	Since   string   // version of the existing system or of Sluice that brought it
	Related []string
	Doc     string // one line

	// NoDefault tells a property that is undefined unless someone sets it from
	// one whose default is the empty text.
	NoDefault bool
}

// Scopes lists the scopes in which the property may be set.
func (d *Declaration) Scopes() []string {
	if d.Server {
		return []string{ScopeServer}
	}
	return slices.Clone(tables.DefaultPath)
}

// Schema is the declarations of everything that runs in one process. Names
// below one of its prefixes that no declaration knows are reported by lint;
// all others belong to the larger platform.
type Schema struct {
	decls    []Declaration
	byName   map[string]int
	defaults []bool // of booleans, by number
	prefixes []string
	groups   []Group

	secrets
}

// NewSchema collects the engine's own declarations and those of its callers. A
// prefix ends with a dot. It fails on a
// name that is declared twice and on a default that its own type refuses:
// both are mistakes in the code.
func NewSchema(prefixes []string, groups ...[]Declaration) (*Schema, error) {
	s := &Schema{byName: map[string]int{}, prefixes: append(slices.Clone(ownPrefixes), prefixes...)}
	for _, g := range append([][]Declaration{Properties}, groups...) {
		for _, d := range g {
			if _, dup := s.byName[d.Name]; dup {
				return nil, fmt.Errorf("property %s is declared twice", d.Name)
			}
			if !d.NoDefault {
				if _, err := d.Parse(d.Default); err != nil {
					return nil, fmt.Errorf("default of %s: %w", d.Name, err)
				}
			}
			s.byName[d.Name] = len(s.decls)
			s.decls = append(s.decls, d)
			s.defaults = append(s.defaults, tables.BoolBits(d.Default) == tables.BitTrue)
		}
	}
	return s, nil
}

// Lookup finds the declaration of a name, or nil.
func (s *Schema) Lookup(name string) *Declaration {
	if i, ok := s.byName[name]; ok {
		return &s.decls[i]
	}
	return nil
}

// names lists the declared properties by their numbers.
func (s *Schema) names() []string {
	out := make([]string, len(s.decls))
	for i := range s.decls {
		out[i] = s.decls[i].Name
	}
	return out
}

// All returns the declarations sorted by name.
func (s *Schema) All() []Declaration {
	out := slices.Clone(s.decls)
	slices.SortFunc(out, func(a, b Declaration) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// declaredPrefix returns the prefix that makes an undeclared name suspicious,
// or "".
func (s *Schema) declaredPrefix(name string) string {
	for _, p := range s.prefixes {
		if strings.HasPrefix(name, p) {
			return p
		}
	}
	return ""
}

// Properties are the declarations of the engine itself.
var Properties = []Declaration{
	{
		Name: PropScopes, Kind: List, Default: "user, context, contextSets, server", Server: true, File: "system.properties", Since: "7.6.0",
		Doc: "Scopes in which a property is looked up, the most specific first.",
	},
	{
		Name: PropTypes, Kind: List, NoDefault: true, File: "system.properties", Since: "7.6.0",
		Doc: "Tags of the subject, from every scope of the path except contextSets together.",
	},
	{
		Name: PropStrict, Kind: Bool, Default: "false", Server: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "Refuse contexts and users that the directory does not know.",
	},
	{
		Name: PropShrinkHold, Kind: TimeSpan, Default: "3s", Min: 0, Max: 600_000, Server: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "How long a file that became empty, or lost more than half of at least 10 keys, waits before it counts.",
	},
	{
		Name: PropRescan, Kind: TimeSpan, Default: "30s", Min: 1_000, Max: 3_600_000, Server: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "How often the trees are read again even though the kernel reported nothing.",
	},
	{
		Name: PropSecrets, Kind: List, NoDefault: true, Server: true, File: "sluice.properties", Since: "sluice 0.9",
		Doc: "Names whose values are masked beside those that say so themselves; * stands for any text.",
	},
}

// Names of the engine's own properties.
const (
	PropScopes     = "com.openexchange.config.cascade.scopes"
	PropTypes      = "com.openexchange.config.cascade.types"
	PropStrict     = "sluice.directory.strict"
	PropShrinkHold = "sluice.reload.shrinkHold"
	PropRescan     = "sluice.reload.rescanInterval"
	PropSecrets    = "sluice.secrets.patterns"
)

// typesID and strictID are the numbers of properties that the engine looks up
// itself: NewSchema puts Properties first.
const (
	scopesID = 0
	typesID  = 1
	strictID = 2
)

// ownPrefixes are those below which Sluice's declarations are complete.
var ownPrefixes = []string{"com.openexchange.config.cascade.", "sluice."}
