package platform

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/exchange"
	"github.com/seed47708276/sluice/cascade/sqlpool"
)

// part is one of the tables that are asked together: a round trip costs a server
// and this member more than a row of a primary key.
type part struct {
	optional string // as in rows
	query    string // of the columns cid, id, and two texts; id 0 is a context
	take     func(su cascade.Subject, a, b sql.NullString) error
}

// text is a column as a text, in the one character set that a UNION can have.
func text(column string) string { return "CONVERT(" + column + " USING utf8mb4)" }

// partRow is a row of a part.
type partRow struct {
	part int
	su   cascade.Subject
	a, b sql.NullString
}

// together runs parts as one query. Where a table is not there it asks for each
// alone, which tells which one that is, and leaves it out from then on.
func (q *round) together(pool *sqlpool.Pool, parts []part) error {
	var queries []string
	for i, p := range parts {
		if p.optional == "" || !q.p.absent[p.optional] {
			queries = append(queries, strings.Replace(p.query, "SELECT ", "SELECT "+strconv.Itoa(i)+", ", 1))
		}
	}
	var rows []partRow
	scan := func(r *sql.Rows) error {
		var x partRow
		if err := r.Scan(&x.part, &x.su.Context, &x.su.User, &x.a, &x.b); err != nil {
			return err
		}
		rows = append(rows, x)
		return nil
	}
	err := q.rows(pool, "", strings.Join(queries, " UNION ALL "), scan)
	if sqlpool.Classify(err) == sqlpool.Setup {
		rows, err = nil, nil
		for i, p := range parts {
			if err = q.rows(pool, p.optional, strings.Replace(p.query, "SELECT ", "SELECT "+strconv.Itoa(i)+", ", 1), scan); err != nil {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	// In an order that no plan of the server changes.
	slices.SortFunc(rows, func(x, y partRow) int {
		return cmp.Or(cmp.Compare(x.part, y.part), cmp.Compare(x.su.Context, y.su.Context), cmp.Compare(x.su.User, y.su.User), strings.Compare(x.a.String, y.a.String))
	})
	for _, x := range rows {
		if err := parts[x.part].take(x.su, x.a, x.b); err != nil {
			return err
		}
	}
	return nil
}

// fillContexts reads the configuration database, and adds where the users are to
// places.
func (p *Platform) fillContexts(q *round, f *found, ids []uint32, places map[place][]uint32) error {
	name, in := quote(p.opt.Config.Database)+".", " WHERE cid IN ("+idList(ids)+")"
	return q.together(p.config, []part{
		// NULL counts as false, as it does for the platform.
		{"", "SELECT cid, 0, " + text("name") + ", " + text("enabled") + " FROM " + name + "context" + in, func(su cascade.Subject, a, b sql.NullString) error {
			c := f.contexts[su.Context]
			c.Missing, c.Enabled = false, b.Valid && b.String != "0"
			next := c.Context
			next.Name = a.String
			p.keep(f, su, "name", cascade.Batch{Contexts: []cascade.Context{next}}, func() { c.Context = next })
			return nil
		}},
		{"login2context", "SELECT cid, 0, " + text("login_info") + ", NULL FROM " + name + "login2context" + in, func(su cascade.Subject, a, _ sql.NullString) error {
			c := f.contexts[su.Context]
			next := *c
			next.Logins = append(slices.Clone(c.Logins), a.String)
			p.keep(f, su, a.String, cascade.Batch{Contexts: []cascade.Context{next.Context}}, func() { *c = next })
			return nil
		}},
		{"context2subadmin", "SELECT cid, 0, " + text("sid") + ", NULL FROM " + name + "context2subadmin" + in, func(su cascade.Subject, a, _ sql.NullString) error {
			sid, err := strconv.ParseUint(a.String, 10, 32)
			if err != nil {
				f.oddity(su, "context2subadmin", "the sid is "+a.String+", which is no id")
			}
			f.contexts[su.Context].Reseller = uint32(sid)
			return nil
		}},
		{"", "SELECT cid, 0, " + text("read_db_pool_id") + ", " + text("db_schema") + " FROM " + name + "context_server2db_pool" + in, func(su cascade.Subject, a, b sql.NullString) error {
			id, err := strconv.ParseInt(a.String, 10, 64)
			if err != nil {
				return fmt.Errorf("context_server2db_pool has the read_db_pool_id %q for %v, which is no number", a.String, su)
			}
			at := place{id, b.String}
			if !slices.Contains(places[at], su.Context) { // one for each server that is registered
				places[at] = append(places[at], su.Context)
			}
			return nil
		}},
	})
}

// fillUsers reads one user database.
func (p *Platform) fillUsers(q *round, f *found, at place, ids []uint32, byContext map[uint32][]uint32) error {
	pool, err := p.pool(at.server, false)
	if err != nil {
		return err
	}
	slices.Sort(ids)
	name := quote(at.schema) + "."
	var parts []part
	var whole []uint32 // contexts that are read themselves
	for _, id := range ids {
		if f.contexts[id] != nil {
			whole = append(whole, id)
		}
	}
	if len(whole) > 0 {
		parts = append(parts, part{"", "SELECT cid, 0, " + text("name") + ", " + text("value") + " FROM " + name + "contextAttribute WHERE cid IN (" + idList(whole) + ") AND value IS NOT NULL AND (name = 'taxonomy/types' OR name LIKE 'config/%')", func(su cascade.Subject, a, b sql.NullString) error {
			c := f.contexts[su.Context]
			x, err := exchange.DecodeAttribute(su, a.String, b.String)
			f.take(su, a.String, x, err)
			if x.Override != nil {
				c.Config = append(c.Config, *x.Override)
			}
			if x.Tags != nil {
				next := c.Context
				next.Tags = x.Tags
				p.keep(f, su, a.String, cascade.Batch{Contexts: []cascade.Context{next}}, func() { c.Tags = x.Tags })
			}
			return nil
		}})
	}
	// One range of the primary key for each context: a list of pairs would be a
	// scan of the table.
	where := func(table, user string) string {
		var ranges []string
		for _, id := range ids {
			if list := byContext[id]; len(list) > 0 {
				slices.Sort(list)
				ranges = append(ranges, fmt.Sprintf("%s.cid = %d AND %s.%s IN (%s)", table, id, table, user, idList(list)))
			}
		}
		return strings.Join(ranges, " OR ")
	}
	if where("u", "id") != "" {
		parts = append(parts, p.userParts(f, name, where)...)
	}
	return q.together(pool, parts)
}

// userParts are what is read of users.
func (p *Platform) userParts(f *found, name string, where func(table, user string) string) []part {
	named := func(optional, query string, set func(*cascade.User, string)) part {
		return part{optional, query, func(su cascade.Subject, a, _ sql.NullString) error {
			u := f.users[su]
			if u == nil || a.String == "" {
				return nil
			}
			next := u.User
			set(&next, a.String)
			p.keep(f, su, optional, cascade.Batch{Users: []cascade.User{next}}, func() { u.User = next })
			return nil
		}}
	}
	return []part{
		{"", "SELECT u.cid, u.id, " + text("u.mailEnabled") + ", " + text("c.permissions") + " FROM " + name + "user AS u LEFT JOIN " + name + "user_configuration AS c ON c.cid = u.cid AND c.user = u.id WHERE " + where("u", "id"), func(su cascade.Subject, a, b sql.NullString) error {
			u := f.users[su]
			u.Missing, u.Enabled = false, a.Valid && a.String != "0"
			if !b.Valid {
				return nil
			}
			list, err := exchange.PermissionNames(b.String)
			if err != nil {
				f.oddity(su, "permissions", err.Error())
			}
			u.Permissions = list
			return nil
		}},
		{"", "SELECT a.cid, a.id, " + text("a.name") + ", " + text("a.value") + " FROM " + name + "user_attribute AS a WHERE (" + where("a", "id") + ") AND a.value IS NOT NULL AND a.name LIKE 'config/%'", func(su cascade.Subject, a, b sql.NullString) error {
			x, err := exchange.DecodeAttribute(su, a.String, b.String)
			f.take(su, a.String, x, err)
			if u := f.users[su]; x.Override != nil {
				u.Config = append(u.Config, *x.Override)
			}
			return nil
		}},
		named("login2user", "SELECT l.cid, l.id, "+text("l.uid")+", NULL FROM "+name+"login2user AS l WHERE "+where("l", "id"), func(u *cascade.User, s string) {
			if u.Login == "" {
				u.Login = s
			}
		}),
		named("column mail of user", "SELECT u.cid, u.id, "+text("u.mail")+", NULL FROM "+name+"user AS u WHERE ("+where("u", "id")+") AND u.mail IS NOT NULL", func(u *cascade.User, s string) { u.Mails = appendNew(u.Mails, s) }),
		named("user_alias", "SELECT a.cid, a.user, "+text("a.alias")+", NULL FROM "+name+"user_alias AS a WHERE "+where("a", "user"), func(u *cascade.User, s string) { u.Mails = appendNew(u.Mails, s) }),
		named("prg_contacts", "SELECT c.cid, c.userid, "+text("c.field01")+", NULL FROM "+name+"prg_contacts AS c WHERE ("+where("c", "userid")+") AND c.field01 IS NOT NULL", func(u *cascade.User, s string) { u.DisplayName = s }),
	}
}
