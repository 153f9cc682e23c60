package platform

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/sqlpool"
)

// server is a row of db_pool.
type server struct{ url, login, password string }

// maxServers bounds the connections: a platform has some dozens of user
// databases, and as many servers at most.
const maxServers = 256

// global reads what is not of one context: the servers of the user databases,
// and the resellers. It returns the resellers where they differ from the last.
func (p *Platform) global(q *round) ([]cascade.Reseller, error) {
	p.mu.Lock()
	due := p.due || p.globals.IsZero()
	p.mu.Unlock()
	if !due {
		return nil, nil
	}
	start, name := time.Now(), quote(p.opt.Config.Database)+"."
	servers := map[int64]server{}
	err := q.rows(p.config, "", "SELECT db_pool_id, url, login, password FROM "+name+"db_pool", func(r *sql.Rows) error {
		var id int64
		var url, login, password sql.NullString
		if err := r.Scan(&id, &url, &login, &password); err != nil {
			return err
		}
		servers[id] = server{url.String, login.String, password.String}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.servers = servers
	list, err := p.readResellers(q, name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.globals, p.due = start, false
	p.mu.Unlock()
	if sum := sumOf(list); sum != p.resellers {
		p.resellers = sum
		return list, nil
	}
	return nil, nil
}

func (p *Platform) readResellers(q *round, name string) ([]cascade.Reseller, error) {
	list, at := []cascade.Reseller{}, map[uint32]int{}
	err := q.rows(p.config, "subadmin", "SELECT sid, name, pid FROM "+name+"subadmin ORDER BY sid", func(r *sql.Rows) error {
		var id uint32
		var text sql.NullString
		var parent sql.NullInt64
		if err := r.Scan(&id, &text, &parent); err != nil {
			return err
		}
		at[id] = len(list)
		list = append(list, cascade.Reseller{ID: id, Name: text.String, Parent: uint32(max(parent.Int64, 0)), Config: map[string]string{}})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = q.rows(p.config, "subadmin_taxonomies", "SELECT sid, taxonomy FROM "+name+"subadmin_taxonomies ORDER BY sid, taxonomy", func(r *sql.Rows) error {
		var id uint32
		var tag string
		if err := r.Scan(&id, &tag); err != nil {
			return err
		}
		if i, ok := at[id]; ok {
			list[i].Taxonomies = append(list[i].Taxonomies, tag)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = q.rows(p.config, "subadmin_config_properties", "SELECT sid, propertyKey, propertyValue FROM "+name+"subadmin_config_properties WHERE propertyValue IS NOT NULL", func(r *sql.Rows) error {
		var id uint32
		var key, value string
		if err := r.Scan(&id, &key, &value); err != nil {
			return err
		}
		// The platform refuses capabilities of resellers as properties.
		if i, ok := at[id]; ok && !strings.HasPrefix(key, "com.openexchange.capability.") {
			list[i].Config[key] = value
		}
		return nil
	})
	return list, err
}

// pool returns the connections to the server of a user database, for reading or
// for writing. The caller holds reads.
func (p *Platform) pool(id int64, write bool) (*sqlpool.Pool, error) {
	s, ok := p.servers[id]
	if !ok {
		return nil, fmt.Errorf("db_pool has no row %d", id)
	}
	j, err := parseJDBC(s.url)
	if err != nil {
		return nil, fmt.Errorf("the url of row %d of db_pool: %w", id, err)
	}
	o := sqlpool.Options{Hosts: j.hosts, User: s.login, Password: s.password, TLS: p.opt.TLS, Stale: !write}
	if !write {
		o.Answer = readTimeout
	}
	if p.opt.Own {
		o.User, o.Password = p.opt.Config.User, p.opt.Config.Password
	}
	key := strings.Join(o.Hosts, ",") + "\x00" + o.User + "\x00" + o.Password
	if write {
		key += "\x00write"
	}
	if pool := p.users[key]; pool != nil {
		return pool, nil
	}
	if len(p.users) >= maxServers {
		return nil, fmt.Errorf("db_pool names more than %d servers", maxServers)
	}
	pool, err := sqlpool.Open(o)
	if err != nil {
		return nil, err
	}
	p.users[key] = pool
	return pool, nil
}
