package console

import (
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
	switch {
	case s.DisplayName != "":
		return s.DisplayName
	case s.Login != "":
		return s.Login
	case len(s.Mail) > 0:
		return s.Mail[0]
	}
	return plain("find.user", s.ID)
}

const (
	// shownFound is how many people a search shows, and maxFound how many
	// properties.
	shownFound = "50"
	maxFound   = 200
	// fewFound is how many properties stand where people were looked for.
	fewFound = 20
	// maxSearched bounds the pages of the API that a search for properties reads.
	maxSearched = 10
)

type searchData struct {
	Query      string
	Found      []someone
	Properties []cascade.Explanation
	More       bool
}

// search is the front page. A text leads to the one page that it means, else to
// a list of those whom it may mean, which the page asks for with each keystroke.
func (v *visit) search() {
	d := &searchData{Query: strings.TrimSpace(v.r.FormValue("q"))}
	for _, words := range candidates(d.Query) {
		var list struct {
			Users []someone
			Next  string
		}
		v.get("/admin/v1/users", url.Values{"search": {words}, "limit": {shownFound}}, &list)
		d.Found, d.More = list.Users, list.Next != ""
		if len(d.Found) == 0 && !strings.ContainsAny(words, "@ ") {
			d.Properties, d.More = v.find(words, fewFound)
		}
		if len(d.Found)+len(d.Properties) > 0 {
			break
		}
	}
	exact := slices.IndexFunc(d.Properties, func(x cascade.Explanation) bool { return x.Property == d.Query })
	switch {
	case v.r.FormValue("list") != "":
		v.draw(http.StatusOK, "found", d)
	case len(d.Found) == 1:
		v.lead(d.Found[0].Path())
	case exact >= 0 || len(d.Properties) == 1:
		v.lead("/console/property/" + url.PathEscape(d.Properties[max(exact, 0)].Property))
	default:
		v.draw(http.StatusOK, "search", d)
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
// name or value: limit at most.
func (v *visit) find(words string, limit int) (found []cascade.Explanation, more bool) {
	ask, words := url.Values{"prefix": {""}, "limit": {"1000"}}, strings.ToLower(words)
	for range maxSearched {
		var list struct {
			Properties []cascade.Explanation
			Next       string
		}
		v.get("/admin/v1/properties", ask, &list)
		for _, x := range list.Properties {
			if !strings.Contains(strings.ToLower(x.Property), words) && (x.Value == nil || !strings.Contains(strings.ToLower(*x.Value), words)) {
				continue
			}
			if len(found) == limit {
				return found, true
			}
			found = append(found, x)
		}
		if list.Next == "" {
			return found, false
		}
		ask.Set("cursor", list.Next)
	}
	return found, true
}
