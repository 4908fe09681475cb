package operate

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/operate/backup"
	"sallyport/internal/store"
)

// copiedStore is a store that can be copied; err is how.
type copiedStore struct {
	store.Store
	err error
}

// Checkpoint implements store.Checkpointer.
func (s copiedStore) Checkpoint(_ context.Context, dir string) error {
	return errors.Join(os.MkdirAll(dir, 0o700), s.err)
}

// A backup is a stream with a head and an end; what fails says why, before the head or
// at the end.
func TestBackup(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w, dir := newWorld(t), t.TempDir()
			check(t, os.WriteFile(filepath.Join(dir, "x"), []byte("hello"), 0o600))
			at := backup.SourceOptions{
				Places: backup.Places{Data: dir, Store: filepath.Join(dir, "store"), Checkpoints: filepath.Join(dir, "trace"), Mailboxes: filepath.Join(dir, "mail")},
				Store:  copiedStore{}, Hostname: "mx.local.test", Program: "test", Logger: slog.New(slog.DiscardHandler),
			}
			check(t, os.MkdirAll(at.Places.Store, 0o700))
			check(t, os.MkdirAll(at.Places.Checkpoints, 0o700))
			w.o.Backup, w.o.Write = backup.NewSource(at), w.trace.Write
			c := clients(t, w.Operator)[way]
			b, err := c.Backup(t.Context(), BackupRequest{})
			check(t, err)
			found := ""
			err = b.Each(func(h *tar.Header, content io.Reader) error {
				text, err := io.ReadAll(content)
				if h.Name == "data/x" {
					found = string(text)
				}
				return err
			})
			if err = errors.Join(err, b.Close()); err != nil || found != "hello" || b.Head.Hostname != "mx.local.test" || b.Head.Octets != 5 {
				t.Errorf("%+v, %q, %v", b.Head, found, err)
			}
			busy, err := w.o.Backup.Begin(t.Context(), w.o.Now(), false)
			check(t, err)
			_, err = c.Backup(t.Context(), BackupRequest{})
			wantCode(t, err, CodeUnavailable)
			check(t, busy.End())
			at.Store = copiedStore{err: errors.New("no")}
			w.o.Backup = backup.NewSource(at)
			if b, err := c.Backup(t.Context(), BackupRequest{}); err == nil {
				t.Errorf("a store that cannot be copied: %+v", b.Head)
			}
			w.o.Backup = nil
			_, err = c.Backup(t.Context(), BackupRequest{})
			wantCode(t, err, CodeInvalid)
		})
	}
}
