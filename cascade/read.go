package cascade

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/seed47708276/sluice/cascade/finding"
	"github.com/seed47708276/sluice/cascade/propfile"
	"github.com/seed47708276/sluice/cascade/yamlfile"
)

// digest is the SHA-256 of a file's contents.
type digest [sha256.Size]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

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

// limitOf is the size from which a file is refused without being read.
func limitOf(k kind) int64 {
	switch k {
	case kindProperties:
		return propfile.MaxFileBytes
	case kindDirectory:
		return yamlfile.MaxDirectoryFile
	}
	return yamlfile.MaxFile
}

// readFile reads a regular file without ever blocking on what turns out to be
// something else.
func readFile(path string, limit int64) ([]byte, stamp, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, stamp{}, cause(err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, stamp{}, cause(err)
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
		return nil, stamp{}, cause(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		return nil, stamp{}, cause(err)
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

// contents is a parsed file. Its findings are entry errors and warnings.
type contents struct {
	entries   []propfile.Entry     // kindProperties
	ids       []uint32             // of the properties of entries, once a tree was built: see builder.number
	blocks    []yamlfile.Block     // kindSets
	meta      []yamlfile.MetaEntry // kindMeta
	settings  []yamlfile.Property  // kindSettings
	directory []yamlfile.Context   // kindDirectory
	findings  []finding.Finding
	keys      int // how much there is, for the shrink guard
}

// parse reads data as the file's kind asks; ok is false for a file error.
func parse(k kind, rel string, data []byte) (c *contents, fs []finding.Finding, ok bool) {
	c = &contents{}
	switch k {
	case kindProperties:
		var f *propfile.File
		if f, fs = propfile.Parse(rel, data); f == nil {
			return nil, fs, false
		}
		c.entries, c.keys = f.Entries, len(f.Entries)
	case kindSets:
		if c.blocks, fs, ok = yamlfile.ParseSets(rel, data); !ok {
			return nil, fs, false
		}
		for i := range c.blocks {
			c.keys += 1 + len(c.blocks[i].Properties)
		}
	case kindMeta:
		if c.meta, fs, ok = yamlfile.ParseMeta(rel, data); !ok {
			return nil, fs, false
		}
		c.keys = len(c.meta)
	case kindSettings:
		if c.settings, fs, ok = yamlfile.ParseSettings(rel, data); !ok {
			return nil, fs, false
		}
		c.keys = len(c.settings)
	case kindDirectory:
		if c.directory, fs, ok = yamlfile.ParseDirectory(rel, data); !ok {
			return nil, fs, false
		}
		for i := range c.directory {
			c.keys += 1 + len(c.directory[i].Users)
		}
	}
	c.findings = fs
	return c, fs, true
}
