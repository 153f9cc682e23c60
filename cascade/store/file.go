package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// What a bbolt file begins with: two meta pages, each a header of 16 bytes and
// the fields below. The layout is that of version 2 of the format, which bbolt
// has had since its beginning.
const (
	metaMagic      = 0xED0CDAED
	metaHeader     = 16
	metaPageSize   = metaHeader + 8
	metaHighWater  = metaHeader + 40 // the first page after those in use
	metaTx         = metaHeader + 48
	metaChecksum   = metaHeader + 56
	metaEnd        = metaHeader + 64
	maxPageSize    = 64 << 10
	minFilePages   = 4
	secondMetaPage = 1
)

// checkFile refuses a file that is shorter than its own count of pages: bbolt
// maps it into memory, where the missing end is a fault of the whole process.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return openError(path, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return &DamagedError{path, "it is no regular file"}
	}
	metas, err := readMetas(f)
	if err != nil {
		return &DamagedError{path, err.Error()}
	}
	if len(metas) == 0 {
		return &DamagedError{path, "neither of its two first pages is one of a store"}
	}
	if m := metas[0]; m.pages < minFilePages || uint64(fi.Size()) < m.pages*m.pageSize {
		return &DamagedError{path, fmt.Sprintf("it is cut short: %d bytes instead of %d", fi.Size(), m.pages*m.pageSize)}
	}
	return nil
}

// meta is a meta page with a good sum.
type meta struct {
	at                  int64
	pageSize, pages, tx uint64
	bytes               []byte // the header and the fields
}

// readMetas returns the good meta pages, the one in force first.
func readMetas(f *os.File) ([]meta, error) {
	head := make([]byte, maxPageSize+metaEnd)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n < metaEnd {
		return nil, fmt.Errorf("%d bytes are no store", n)
	}
	head = head[:n]
	size := uint64(binary.NativeEndian.Uint32(head[metaPageSize:]))
	if size < 512 || size > maxPageSize {
		size = uint64(os.Getpagesize())
	}
	var metas []meta
	for page := range uint64(secondMetaPage + 1) {
		at := page * size
		if at+metaEnd > uint64(len(head)) {
			break
		}
		b := head[at : at+metaEnd]
		sum := fnv.New64a()
		sum.Write(b[metaHeader:metaChecksum])
		if binary.NativeEndian.Uint32(b[metaHeader:]) == metaMagic && sum.Sum64() == binary.NativeEndian.Uint64(b[metaChecksum:]) {
			metas = append(metas, meta{int64(at), size, binary.NativeEndian.Uint64(b[metaHighWater:]), binary.NativeEndian.Uint64(b[metaTx:]), b})
		}
	}
	slices.SortFunc(metas, func(a, b meta) int { return cmp.Compare(b.tx, a.tx) })
	return metas, nil
}

// settle writes the meta pages again, and waits for the disk. Of what a sync
// that failed has left, in this process or one that was killed, the cache of the
// kernel may show what the disk does not have: pages that the state on the disk
// still needs would be written over.
func settle(path string) error {
	return withMetas(path, func(f *os.File, metas []meta) error {
		for _, m := range metas {
			if _, err := f.WriteAt(m.bytes, m.at); err != nil {
				return err
			}
		}
		return f.Sync()
	})
}

// revoke spoils the meta page in force: the state before the last commit, whose
// pages nothing has touched yet, is in force again. It counts once settle has
// brought it to the disk.
func revoke(path string) error {
	return withMetas(path, func(f *os.File, metas []meta) error {
		if len(metas) < 2 {
			return errors.New("the state before the last write is not there any more")
		}
		sum := metas[0].bytes[metaChecksum:]
		for i := range sum {
			sum[i] = ^sum[i]
		}
		_, err := f.WriteAt(metas[0].bytes, metas[0].at)
		return err
	})
}

func withMetas(path string, do func(f *os.File, metas []meta) error) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	metas, err := readMetas(f)
	if err == nil {
		err = do(f, metas)
	}
	return errors.Join(err, f.Close())
}
