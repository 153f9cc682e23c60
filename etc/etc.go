// Package etc holds the configuration tree that Sluice ships.
package etc

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed *.properties contextSets meta settings
var tree embed.FS

// Files lists the slash paths of the shipped tree, sorted.
func Files() ([]string, error) {
	var files []string
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// Write writes the shipped tree below dir, which it creates. A file that
// exists is left alone, and its path returned.
func Write(dir string) (written, kept []string, err error) {
	files, err := Files()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range files {
		data, err := tree.ReadFile(name)
		if err != nil {
			return written, kept, err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return written, kept, err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if os.IsExist(err) {
			kept = append(kept, name)
			continue
		}
		if err != nil {
			return written, kept, err
		}
		_, err = f.Write(data)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return written, kept, err
		}
		written = append(written, name)
	}
	return written, kept, nil
}
