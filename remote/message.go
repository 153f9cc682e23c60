package remote

import "github.com/seed47708276/sluice/shared"

// Message is a service message on its way to other members.
type Message struct {
	Context uint32 // 0: everybody
	User    uint32 // 0: everybody in Context
	shared.Target
	Name string
	Args string // JSON array, compact; a string because equal messages are found by it
	// Label has at most maxIDs IDs. Its From is set by the link.
	shared.Label
	// Number is what the member that accepted the message counts it as, the highest
	// of equal ones that were merged; 0: it does not count it.
	Number uint64
	// Placed are told which message of which entry of the log it is, once that is
	// known. They are not sent.
	Placed []Placed
	// Origin, Entry and Line are the sender of a message of another member, and its
	// place in the log.
	Origin string
	Entry  uint64
	Line   int
	// Apart, where it is not 0, keeps a message from being merged with one of
	// another number. It is not sent.
	Apart uint64

	receipt *receipt // of a sync message; nil: nobody waits
}

// Placed is told the place of a message in the log. It must not block.
type Placed interface {
	Placed(entry uint64, line int)
}

// addressee is whom a message is for.
type addressee struct{ context, user uint32 }

func (m *Message) addressee() addressee { return addressee{m.Context, m.User} }

// sameness is what makes two messages equal (docs/reference/cluster.md#buffer):
// everything but the ids.
type sameness struct {
	to                   addressee
	target               shared.Target
	name, args, conflate string
	apart                uint64
}

func (m *Message) sameness() sameness {
	return sameness{m.addressee(), m.Target, m.Name, m.Args, m.Conflate, m.Apart}
}
