package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/shared"
)

// envelopeVersion is that of the format. A change that an older member would
// misunderstand raises it; one that it may ignore adds a field.
const envelopeVersion = 1

// The bounds of an envelope. Messages are below them; what is not was written
// by something else.
const (
	maxEnvelope   = 1 << 20
	maxEnvelopeID = 128
	maxOrigin     = 512
	maxFilter     = 255
	maxToken      = 64
	maxName       = 255
	maxConflate   = 255
)

// Why an envelope is skipped; each is counted by itself.
var (
	// ErrVersion: of a newer member, which this one does not understand.
	ErrVersion = errors.New("envelope of a newer version")
	// ErrEnvelope: not written by a member.
	ErrEnvelope = errors.New("unreadable envelope")
)

// envelope is a line of an entry of the log. The names are short, because Redis
// keeps them with each message.
type envelope struct {
	Version     int             `json:"v"`
	ID          string          `json:"id"`
	Origin      string          `json:"o"`
	Context     uint32          `json:"c,omitempty"`
	User        uint32          `json:"u,omitempty"`
	PathFilter  string          `json:"f,omitempty"`
	SourceToken string          `json:"t,omitempty"`
	Name        string          `json:"n"`
	Args        json.RawMessage `json:"a"`
	Kind        string          `json:"k,omitempty"`
	Ref         string          `json:"r,omitempty"`
	IDs         []string        `json:"i,omitempty"`
	Expires     int64           `json:"x,omitempty"`
	Conflate    string          `json:"y,omitempty"`
	Confirm     bool            `json:"q,omitempty"`
	Number      uint64          `json:"z,omitempty"`
}

// The kinds of what goes through the log, but for kindReply. A member skips those
// that it does not know.
const (
	kindMessage = ""        // for the sockets of its addressee
	kindReplace = "replace" // the socket named Name was taken over by another member
	kindAsk     = "ask"     // Name is an op, Args holds its body: answered to the origin
	kindReply   = "reply"   // to the ask whose id is Ref: Args holds the body, or an error in Name
	kindResend  = "resend"  // the member Ref is to post its entries again from the number in Args on
	kindTell    = "tell"    // Name is an op, Args holds its body: nobody answers
	kindCanary  = "canary"  // Args holds when it was sent, in microseconds by the clock of Redis
)

// parcel is what members send each other.
type parcel struct {
	Message
	Kind   string
	Ref    string // id of an ask, or the member that is meant
	Origin string // incarnation of the sender
	// Expires is when an ask is not answered any more, in milliseconds by the
	// clock of Redis; 0: never.
	Expires int64
}

// encodeEnvelope is the text of a parcel of origin, a member's incarnation. Its
// message is one that websockets.Message has validated.
func encodeEnvelope(origin string, p *parcel) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(envelope{
		envelopeVersion, p.ID, origin, p.Context, p.User, p.PathFilter, p.SourceToken, p.Name, json.RawMessage(p.Args), p.Kind, p.Ref, p.IDs, p.Expires, p.Conflate, p.Confirm, p.Number,
	})
	if err != nil {
		return nil, fmt.Errorf("message %q: %w", p.ID, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// decodeEnvelope reads what encodeEnvelope, of this version or a later one that
// it can be read as, has written. It returns ErrVersion or an error that wraps
// ErrEnvelope and does not repeat the contents.
func decodeEnvelope(text []byte) (*parcel, error) {
	bad := func(what string) (*parcel, error) {
		return nil, fmt.Errorf("%w: %s", ErrEnvelope, what)
	}
	if len(text) > maxEnvelope {
		return bad("too long")
	}
	if !utf8.Valid(text) {
		return bad("not UTF-8")
	}
	var e envelope
	if json.Unmarshal(text, &e) != nil || e.Version != envelopeVersion {
		// A newer version may have other types under the same names.
		var v struct {
			Version *int64 `json:"v"`
		}
		switch {
		case json.Unmarshal(text, &v) != nil || v.Version == nil:
			return bad("no version")
		case *v.Version > envelopeVersion:
			return nil, ErrVersion
		}
		return bad("wrong types")
	}
	switch {
	case e.ID == "" || len(e.ID) > maxEnvelopeID:
		return bad("id")
	case e.Origin == "" || len(e.Origin) > maxOrigin:
		return bad("origin")
	case len(e.Ref) > maxEnvelopeID:
		return bad("reference")
	case len(e.IDs) > maxIDs, slices.ContainsFunc(e.IDs, func(id string) bool { return id == "" || len(id) > maxEnvelopeID }):
		return bad("ids")
	case e.Context > cascade.MaxID, e.User > cascade.MaxID, e.Context == 0 && e.User != 0:
		return bad("addressee")
	case len(e.PathFilter) > maxFilter:
		return bad("path filter")
	case len(e.SourceToken) > maxToken:
		return bad("source token")
	case e.Name == "" && e.Kind != kindReply, len(e.Name) > maxName:
		return bad("name")
	case len(e.Conflate) > maxConflate:
		return bad("key for conflation")
	case len(e.Args) == 0 || e.Args[0] != '[':
		return bad("arguments")
	}
	if len(e.IDs) == 0 {
		e.IDs = nil
	}
	return &parcel{
		Message: Message{
			Context: e.Context, User: e.User, Target: shared.Target{PathFilter: e.PathFilter, SourceToken: e.SourceToken},
			Name: e.Name, Args: string(e.Args), Label: shared.Label{ID: e.ID, IDs: e.IDs, Conflate: e.Conflate, Confirm: e.Confirm}, Number: e.Number,
		},
		Kind: e.Kind, Ref: e.Ref, Origin: e.Origin, Expires: e.Expires,
	}, nil
}
