package store

import (
	"context"
	"encoding/binary"
	"errors"
	"time"
)

// metaProbe is what Probe writes: when it did.
var metaProbe = []byte("probe")

// Probe asks whether writes would be taken again, by what they need: the truth
// answers, or the file takes a commit and the cluster takes the file for the
// truth. Nothing that counts is changed.
func (s *Store) Probe(ctx context.Context) error {
	if s.opt.Truth != nil {
		if err := s.mayPropose(); err != nil {
			return err
		}
		_, _, err := s.opt.Truth.Since(ctx, s.Head(), 1)
		return unavailable(err)
	}
	_, err := s.ask(ctx, s.queue, &request{tell: s.probeFile, done: make(chan struct{})})
	return err
}

// probeFile is called by the owner.
func (s *Store) probeFile() error {
	if s.opt.Witness != nil {
		if err := s.witnessed(); err != nil {
			return err
		}
	}
	tx, err := s.begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	err = guarded(s.opt.Path, func() error {
		at := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMilli()))
		return errors.Join(tx.Bucket(bucketMeta).Put(metaProbe, at), tx.Commit())
	})
	if err != nil {
		return s.fail(s.fileHead(), err)
	}
	s.committed()
	return nil
}
