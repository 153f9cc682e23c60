package cli_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed47708276/sluice/remote/redistest"
)

// Clients lose their connections while Redis is away: their handshakes are refused
// until it is back, and then they get what their member has accepted meanwhile.
func TestRecoveryWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	f := newFleet(t, s, 1)
	m := f.members[0]
	way := redistest.NewProxy(t, m.public[len("http://"):])
	libs := []string{"sio1", "sio2", "sio3", "sio4"}
	text := "["
	for i, lib := range libs {
		in, query := m.login(1+i), ""
		if lib == "sio4" {
			query = "&recovery=1"
		}
		text += fmt.Sprintf(`{"lib":%q,"user":%d,"session":%q,"cookie":"%s=%s","query":%q},`, lib, 1+i, in.Session, in.Cookie.Name, in.Cookie.Value, query)
	}
	file := filepath.Join(t.TempDir(), "clients.json")
	put(t, filepath.Dir(file), "clients.json", text[:len(text)-1]+"]")
	n := runNode(t, "fleet", nil, "fleet.js", "http://"+way.Addr, file)
	clients := make([]*cutClient, len(libs))
	for i := range clients {
		clients[i] = &cutClient{user: 1 + i, node: n}
		m.poll(libs[i]+" connects", func() bool { _, connects := clients[i].heard(); return connects == 1 })
	}
	push := func(k int) {
		for i := range clients {
			if code := m.request("POST", "/admin/v1/messages", fmt.Sprintf(`{"context":1337,"user":%d,"name":"n","args":["%d"]}`, 1+i, k), nil); code != http.StatusOK {
				t.Errorf("message %d: %d", k, code)
			}
		}
	}
	push(1)
	for i, c := range clients {
		m.poll(libs[i]+" has the first", func() bool { return c.distinct() == 1 })
	}
	s.Kill()
	way.Cut()
	push(2)
	way.Heal()
	for k := 1; k <= 2*len(libs); k++ {
		m.poll("handshakes are refused", func() bool { return n.seen("connect_error", k) != nil })
	}
	push(3)
	s.Restart()
	for i, c := range clients {
		m.poll(libs[i]+" is back and has everything", func() bool { return c.distinct() == 3 })
		got, connects := c.heard()
		first := slices.Compact(slices.Clone(got)) // the first may come again where it was not confirmed
		if connects != 2 || !slices.Equal(first, []int{1, 2, 3}) && !(libs[i] != "sio4" && slices.Equal(first, []int{1, 1, 2, 3})) {
			t.Errorf("%s connected %d times and got %v", libs[i], connects, got)
		}
	}
	if m.metric(`sluice_handshakes_total{reason="",result="store_unavailable"}`) == "" {
		t.Errorf("no handshake was refused for Redis\n%s", m.log())
	}
}
