package store

import (
	"context"
	"errors"
	"time"
)

// propose hands writes to the truth, those that wait together.
func (s *Store) propose(ctx context.Context) {
	for {
		select {
		case r := <-s.copy.proposals:
			if !r.take() {
				continue
			}
			group, size := []*request{r}, len(r.changes())
		collect:
			for len(group) < maxProposals && size < MaxChanges {
				select {
				case next := <-s.copy.proposals:
					if !next.take() {
						continue
					}
					group = append(group, next)
					size += len(next.changes())
				default:
					break collect
				}
			}
			s.proposeGroup(ctx, group)
		case <-ctx.Done():
			refuse(s.copy.proposals)
			return
		}
	}
}

func (s *Store) proposeGroup(ctx context.Context, group []*request) {
	start := time.Now()
	defer func() {
		s.stats.observe(len(group), time.Since(start))
		for _, r := range group {
			close(r.done)
		}
	}()
	if err := s.mayPropose(); err != nil {
		answer(group, err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	list := make([]*Proposal, len(group))
	for i, r := range group {
		list[i] = &Proposal{Write: r.write}
	}
	made := s.opt.Truth.Propose(ctx, list)
	s.copy.taking.Lock()
	var err error
	last := uint64(0)
	if len(made) > 0 && made[0].Follows(s.Head()) {
		err = s.take(made)
	}
	s.copy.taking.Unlock()
	for _, p := range list {
		if p.Err == nil {
			last = max(last, p.Entry.Revision)
		}
	}
	if err == nil && s.Head().Revision < last {
		// Others have written before: look-ups here are to see it when it is
		// acknowledged. Where they cannot, the follower brings it.
		err = s.catchUp(ctx, last)
	}
	if err != nil {
		s.setProblem(unavailable(err))
	}
	for i, p := range list {
		group[i].entry, group[i].err = p.Entry, unavailable(p.Err)
	}
}

// mayPropose refuses writes whose outcome this member could not follow.
func (s *Store) mayPropose() error {
	if err := s.copyFull(); err != nil {
		return err
	}
	p := s.copy.problem.Load()
	if p == nil {
		return nil
	}
	// What an administrator has to see to, and a truth of which it is not known
	// whether it is that of this member; the rest the truth says itself.
	if !s.copy.joined.Load() || errors.As(*p, new(*NoStoreError)) || errors.As(*p, new(*KeeperError)) {
		return *p
	}
	return nil
}
