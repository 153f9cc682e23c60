package cascade

import "github.com/seed47708276/sluice/cascade/people"

// People is the index of the names of contexts and users.
func (e *Engine) People() *people.Index { return &e.people }

// rename follows a batch with the index of names. The caller holds mu.
func (e *Engine) rename(b *Batch) {
	if b.Reset {
		e.people.Reset()
	}
	for _, su := range b.Forget {
		e.people.Put(people.Subject(su), &people.Names{})
	}
	for _, id := range b.DeleteContexts {
		e.people.Delete(people.Subject{Context: id})
	}
	for _, su := range b.DeleteUsers {
		e.people.Delete(people.Subject(su))
	}
	for i := range b.Contexts {
		e.people.Put(people.Subject{Context: b.Contexts[i].ID}, b.Contexts[i].Names())
	}
	for i := range b.Users {
		u := &b.Users[i]
		e.people.Put(people.Subject{Context: u.Context, User: u.ID}, u.Names())
	}
}

// renameAll follows a load of a source.
func (e *Engine) renameAll(l *SourceLoad) {
	if l.Batch == nil {
		return
	}
	if !l.Partial || l.Base != nil {
		e.people.Reset()
	}
	if l.Base != nil {
		e.rename(l.Base)
	}
	e.rename(l.Batch)
	e.people.Settle()
}
