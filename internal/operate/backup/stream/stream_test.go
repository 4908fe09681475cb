package stream_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate"
	"sallyport/internal/operate/backup"
	"sallyport/internal/operate/call"
	"sallyport/internal/store"
	"sallyport/test/operator"
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
			w, dir := operator.New(t), t.TempDir()
			operator.Check(t, os.WriteFile(filepath.Join(dir, "x"), []byte("hello"), 0o600))
			at := backup.SourceOptions{
				Places: backup.Places{Data: dir, Store: filepath.Join(dir, "store"), Checkpoints: filepath.Join(dir, "trace"), Mailboxes: filepath.Join(dir, "mail")},
				Store:  copiedStore{}, Hostname: "mx.local.test", Program: "test", Logger: slog.New(slog.DiscardHandler),
			}
			operator.Check(t, os.MkdirAll(at.Places.Store, 0o700))
			operator.Check(t, os.MkdirAll(at.Places.Checkpoints, 0o700))
			w.With(func(o *operate.Options) { o.Backup, o.Write = backup.NewSource(at), w.Log.Write })
			c := w.Clients(t)[way]
			b, err := c.Backup(t.Context(), operate.BackupRequest{})
			operator.Check(t, err)
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
			busy, err := w.Options.Backup.Begin(t.Context(), w.Options.Now(), false)
			operator.Check(t, err)
			_, err = c.Backup(t.Context(), operate.BackupRequest{})
			operator.WantCode(t, err, call.CodeUnavailable)
			operator.Check(t, busy.End())
			at.Store = copiedStore{err: errors.New("no")}
			w.With(func(o *operate.Options) { o.Backup = backup.NewSource(at) })
			c = w.Clients(t)[way]
			if b, err := c.Backup(t.Context(), operate.BackupRequest{}); err == nil {
				t.Errorf("a store that cannot be copied: %+v", b.Head)
			}
			w.With(func(o *operate.Options) { o.Backup = nil })
			c = w.Clients(t)[way]
			_, err = c.Backup(t.Context(), operate.BackupRequest{})
			operator.WantCode(t, err, call.CodeInvalid)
		})
	}
}

// That data came out of a backup is a fact with what the backup was, and its queue is held where that is wanted.
func TestRestored(t *testing.T) {
	w := operator.New(t)
	w.Put(t, "alice@local.test")
	w.Put(t, "bob@local.test")
	began := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		hold bool
		held int
	}{{false, 0}, {true, 2}} {
		n, err := w.Restored(t.Context(), operate.Self(), operate.Restored{Began: began, Manifest: "abc", Hold: c.hold})
		if err != nil || n != c.held || w.Spool.Stats().Held != c.held {
			t.Errorf("hold %v: %d, %v; %d held", c.hold, n, err, w.Spool.Stats().Held)
		}
	}
	a, err := w.Trace(t.Context(), operate.Self(), operate.TraceQuery{Kinds: []fact.Kind{fact.KindRestore}})
	if err != nil || len(a.Entries) != 2 || !strings.Contains(fmt.Sprint(a.Entries[0].Fact), "2026-11-30T08:00:00Z") || !strings.Contains(fmt.Sprint(a.Entries[0].Fact), "abc") {
		t.Errorf("%+v, %v", a, err)
	}
}
