package remote

import (
	"fmt"
	"strconv"
	"strings"
)

// keys are the names of what a cluster keeps in Redis. What is read or written
// together has one hash tag, so that it is in one slot of a Redis Cluster.
type keys struct{ cluster string }

func (k keys) shared(name string) string { return "sluice:{" + k.cluster + "}:" + name }

// members is the set of incarnations.
func (k keys) members() string { return k.shared("members") }

// registry holds the id of the registry. It changes when Redis has lost data.
func (k keys) registry() string { return k.shared("registry") }

// record is what a member tells of itself; it stays for keepFor beyond the
// lease.
func (k keys) record(incarnation string) string { return k.shared("member:" + incarnation) }

// lease exists while a member is alive.
func (k keys) lease(incarnation string) string { return k.shared("lease:" + incarnation) }

// inbox is the stream of what a member is to get.
func (k keys) inbox(incarnation string) string {
	return "sluice:{" + k.cluster + ":" + incarnation + "}:inbox"
}

// index is the set of a member's registrations, see Registration.place.
func (k keys) index(incarnation string) string {
	return "sluice:{" + k.cluster + ":" + incarnation + "}:sockets"
}

// sockets is the hash of a user's registrations in all members, by socket id.
func (k keys) sockets(context, user int32) string {
	return "sluice:{" + k.cluster + ":" + strconv.Itoa(int(context)) + ":" + strconv.Itoa(int(user)) + "}:sockets"
}

// message is there while the id of a message is taken.
func (k keys) message(id string) string { return "sluice:{" + k.cluster + "::" + id + "}:message" }

// Registration is what the cluster knows of a socket.
type Registration struct {
	ID         string // of the socket, random
	Context    int32
	User       int32
	Connection string // the client's id for it, printable ASCII
	Session    string // digest of the session's id, sessionLen bytes
}

// sessionLen is the length of Registration.Session.
const sessionLen = 16

// value is what the hash of a user holds.
func (r *Registration) value(incarnation string) string {
	return incarnation + r.Session + r.Connection
}

// holder is the incarnation in a value, or "" for what no member has written.
func holder(value string) string {
	if len(value) < incarnationLen+sessionLen {
		return ""
	}
	return value[:incarnationLen]
}

// place is what the index of a member holds.
func (r *Registration) place() string {
	return fmt.Sprintf("%d:%d:%s", r.Context, r.User, r.ID)
}

// parsePlace reads what place has written.
func parsePlace(place string) (r Registration, ok bool) {
	c, rest, _ := strings.Cut(place, ":")
	u, id, _ := strings.Cut(rest, ":")
	context, err1 := strconv.ParseInt(c, 10, 32)
	user, err2 := strconv.ParseInt(u, 10, 32)
	r = Registration{ID: id, Context: int32(context), User: int32(user)}
	return r, err1 == nil && err2 == nil && id != ""
}
