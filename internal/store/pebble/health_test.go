package pebble_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/store"
)

// sick is a disk that answers every write with an error; nil: it is well.
type sick struct{ err atomic.Pointer[error] }

// MaybeError implements errorfs.Injector.
func (s *sick) MaybeError(op errorfs.Op) error {
	if err := s.err.Load(); err != nil && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		return *err
	}
	return nil
}

// String implements errorfs.Injector.
func (s *sick) String() string { return "sick" }

// A store that takes nothing says since when, why, and how often it was opened anew in vain; one that waits for space says that;
// and one that is well again says nothing.
func TestAStoreSaysWhatItAilsOf(t *testing.T) {
	disk := &sick{}
	o := options(t, errorfs.Wrap(vfs.NewMem(), disk))
	o.Logger, o.RetryFirst, o.RetryMax, o.CloseTime = quiet(), 5*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond
	s := open(t, o)
	defer s.Close()
	ails, ok := s.(store.Ailing)
	if !ok {
		t.Fatal("it says nothing")
	}
	put := func() error {
		_, err := s.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: []byte("k"), Value: []byte("v")}}}, store.Durable)
		return err
	}
	well := func() {
		t.Helper()
		disk.err.Store(nil)
		eventually(t, "the store to be well", func() bool { _, ill := ails.Trouble(); return put() == nil && !ill })
	}
	well()
	for what, c := range map[string]struct {
		err  error
		full bool
	}{"broken": {syscall.EIO, false}, "read-only": {syscall.EROFS, false}, "full": {syscall.ENOSPC, true}} {
		before := time.Now()
		disk.err.Store(&c.err)
		eventually(t, what, func() bool {
			if err := put(); err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Fatal(err)
			}
			x, ill := ails.Trouble()
			return ill && (x.Full || x.Tries > 1)
		})
		x, ill := ails.Trouble()
		if !ill || x.Full != c.full || !strings.Contains(x.Cause, c.err.Error()) || x.Since.Before(before) || x.Since.After(time.Now()) {
			t.Errorf("%s: %+v", what, x)
		}
		if !c.full && (x.Last == "" || x.Next.Before(x.Since)) {
			t.Errorf("%s: %+v", what, x)
		}
		well()
		if x, ill := ails.Trouble(); ill {
			t.Errorf("%s: once it is well: %+v", what, x)
		}
	}
}
