package store

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
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
	head := make([]byte, maxPageSize+metaEnd)
	n, err := f.ReadAt(head, 0)
	if n < metaEnd {
		return &DamagedError{path, fmt.Sprintf("%d bytes are no store: %v", n, err)}
	}
	head = head[:n]
	size := uint64(binary.NativeEndian.Uint32(head[metaPageSize:]))
	if size < 512 || size > maxPageSize {
		size = uint64(os.Getpagesize())
	}
	var pages, last uint64
	for page := range uint64(secondMetaPage + 1) {
		at := page * size
		if at+metaEnd > uint64(len(head)) {
			break
		}
		m := head[at:]
		sum := fnv.New64a()
		sum.Write(m[metaHeader:metaChecksum])
		if binary.NativeEndian.Uint32(m[metaHeader:]) != metaMagic || sum.Sum64() != binary.NativeEndian.Uint64(m[metaChecksum:]) {
			continue
		}
		if tx := binary.NativeEndian.Uint64(m[metaTx:]); pages == 0 || tx > last {
			pages, last = binary.NativeEndian.Uint64(m[metaHighWater:]), tx
		}
	}
	switch {
	case pages == 0:
		return &DamagedError{path, "neither of its two first pages is one of a store"}
	case pages < minFilePages || uint64(fi.Size()) < pages*size:
		return &DamagedError{path, fmt.Sprintf("it is cut short: %d bytes instead of %d", fi.Size(), pages*size)}
	}
	return nil
}
