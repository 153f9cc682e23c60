package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/propfile"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

// Digest is the SHA-256 of a file's contents.
type Digest [sha256.Size]byte

// String is the digest in hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// stamp is what the file system says of a file: a file whose stamp is the same
// before and after it was read was not replaced or written meanwhile.
type stamp struct {
	inode
	size  int64
	mtime time.Time
	ctime int64  // nanoseconds since 1970; 0: not known
	names uint64 // hard links
}

func stampOf(fi fs.FileInfo) stamp {
	s := stamp{inode: inodeOf(fi), size: fi.Size(), mtime: fi.ModTime()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.ctime, s.names = changeTime(st), uint64(st.Nlink)
	}
	return s
}

// errMoving tells that a file changed while it was read.
var errMoving = errors.New("it changed while it was read")

// LimitOf is the size from which a file is refused without being read.
func LimitOf(k Kind) int64 {
	switch k {
	case KindProperties:
		return propfile.MaxFileBytes
	case KindDirectory:
		return yamlfile.MaxDirectoryFile
	}
	return yamlfile.MaxFile
}

// ReadFile reads a regular file without ever blocking on what turns out to be
// something else.
func ReadFile(path string, limit int64) ([]byte, stamp, error) {
	return readFrom(disk(""), path, limit)
}

// readFrom is ReadFile of a file system.
func readFrom(fsys rootFS, name string, limit int64) ([]byte, stamp, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, stamp{}, Cause(err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, stamp{}, Cause(err)
	}
	if !before.Mode().IsRegular() {
		return nil, stamp{}, fmt.Errorf("it is %s, not a regular file", modeName(before.Mode()))
	}
	if before.Size() > limit {
		return nil, stamp{}, fmt.Errorf("it has %d bytes: at most %d are read", before.Size(), limit)
	}
	data := make([]byte, 0, before.Size()+1)
	data, err = appendAll(data, io.LimitReader(f, limit+1))
	if err != nil {
		return nil, stamp{}, Cause(err)
	}
	after, err := fsys.Stat(name)
	if err != nil {
		return nil, stamp{}, Cause(err)
	}
	st := stampOf(before)
	if stampOf(after) != st || int64(len(data)) != st.size {
		return nil, st, errMoving
	}
	return data, st, nil
}

func appendAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// Contents is a parsed file. Its findings are entry errors and warnings.
type Contents struct {
	Entries   []propfile.Entry     // KindProperties
	IDs       []uint32             // of the properties of entries, once a tree was built: see builder.number
	Blocks    []yamlfile.Block     // KindSets
	Meta      []yamlfile.MetaEntry // KindMeta
	Settings  []yamlfile.Property  // KindSettings
	Directory []yamlfile.Context   // KindDirectory
	Findings  []finding.Finding
	keys      int // how much there is, for the shrink guard
}

// Parse reads data as the file's kind asks; ok is false for a file error.
func Parse(k Kind, rel string, data []byte) (c *Contents, fs []finding.Finding, ok bool) {
	c = &Contents{}
	switch k {
	case KindProperties:
		var f *propfile.File
		if f, fs = propfile.Parse(rel, data); f == nil {
			return nil, fs, false
		}
		c.Entries, c.keys = f.Entries, len(f.Entries)
	case KindSets:
		if c.Blocks, fs, ok = yamlfile.ParseSets(rel, data); !ok {
			return nil, fs, false
		}
		for i := range c.Blocks {
			c.keys += 1 + len(c.Blocks[i].Properties)
		}
	case KindMeta:
		if c.Meta, fs, ok = yamlfile.ParseMeta(rel, data); !ok {
			return nil, fs, false
		}
		c.keys = len(c.Meta)
	case KindSettings:
		if c.Settings, fs, ok = yamlfile.ParseSettings(rel, data); !ok {
			return nil, fs, false
		}
		c.keys = len(c.Settings)
	case KindDirectory:
		if c.Directory, fs, ok = yamlfile.ParseDirectory(rel, data); !ok {
			return nil, fs, false
		}
		for i := range c.Directory {
			c.keys += 1 + len(c.Directory[i].Users)
		}
	}
	c.Findings = fs
	return c, fs, true
}
