package store

import (
	"encoding/json"
	"errors"
	"fmt"
)

// wireChange is a Change whose body waits for its kind.
type wireChange struct {
	Key
	Body   json.RawMessage `json:"body,omitempty"`
	Forget bool            `json:"forget,omitempty"`
	If     *uint64         `json:"if,omitempty"`
}

// MarshalJSON writes a change for another member.
func (c Change) MarshalJSON() ([]byte, error) {
	w := wireChange{Key: c.Key, Forget: c.Forget, If: c.If}
	if c.Body != nil {
		var err error
		if w.Body, err = json.Marshal(c.Body); err != nil {
			return nil, err
		}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads a change of a kind that this version knows.
func (c *Change) UnmarshalJSON(b []byte) error {
	var w wireChange
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*c = Change{Key: w.Key, Forget: w.Forget, If: w.If}
	if len(w.Body) == 0 {
		return nil
	}
	if c.Body = newBody(w.Kind); c.Body == nil {
		return fmt.Errorf("a change is of the unknown kind %q: is another member newer?", w.Kind)
	}
	return json.Unmarshal(w.Body, c.Body)
}

// Problem is an error of a write on its way between members.
type Problem struct {
	Code    string `json:"code"`
	Text    string `json:"text,omitempty"`
	Key     *Key   `json:"key,omitempty"`
	Have    uint64 `json:"have,omitempty"`
	Request string `json:"request,omitempty"`
}

// The codes of problems.
const (
	problemCondition   = "condition"
	problemNotFound    = "not_found"
	problemBad         = "bad_write"
	problemFailed      = "failed"
	problemNoStore     = "no_store"
	problemKeeper      = "keeper"
	problemUnconfirmed = "unconfirmed"
	problemGivenUp     = "given_up"
	problemOther       = "unavailable"
)

// ProblemOf is an error of Do for another member; nil for nil.
func ProblemOf(err error) *Problem {
	var condition *ConditionError
	var missing *NotFoundError
	var bad *BadWriteError
	var failed *FailedError
	var none *NoStoreError
	var keeper *KeeperError
	var unconfirmed *UnconfirmedError
	var givenUp *GivenUpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &condition):
		return &Problem{Code: problemCondition, Key: &condition.Key, Have: condition.Have}
	case errors.As(err, &missing):
		return &Problem{Code: problemNotFound, Key: &missing.Key}
	case errors.As(err, &bad):
		return &Problem{Code: problemBad, Text: bad.Reason}
	case errors.As(err, &failed):
		return &Problem{Code: problemFailed, Text: failed.Err.Error()}
	case errors.As(err, &none):
		return &Problem{Code: problemNoStore, Text: none.Reason}
	case errors.As(err, &keeper):
		return &Problem{Code: problemKeeper, Text: keeper.Reason}
	case errors.As(err, &unconfirmed):
		return &Problem{Code: problemUnconfirmed, Request: unconfirmed.Request}
	case errors.As(err, &givenUp):
		return &Problem{Code: problemGivenUp, Request: givenUp.Request}
	}
	return &Problem{Code: problemOther, Text: err.Error()}
}

// Decided reports whether the truth has looked at the write, and whether it was done
// before: it is neither, and will not be.
func (p *Problem) Decided() bool {
	return p.Code == problemCondition || p.Code == problemNotFound || p.Code == problemBad || p.Code == problemGivenUp
}

// Err is the error that ProblemOf was given.
func (p *Problem) Err() error {
	switch {
	case p == nil:
		return nil
	case p.Code == problemCondition && p.Key != nil:
		return &ConditionError{*p.Key, p.Have}
	case p.Code == problemNotFound && p.Key != nil:
		return &NotFoundError{*p.Key}
	case p.Code == problemBad:
		return &BadWriteError{p.Text}
	case p.Code == problemFailed:
		return &FailedError{errors.New(p.Text)}
	case p.Code == problemNoStore:
		return &NoStoreError{p.Text}
	case p.Code == problemKeeper:
		return &KeeperError{p.Text}
	case p.Code == problemUnconfirmed:
		return &UnconfirmedError{p.Request}
	case p.Code == problemGivenUp:
		return &GivenUpError{p.Request}
	}
	return &UnavailableError{errors.New(p.Text)}
}
