package tables

// EachSubject calls f with every context and user that has a record which is not
// deleted, or an override that has not expired: as often as it has one.
func (t *Tables) EachSubject(f func(Subject)) {
	for s := range t.shards {
		for _, sl := range s.slots {
			gone := sl.prop != propRecord && sl.val&valExpired != 0 || sl.prop == propRecord && sl.val&RecDeleted != 0
			if sl.ctx != 0 && !gone {
				f(Subject{sl.ctx, sl.user})
			}
		}
	}
}

// EachContext calls f with every context of the directory that is not deleted.
func (t *Tables) EachContext(f func(*Context)) {
	for s := range t.shards {
		for _, c := range s.contexts {
			if !c.Deleted {
				f(&c.Context)
			}
		}
	}
}

// EachOverride calls f with the property of each override that a context (user 0)
// or a user has of its own, and whether it has expired.
func (t *Tables) EachOverride(ctx, user uint32, f func(p uint32, expired bool)) {
	sh := t.Shard(user, HashUser(ctx, user))
	if sh == nil {
		return
	}
	for _, sl := range sh.slots {
		if sl.ctx == ctx && sl.user == user && sl.prop != propRecord {
			f(sl.prop, sl.val&valExpired != 0)
		}
	}
}
