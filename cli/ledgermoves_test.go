package cli_test

import (
	"testing"
	"time"

	"github.com/seed47708276/sluice/remote/redistest"
)

// Clients whose connections break again and again, and which come back to another
// member each time, miss nothing.
func TestLedgerMoves(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t), 3)
	l := newLedger(f, ledgerRate)
	b := newBalancer(t, f)
	l.clients(b.addr, `{"reconnectionDelay":20,"reconnectionDelayMax":40,"randomizationFactor":0.1}`)
	l.send()
	rounds := 4
	if *torture {
		rounds = 21 // 500 moves
	}
	for range rounds {
		l.strike(func() { b.cut() })
		l.members[0].poll("the clients are back", func() bool { return l.connected() == ledgerUsers })
	}
	hold(time.Second)
	l.recovered(allowance{leave: map[int]bool{clientMember: true}, again: true})
}

// A member is killed: its clients come back to the others and miss nothing that
// was accepted with sync.
func TestLedgerKilledMemberOfClients(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t), 3)
	l := newLedger(f, ledgerRate)
	l.more = `,"sync":true`
	b := newBalancer(t, f)
	l.clients(b.addr, "")
	l.send()
	allow := allowance{leave: map[int]bool{clientMember: true, 1: true}, killed: map[int]time.Time{}, synced: true, again: true}
	hold(time.Second)
	l.kill(1)
	allow.killed[1] = time.Now()
	l.pause(1)
	l.members[0].poll("the clients are back", func() bool { return l.connected() == ledgerUsers })
	f.launch(l.members[1])
	b.follow(f)
	l.resume(1)
	hold(2 * time.Second)
	l.recovered(allow)
}
