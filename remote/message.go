package remote

// Message is a service message on its way to other members.
type Message struct {
	ID          string
	Context     uint32 // 0: everybody
	User        uint32 // 0: everybody in Context
	PathFilter  string
	SourceToken string
	Name        string
	Args        string // JSON array, compact
	// IDs are those that callers gave this message and the equal ones that were
	// merged with it, at most maxIDs: a socket gets it once for all of them.
	IDs []string
	// Conflate is that of websockets.Message.
	Conflate string
	// Confirm has the receivers ask their sockets whether the message has come.
	Confirm bool
	// From is the name of the member that sent it, where that is known. It is set
	// by the link.
	From string
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
	to                                addressee
	filter, token, nm, args, conflate string
	apart                             uint64
}

func (m *Message) sameness() sameness {
	return sameness{m.addressee(), m.PathFilter, m.SourceToken, m.Name, m.Args, m.Conflate, m.Apart}
}
