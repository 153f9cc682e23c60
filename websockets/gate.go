package websockets

// Gate decides whether a user is served. The owner implements it over the
// cascade: com.openexchange.websockets.enabled
// (docs/reference/handshake.md#gate), and whether the directory knows the
// context and the user and has them enabled.
//
// It is asked at the handshake, again once the socket is in the hub, and by
// Recheck for every connected user. Allowed must not block and must be safe
// for concurrent use. Ids are 1 to 2147483647.
type Gate interface {
	Allowed(context, user uint32) Verdict
}

// Verdict is the answer of a Gate. Reason and Hold count only when Allowed is
// false. Hold: the sockets of the user are kept, and get no message.
type Verdict struct {
	Allowed bool
	Reason  Reason
	Hold    bool
}

// Reason tells why a user is not served. A handshake answers 400 "disabled" for
// SwitchedOff, unless the user is held, and 403 "forbidden" for the others, and
// removes the session of a disabled context or an unknown user
// (docs/reference/handshake.md#checks); a live socket is closed in the same way
// for all of them.
type Reason uint8

// The reasons. The zero value is SwitchedOff: a Verdict{} refuses.
const (
	SwitchedOff     Reason = iota // the property is false for the user
	ContextDisabled               // the directory has the context disabled
	ContextUnknown                // the directory does not have the context, or it was deleted
	UserDisabled                  // the directory has the user disabled
	UserUnknown                   // the directory does not have the user, or it was deleted
	NotRead                       // who decides could not be asked yet: 503, and a live socket stays
)

// String is the value of the log key "reason".
func (r Reason) String() string {
	switch r {
	case SwitchedOff:
		return "switched_off"
	case ContextDisabled:
		return "context_disabled"
	case ContextUnknown:
		return "context_unknown"
	case UserDisabled:
		return "user_disabled"
	case UserUnknown:
		return "user_unknown"
	case NotRead:
		return "not_read"
	default:
		return "unknown"
	}
}
