package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/store"
)

// A large value lies in a file of its own. When that file cannot be read, the value
// is unavailable: it is not empty, which would look like damage.
func TestAValueThatCannotBeReadIsNotEmpty(t *testing.T) {
	var broken atomic.Bool
	var hits atomic.Int64
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".blob") && op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			hits.Add(1)
			return syscall.EIO
		}
		return nil
	}))
	ctx, key, value := context.Background(), []byte("key"), bytes.Repeat([]byte("value"), 5000)
	s := open(t, options(t, disk))
	if _, err := s.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: key, Value: value}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, options(t, disk)) // the value moves from the log into its file
	broken.Store(true)
	if got, err := s.Get(ctx, key); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %d octets, %v", len(got), err)
	}
	if hits.Load() == 0 {
		t.Fatal("the value has no file of its own")
	}
	broken.Store(false)
	if got, err := s.Get(ctx, key); err != nil || !bytes.Equal(got, value) {
		t.Errorf("got %d octets, %v, when the disk works again", len(got), err)
	}
}
