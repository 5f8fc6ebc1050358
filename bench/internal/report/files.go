package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// A file is what is to be written where.
type file struct {
	path    string
	content []byte
}

// replace writes all files under temporary names beside their own before it renames the first one, so that a full disk
// or a missing permission leaves all of them as they were.
func replace(files []file) (err error) {
	pending := make([]*renameio.PendingFile, 0, len(files))
	defer func() {
		for _, p := range pending {
			err = errors.Join(err, p.Cleanup())
		}
	}()
	for _, f := range files {
		if info, err := os.Stat(f.path); err == nil && info.IsDir() {
			return fmt.Errorf("%s is a directory; remove it, a file is to be written there", f.path)
		}
		dir := filepath.Dir(f.path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		p, err := renameio.NewPendingFile(f.path, renameio.WithTempDir(dir), renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
		if err != nil {
			return err
		}
		pending = append(pending, p)
		if _, err := p.Write(f.content); err != nil {
			return err
		}
	}
	for _, p := range pending {
		if err := p.CloseAtomicallyReplace(); err != nil {
			return err
		}
	}
	return nil
}
