package cascade

// eachSubject calls f with every context and user that has a record which is not
// deleted, or an override that has not expired: as often as it has one.
func (t *tables) eachSubject(f func(Subject)) {
	for s := range t.shards {
		for _, sl := range s.slots {
			gone := sl.prop != propRecord && sl.val&valExpired != 0 || sl.prop == propRecord && sl.val&recDeleted != 0
			if sl.ctx != 0 && !gone {
				f(Subject{sl.ctx, sl.user})
			}
		}
	}
}

// eachContext calls f with every context of the directory that is not deleted.
func (t *tables) eachContext(f func(*Context)) {
	for s := range t.shards {
		for _, c := range s.contexts {
			if !c.deleted {
				f(&c.Context)
			}
		}
	}
}

// eachOverride calls f with the property of each override that a context (user 0)
// or a user has of its own, and whether it has expired.
func (t *tables) eachOverride(ctx, user uint32, f func(p uint32, expired bool)) {
	sh := t.shard(user, hashUser(ctx, user))
	if sh == nil {
		return
	}
	for _, sl := range sh.slots {
		if sl.ctx == ctx && sl.user == user && sl.prop != propRecord {
			f(sl.prop, sl.val&valExpired != 0)
		}
	}
}
