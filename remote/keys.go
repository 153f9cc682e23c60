package remote

import (
	"hash/fnv"
	"strconv"

	"github.com/seed47708276/sluice/shared"
)

// keys are the names of what a cluster keeps in Redis. What is read or written
// together has one hash tag, so that it is in one slot of a Redis Cluster.
type keys struct{ cluster string }

func (k keys) shared(name string) string { return "sluice:{" + k.cluster + "}:" + name }

// members is the set of incarnations.
func (k keys) members() string { return k.shared("members") }

// log is the stream of what the members send each other.
func (k keys) log() string { return k.shared("log") }

// record is what a member tells of itself; it stays for Options.Keep beyond the
// lease.
func (k keys) record(incarnation string) string { return k.shared("member:" + incarnation) }

// lease exists while a member is alive.
func (k keys) lease(incarnation string) string { return k.shared("lease:" + incarnation) }

// replies is the list of the answers to a question.
func (k keys) replies(id string) string { return k.shared("replies:" + id) }

// buckets is into how many hashes the registry is divided. A member holds each
// of them against what it has been told four times a lease.
const buckets = 32

// bucket is the hash of the registrations of some users, a field for each user,
// see fieldOf. It counts the changes of each member, see counter.
func (k keys) bucket(n int) string {
	return "sluice:{" + k.cluster + ":r" + strconv.Itoa(n) + "}:sockets"
}

// counter is the field of a bucket that counts what a member has changed there.
// It goes with what it counts: where it is not what Redis has answered, the
// bucket has lost data.
func counter(incarnation string) string { return "#" + incarnation }

// message is there while the id of a message is taken.
func (k keys) message(id string) string { return "sluice:{" + k.cluster + "::" + id + "}:message" }

const (
	// sessionLen is the length of Registration.Session.
	sessionLen = 16
	// maxPart bounds Registration.ID and Connection, whose lengths are a byte.
	maxPart = 255
)

// fieldOf is the field of the user in its bucket.
func fieldOf(r *shared.Registration) string {
	return strconv.Itoa(int(r.Context)) + ":" + strconv.Itoa(int(r.User))
}

// bucketOf is the number of the bucket of a field.
func bucketOf(field string) int {
	h := fnv.New32a()
	h.Write([]byte(field)) // never fails
	return int(h.Sum32() % buckets)
}

// valueOf is a socket in the field of its user, which has one behind the other.
func valueOf(r *shared.Registration, incarnation string) string {
	return incarnation + r.Session + string([]byte{byte(len(r.ID))}) + r.ID + string([]byte{byte(len(r.Connection))}) + r.Connection
}

// entry is a registration as a bucket has it.
type entry struct {
	holder string // incarnation
	shared.Registration
}

// parseField reads the registrations of a user; what does not parse ends them.
func parseField(text string) (list []entry, ok bool) {
	const head = incarnationLen + sessionLen
	for text != "" {
		if len(text) < head+1 {
			return list, false
		}
		e := entry{holder: text[:incarnationLen]}
		e.Session, text = text[incarnationLen:head], text[head:]
		for _, part := range []*string{&e.ID, &e.Connection} {
			if len(text) == 0 || len(text) < 1+int(text[0]) {
				return list, false
			}
			*part, text = text[1:1+int(text[0])], text[1+int(text[0]):]
		}
		list = append(list, e)
	}
	return list, true
}
