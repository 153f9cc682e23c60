package store

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

// unfinished is the end of the name of a file that is being made.
const unfinished = ".new"

// create makes a file with empty buckets. It gets its name when it is whole and
// on the disk: a process that is killed meanwhile leaves no store that is none.
// The lock of the folder keeps others from making it at the same time.
func create(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	switch err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return &LockedError{path}
	case err != nil:
		return &os.PathError{Op: "flock", Path: dir.Name(), Err: err}
	}
	if fi, err := os.Stat(path); err == nil && fi.Size() > 0 {
		return nil // another process was faster
	}
	made := path + unfinished
	if err := os.Remove(made); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openFile(made, false, lockTimeout)
	if err != nil {
		_ = os.Remove(made) // the error says why there may be none
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range append([][]byte{bucketRequests, bucketEnded}, buckets...) {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := tx.Bucket(bucketMeta).Put(metaFormat, binary.BigEndian.AppendUint64(nil, format)); err != nil {
			return err
		}
		if err := writeIdentity(tx, Identity{ID: NewRequest()}); err != nil {
			return err
		}
		return writeHead(tx, Head{})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return errors.Join(err, os.Remove(made))
	}
	if err := os.Rename(made, path); err != nil {
		return err
	}
	return dir.Sync()
}
