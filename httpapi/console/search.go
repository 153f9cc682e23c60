package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed47708276/sluice/cascade"
)

// someone is a user as the API finds it.
type someone struct {
	Context, ID                              uint32
	Login, DisplayName, ContextName, Account string
	Mail                                     []string
}

// Path is the page of the user.
func (s *someone) Path() string { return subject{s.Context, s.ID}.Path() }

// Title is what people call the user.
func (s *someone) Title() string {
	return cmp.Or(s.DisplayName, s.Login, strings.Join(s.Mail[:min(len(s.Mail), 1)], ""), plain("find.user", s.ID))
}

// propertyList is a page of properties; Next is empty where there are no more.
type propertyList struct {
	Properties []cascade.Explanation
	Next       string
}

type searchData struct {
	Query string
	Users []someone
	propertyList
	Next    string
	Sorting bool // names of an import are being sorted: some may be missing
}

// More reports whether there are more than those of the list.
func (d *searchData) More() bool { return d.Next+d.propertyList.Next != "" }

// search is the front page. A text leads to the one page that it means, else to
// a list of those whom it may mean, which the page asks for with each keystroke.
func (v *visit) search() {
	d := &searchData{Query: strings.TrimSpace(v.r.FormValue("q"))}
	for _, words := range candidates(d.Query) {
		v.get("/admin/v1/users", url.Values{"search": {words}, "limit": {"50"}, "wait": {"false"}}, d)
		if len(d.Users) == 0 && !strings.ContainsAny(words, "@ ") {
			d.propertyList = v.find(words, "20") // few: people were looked for
		}
		if len(d.Users)+len(d.Properties) > 0 {
			break
		}
	}
	exact := slices.IndexFunc(d.Properties, func(x cascade.Explanation) bool { return x.Property == d.Query })
	switch {
	case v.r.FormValue("list") != "":
		v.draw(http.StatusOK, "found", "", d)
	case len(d.Users) == 1 && !d.Sorting:
		v.lead(d.Users[0].Path())
	case exact >= 0 || len(d.Properties) == 1:
		v.lead("/console/property/" + url.PathEscape(d.Properties[max(exact, 0)].Property))
	default:
		v.draw(http.StatusOK, "search", plain("nav.person"), d)
	}
}

// aside are words around a name that name nobody.
var aside = strings.Fields("push pushes websocket websockets socket sockets web on off why is are not no for the of user mail did this switched")

// candidates are the texts of a question that may name somebody: the whole, its
// words with an @, what is left without the words aside, then its words.
func candidates(q string) []string {
	out, names := []string{q}, []string{}
	for _, w := range strings.Fields(q) {
		if w = strings.Trim(w, "?!,;:\"'"); strings.Contains(w, "@") {
			out = append(out, w)
		} else if w != "" && !slices.Contains(aside, strings.ToLower(w)) {
			names = append(names, w)
		}
	}
	out = append(append(out, strings.Join(names, " ")), names...)
	seen := map[string]bool{"": true}
	return slices.DeleteFunc(out, func(s string) bool { was := seen[s]; seen[s] = true; return was })
}

// find looks for the effective values of the server that have a text in their
// name or value.
func (v *visit) find(words, limit string) (list propertyList) {
	v.get("/admin/v1/properties", url.Values{"contains": {words}, "limit": {limit}}, &list)
	return list
}
