package cli_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed47708276/sluice/websockets"
)

// TestConfirmCost compares messages whose arrival is asked for with those that are
// only sent, in turns on one server with real sockets that answer. The bound of 1.3
// times the CPU is held with -torture, by the median of the turns; a short round holds
// it to three times.
func TestConfirmCost(t *testing.T) {
	t.Parallel()
	turns, each := 1, 100
	if *torture {
		turns, each = 15, 300
	}
	const users = 30
	tree := newTree(t)
	put(t, tree, "own.properties", websockets.PropArrivals+"=0\n")
	p := launch(t, tree, t.TempDir())
	came := make(chan struct{}, users)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, users)
	for u := range users {
		l := p.login(u + 1)
		conn, _, err := websocket.Dial(ctx, p.public+"/socket.io/appsuite/?EIO=4&transport=websocket&session="+l.Session,
			&websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {l.Cookie.Name + "=" + l.Cookie.Value}}})
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- answer(ctx, conn, came) }()
	}
	for range users {
		<-came // each has joined
	}
	send := func(confirm bool, n int) time.Duration {
		before := p.cpu()
		for i := range n {
			body := fmt.Sprintf(`{"context":1337,"user":%d,"name":"ox:mail:new","args":[{"folder":"default0/INBOX"}],"confirm":%t}`, i%users+1, confirm)
			if code := p.request("POST", "/admin/v1/messages", body, nil); code != http.StatusOK {
				t.Fatalf("a message is answered with %d", code)
			}
			<-came
		}
		return p.cpu() - before
	}
	send(true, each/3) // warm
	send(false, each/3)
	var ratios []float64
	var used [2]time.Duration
	for turn := range turns {
		var now [2]time.Duration
		for i := range now {
			confirm := (i+turn)%2 == 0
			spent := send(confirm, each)
			if confirm {
				now[1] = spent
			} else {
				now[0] = spent
			}
		}
		used[0], used[1] = used[0]+now[0], used[1]+now[1]
		ratios = append(ratios, float64(now[1])/float64(now[0]))
	}
	stop()
	for range users {
		if err := <-ended; err != nil && t.Context().Err() == nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
	slices.Sort(ratios)
	ratio := ratios[len(ratios)/2]
	t.Logf("%d messages each: CPU %v with confirm, %v without; ratio %.2f of the median turn, from %.2f to %.2f", turns*each, used[1], used[0], ratio, ratios[0], ratios[len(ratios)-1])
	switch {
	case *torture && ratio > 1.3:
		t.Errorf("a message whose arrival is asked for takes %.2f times the CPU, at most 1.3", ratio)
	case used[1] > 3*used[0]+100*time.Millisecond:
		t.Errorf("a message whose arrival is asked for takes %.2f times the CPU", ratio)
	}
}

// answer joins, answers what a page answers, and tells of each message and of its
// having joined.
func answer(ctx context.Context, conn *websocket.Conn, came chan<- struct{}) error {
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("40")); err != nil {
		return err
	}
	for {
		_, data, err := conn.Read(ctx) // which answers pings of the Web Socket
		switch {
		case err != nil:
			return err
		case string(data) == "2":
			if err := conn.Write(ctx, websocket.MessageText, []byte("3")); err != nil {
				return err
			}
		case data[0] == '4':
			came <- struct{}{}
		}
	}
}
