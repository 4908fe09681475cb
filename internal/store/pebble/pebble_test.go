package pebble_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/store"
	"sallyport/internal/store/conformance"
	"sallyport/internal/store/pebble"
)

// options are small, so that tests meet flushes and full buffers.
func options(t testing.TB, fs vfs.FS) pebble.Options {
	return pebble.Options{
		FS: fs, Dir: "data", Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		MinFree: 1, MemTableOctets: 1 << 20, LazyTime: 20 * time.Millisecond,
		RetryFirst: time.Millisecond, RetryMax: 20 * time.Millisecond, CloseTime: 2 * time.Second,
	}
}

func open(t testing.TB, o pebble.Options) store.Store {
	t.Helper()
	s, err := pebble.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformanceInMemory(t *testing.T) {
	conformance.Run(t, func(t *testing.T) store.Store { return open(t, options(t, vfs.NewMem())) })
}

func TestConformanceOnDisk(t *testing.T) {
	conformance.Run(t, func(t *testing.T) store.Store {
		o := options(t, vfs.Default)
		o.Dir = t.TempDir()
		return open(t, o)
	})
}
