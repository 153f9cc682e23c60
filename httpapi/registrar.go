package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/cascade/people"
	"github.com/seed47708276/sluice/httpapi/doveadm"
	"github.com/seed47708276/sluice/httpapi/mailpush"
)

// Names of the properties of registration.
const (
	PropDoveAdm          = "com.openexchange.dovecot.doveadm.enabled"
	PropDoveAdmEndpoints = "com.openexchange.dovecot.doveadm.endpoints"
	PropDoveAdmSecret    = "com.openexchange.dovecot.doveadm.apiSecret"
	PropRegister         = "sluice.mailpush.register"
	PropRefresh          = "sluice.mailpush.refresh"
	PropMailLogin        = "sluice.mailpush.login"
)

const (
	registerOff  = "off"
	registerAuto = "auto"
	loginByMail  = "mail"
	loginByLogin = "login"
	doveAdmFile  = "doveadm.properties"
	doveAdmSince = "7.10.0"
)

// registrationProperties declare how users are registered with Dovecot.
var registrationProperties = []cascade.Declaration{
	{
		Name: PropDoveAdm, Kind: cascade.Bool, Default: "false", Server: true, File: doveAdmFile, Since: doveAdmSince,
		Related: []string{PropDoveAdmEndpoints, PropDoveAdmSecret},
		Doc:     "Whether the HTTP API of Dovecot's doveadm may be used.",
	},
	{
		Name: PropDoveAdmEndpoints, Kind: cascade.List, Default: "", Server: true, File: doveAdmFile, Since: doveAdmSince,
		Related: []string{PropDoveAdm},
		Doc:     "URLs of that API, such as http://dovecot:8080/doveadm/v1; where one fails the next is asked.",
	},
	{
		Name: PropDoveAdmSecret, Kind: cascade.Text, Default: "", Server: true, Secret: true, File: doveAdmFile, Since: doveAdmSince,
		Related: []string{PropDoveAdm},
		Doc:     "Key of that API: doveadm_api_key of Dovecot.",
	},
	{
		Name: PropRegister, Kind: cascade.Enum, Enum: []string{registerOff, registerAuto}, Default: registerOff, Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropDoveAdm, PropRefresh},
		Doc:     "Whether users are registered with Dovecot when they open a socket.",
	},
	{
		Name: PropRefresh, Kind: cascade.TimeSpan, Default: "24h", Min: 60_000, Max: maxRefresh, Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropRegister},
		Doc:     "How long a registration is believed to last; after it the next socket of the user makes it again.",
	},
	{
		Name: PropMailLogin, Kind: cascade.Enum, Enum: []string{loginByMail, loginByLogin}, Default: loginByMail, Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropRegister},
		Doc:     "What Dovecot calls a user: the first mail address of the directory, or the login; where one is not there, the other.",
	},
}

const (
	maxRefresh = 366 * 24 * 3_600_000 // ms
	// maxToRegister bounds the users who wait to be registered; the next socket of
	// who is left out has another try.
	maxToRegister = 10_000
	// registerBatch and registerEvery bound the load on Dovecot: 50 users a second.
	registerBatch = 50
	registerEvery = time.Second
	// registerRetry is the pause after a failure of Dovecot.
	registerRetry = 10 * time.Second
	// registerAgain is how long a user is left alone whose registration failed for a
	// reason of the user's own: no socket of those before has Dovecot asked.
	registerAgain = time.Hour
	// maxRefused bounds the users who are left alone, some 100 bytes each.
	maxRefused = 20_000
	// registerSweep is how often users with open sockets are looked at, whose
	// registration has become old since they opened them.
	registerSweep = 10 * time.Minute
	// registeredSaved is how often the cache is written.
	registeredSaved = 5 * time.Minute
	knownFile       = "mailpush-registered"
)

// registrar registers users with Dovecot: those who open a socket, and those whom
// an administrator names. Dovecot has the truth.
type registrar struct {
	server *Server
	known  doveadm.Known
	wake   chan struct{}

	mu      sync.Mutex
	pending map[cascade.Subject]bool
	order   []cascade.Subject         // of pending
	refused map[refusedUser]time.Time // until when they are left alone; maxRefused at most
	client  *doveadm.Client
	made    string // what client was made from

	done, failed, left, nameless atomic.Int64
}

// refusedUser is a user by the name that Dovecot refused: another name is another
// try.
type refusedUser struct {
	cascade.Subject
	login string
}

func newRegistrar(s *Server) *registrar {
	return &registrar{server: s, wake: make(chan struct{}, 1), pending: map[cascade.Subject]bool{}, refused: map[refusedUser]time.Time{}}
}

var errNoDoveAdm = errors.New("the HTTP API of Dovecot is not configured: set " + PropDoveAdm + "=true, " + PropDoveAdmEndpoints + " and " + PropDoveAdmSecret)

// doveAdm is the client that fits the configuration of now.
func (r *registrar) doveAdm() (*doveadm.Client, error) {
	sn := r.server.Engine.Snapshot()
	endpoints, key := cascade.ServerValue[[]string](sn, PropDoveAdmEndpoints), cascade.ServerValue[string](sn, PropDoveAdmSecret)
	if !cascade.ServerValue[bool](sn, PropDoveAdm) || len(endpoints) == 0 || key == "" {
		return nil, errNoDoveAdm
	}
	for _, e := range endpoints {
		if u, err := url.Parse(e); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%s: %.100q is no URL such as http://dovecot:8080/doveadm/v1", PropDoveAdmEndpoints, e)
		}
	}
	made := strings.Join(endpoints, ",") + "\x00" + key
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made != made {
		if r.client != nil {
			r.client.Close()
		}
		r.client, r.made = doveadm.New(endpoints, key), made
	}
	return r.client, nil
}

// endpoints are those of the configuration of now; none where it is not complete.
func (r *registrar) endpoints() []doveadm.Endpoint {
	client, err := r.doveAdm()
	if err != nil {
		return []doveadm.Endpoint{}
	}
	return client.Health()
}

// maxFailingTold bounds the endpoints that a heartbeat names, and maxFailingText each
// of them, in bytes.
const (
	maxFailingTold = 5
	maxFailingText = 200
)

// failing names the endpoints that do not work, each with the reason.
func (r *registrar) failing() (list []string) {
	for _, e := range r.endpoints() {
		if e.Status == doveadm.StatusFailing && len(list) < maxFailingTold {
			list = append(list, mailpush.Cut(e.URL+": "+e.Error, maxFailingText))
		}
	}
	return list
}

// check is what /readyz says of the endpoints: a member that cannot register anybody
// serves its sockets all the same. ok is false where there are none.
func (r *registrar) check() (c check, ok bool) {
	list := r.endpoints()
	failing := r.failing()
	c = check{Name: "doveadm", Status: "ok"}
	if len(failing) > 0 {
		c.Status = "warning"
		c.Detail = fmt.Sprintf("%d of %d endpoints of Dovecot's HTTP API fail, by which users are registered for notifications of new mails: %s", len(failing), len(list), strings.Join(failing, "; "))
	}
	return c, len(list) > 0
}

// login is what Dovecot calls a user, or "".
func (r *registrar) login(su cascade.Subject) string {
	n := r.server.Engine.People().Of(people.Subject(su))
	mail := ""
	if len(n.Mails) > 0 {
		mail = n.Mails[0]
	}
	if mail == "" || n.Login != "" && cascade.ServerValue[string](r.server.Engine.Snapshot(), PropMailLogin) == loginByLogin {
		return n.Login
	}
	return mail
}

// metadata is what a user's registration says.
func metadata(su cascade.Subject) string { return fmt.Sprintf("user=%d@%d", su.User, su.Context) }

// auto reports whether opened is to be told of sockets.
func (r *registrar) auto() bool {
	sn := r.server.Engine.Snapshot()
	return cascade.ServerValue[string](sn, PropRegister) == registerAuto && cascade.ServerValue[bool](sn, PropDoveAdm)
}

// recent reports whether a user was registered not long ago.
func (r *registrar) recent(su cascade.Subject) bool {
	return time.Since(r.known.Registered(su.Context, su.User)) < cascade.ServerValue[time.Duration](r.server.Engine.Snapshot(), PropRefresh)
}

// opened has a user be registered who has opened a socket. It does not wait.
func (r *registrar) opened(su cascade.Subject) {
	if !r.auto() || r.recent(su) {
		return
	}
	user := refusedUser{su, r.login(su)}
	if user.login == "" { // the directory may have it by the next socket
		r.nameless.Add(1)
		r.server.pushes.warn("register", "a user cannot be registered with Dovecot: the directory has neither a login nor a mail address", "context", su.Context, "user", su.User)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.pending[su] || time.Now().Before(r.refused[user]):
		return
	case len(r.order) >= maxToRegister:
		r.left.Add(1)
		return
	}
	r.pending[su] = true
	r.order = append(r.order, su)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// leaveAlone has no socket of a user register it for a while. Where too many are
// left alone, some of them have another try before their time.
func (r *registrar) leaveAlone(user refusedUser, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refused) >= maxRefused {
		maps.DeleteFunc(r.refused, func(_ refusedUser, until time.Time) bool { return now.After(until) })
		for other := range r.refused {
			if len(r.refused) < maxRefused {
				break
			}
			delete(r.refused, other)
		}
	}
	r.refused[user] = now.Add(registerAgain)
}

// sweep has the users registered who have had a socket for long, as if they opened
// it now.
func (r *registrar) sweep() {
	if !r.auto() {
		return
	}
	r.server.Sockets.Users(func(context, user uint32) bool {
		r.opened(cascade.Subject{Context: context, User: user})
		return true
	})
}

func (r *registrar) take() []cascade.Subject {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(registerBatch, len(r.order))
	batch := r.order[:n:n]
	r.order = r.order[n:]
	for _, su := range batch {
		delete(r.pending, su)
	}
	return batch
}

// RunRegistrations registers who opens a socket, until ctx ends. dir is the state
// folder.
func (s *Server) RunRegistrations(ctx context.Context, dir string) {
	r := s.registrar
	path := filepath.Join(dir, knownFile)
	if err := r.known.Load(path); err != nil {
		s.Logger.Warn("registrations with Dovecot are looked up again", "err", err)
	}
	save := func() {
		if err := r.known.Save(path); err != nil {
			s.Logger.Error("registrations with Dovecot are not kept", "err", err)
		}
	}
	defer save()
	r.run(ctx, save, r.turn)
}

// run calls turn while somebody waits, and save now and then.
func (r *registrar) run(ctx context.Context, save func(), turn func(context.Context) time.Duration) {
	saving := time.NewTicker(registeredSaved)
	defer saving.Stop()
	timer := time.NewTimer(registerEvery)
	defer timer.Stop()
	armed := true // sockets that come meanwhile put nothing off
	sweeping := time.NewTicker(registerSweep)
	defer sweeping.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweeping.C:
			r.sweep()
		case <-saving.C:
			save()
		case <-r.wake:
			if !armed {
				timer.Reset(registerEvery)
				armed = true
			}
		case <-timer.C:
			wait := turn(ctx)
			if armed = wait > 0; armed {
				timer.Reset(wait)
			}
		}
	}
}

// turn registers some who wait; it returns when the next ones are due, or 0.
func (r *registrar) turn(ctx context.Context) time.Duration {
	batch := r.take()
	if len(batch) == 0 {
		return 0
	}
	wait := registerEvery
	for i, result := range r.apply(ctx, actionRegister, batch, false) {
		switch result.Result {
		case resultRegistered:
			r.done.Add(1)
		case resultUncertain, resultSetup: // of all
			r.failed.Add(1)
			r.server.pushes.warn("register", "a user is not registered with Dovecot yet", "context", batch[i].Context, "user", batch[i].User, "result", result.Result, "detail", result.Detail)
			r.opened(batch[i])
			wait = registerRetry
		default: // of this one: no such user, or a home that is not there
			r.failed.Add(1)
			r.leaveAlone(refusedUser{batch[i], result.Login}, time.Now())
			r.server.pushes.warn("register", "a user cannot be registered with Dovecot", "context", batch[i].Context, "user", batch[i].User, "result", result.Result, "detail", result.Detail)
		}
	}
	return wait
}
