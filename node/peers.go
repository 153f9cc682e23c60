package node

import (
	"context"

	"github.com/seed47708276/sluice/remote"
)

// peers is the link as the sockets need it for clients that come back.
type peers struct{ *remote.Link }

// AskAll implements websockets.Peers.
func (p peers) AskAll(ctx context.Context, op string, body []byte) (answers [][]byte) {
	for _, a := range p.Ask(ctx, op, body) {
		if a.Err == nil { // else it says nothing, and what it has is said to be missing
			answers = append(answers, a.Body)
		}
	}
	return answers
}
