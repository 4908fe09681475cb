package spool_test

import (
	"errors"
	"maps"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

// fault fails a run of write operations.
type fault struct {
	err          error
	first, count int64
	ops, fired   atomic.Int64
}

// MaybeError implements errorfs.Injector.
func (f *fault) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	if n := f.ops.Add(1); n >= f.first && n < f.first+f.count {
		f.fired.Add(1)
		return &os.PathError{Op: "injected", Path: op.Path, Err: f.err}
	}
	return nil
}

// String implements errorfs.Injector.
func (f *fault) String() string { return f.err.Error() }

// Each write operation of a workload fails, with a full disk and with a broken
// one, once and several times in a row. What Put acknowledged is there, what it
// refused is not, settlements can be repeated until they succeed, the counts stay
// right, and the queue goes on by itself.
func TestEveryWriteFails(t *testing.T) {
	for _, c := range []struct {
		name        string
		err         error
		count, step int64
	}{
		{"full", syscall.ENOSPC, 1, 2},
		{"broken", syscall.EIO, 1, 2},
		{"full for a while", syscall.ENOSPC, 5, 11},
		{"broken for a while", syscall.EIO, 12, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs := 0
			for n := int64(1); ; n += c.step {
				f := &fault{err: c.err, first: n, count: c.count}
				faultRun(t, f)
				if t.Failed() {
					t.Fatalf("with operation %d failing", n)
				}
				if f.fired.Load() == 0 {
					break
				}
				runs++
			}
			if runs < 10 {
				t.Errorf("only %d runs: the workload is too small", runs)
			}
			t.Logf("%d runs", runs)
		})
	}
}

func faultRun(t *testing.T, f *fault) {
	t.Helper()
	mem := vfs.NewMem()
	st := openThrough(t, errorfs.Wrap(mem, f))
	o := options(t, time.Now)
	o.Logger = quiet()
	var q *spool.Spool
	again(t, func() (err error) { q, _, err = spool.Open(ctx, st, o); return err })
	l := newLedger()
	for i := range 12 {
		faultStep(t, q, l, i)
	}
	// Looking for due mail clears up what failed Puts have left.
	again(t, func() error { _, err := q.Due(ctx, time.Now(), 1); return err })
	entries := 0
	again(t, func() error {
		entries = 0
		return q.List(ctx, spool.Filter{}, func(spool.Entry) (bool, error) { entries++; return true, nil })
	})
	if got := q.Stats().Entries; got != entries {
		t.Errorf("%d entries are counted, %d are there", got, entries)
	}
	wantLedger(t, q, l, "while open")
	again(t, func() error { return counted(t, q, "while open") })
	if err := st.Close(); err != nil && f.fired.Load() == 0 {
		t.Errorf("close: %v", err)
	}
	checkBlackout(t, blackout{fs: mem, ledger: l, moment: "opened again"})
}

func openThrough(t *testing.T, fs vfs.FS) (st store.Store) {
	t.Helper()
	for range 50 {
		st, err := pebble.Open(diskOptions(fs))
		if err == nil {
			t.Cleanup(func() { _ = st.Close() })
			return st
		}
	}
	t.Fatal(errGaveUp)
	return nil
}

// again repeats what fails only because the store is unavailable.
func again(t *testing.T, fn func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := fn()
		if err == nil {
			return
		}
		if !errors.Is(err, spool.ErrUnavailable) {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal(errGaveUp)
		}
		time.Sleep(time.Millisecond)
	}
}

// faultStep offers one message as a client does: after each refusal anew.
func faultStep(t *testing.T, q *spool.Spool, l *ledger, i int) {
	t.Helper()
	content := strings.Repeat(string(rune('a'+i)), 5000)
	if i%5 == 4 {
		content = strings.Repeat(content, 30)
	}
	var c spool.Claim
	again(t, func() (err error) {
		m := localMessage("alice@local.test", "bob@local.test")
		c, err = offer(q, m, content)
		if err == nil {
			l.promised[m.ID], l.possible[m.ID] = content, content
		}
		return err
	})
	faultSettle(t, q, l, c, i)
}

func offer(q *spool.Spool, m spool.Message, content string) (spool.Claim, error) {
	b, err := bodyWith(q, content)
	if err != nil {
		return spool.Claim{}, err
	}
	return q.Put(ctx, m, b, [][]byte{[]byte("accepted " + m.ID.String())})
}

func bodyWith(q *spool.Spool, content string) (*spool.Body, error) {
	b, err := q.NewBody(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := b.Write([]byte(content)); err != nil {
		return nil, errors.Join(err, b.Abort())
	}
	return b, nil
}

// faultSettle repeats a settlement with the same token until it is answered.
func faultSettle(t *testing.T, q *spool.Spool, l *ledger, c spool.Claim, i int) {
	t.Helper()
	id := c.Entry.ID
	out := []mail.Outcome{outcome("bob@local.test", []int{250, 451, 550}[i%3])}
	f := spool.Final{Facts: [][]byte{[]byte("settled " + id.String())}}
	if i%3 == 2 {
		spawned := map[mail.ID]string{}
		f.Spawn = spawn(t, q, spawned, "bounce", "sent on", "")
		spawned[f.Spawn[2].Message.ID] = strings.Repeat("large", 30<<10)
		maps.Copy(l.possible, spawned)
		maps.Copy(l.promised, spawned)
		l.failed[id] = true
	}
	if i%3 != 1 {
		delete(l.promised, id)
		delete(l.possible, id) // the store goes on: it must be gone for good
	}
	again(t, func() error {
		// A body that met a fault is of no use any more.
		for i := range f.Spawn {
			b, err := bodyWith(q, l.possible[f.Spawn[i].Message.ID])
			if err != nil {
				return err
			}
			defer func() { _ = b.Abort() }()
			f.Spawn[i].Body = b
		}
		s, err := q.Settle(ctx, c.Token, out, time.Now(), f)
		if err == nil && s.Done != (i%3 != 1) {
			t.Errorf("settled %+v", s)
		}
		return err
	})
}

// While the disk is full, mail is refused with ErrUnavailable and the queue is
// whole; with space, it goes on.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	disk := &fault{err: syscall.ENOSPC, first: 1 << 60}
	st := openThrough(t, errorfs.Wrap(mem, disk))
	o := options(t, time.Now)
	o.Logger = quiet()
	q, _ := openSpool(t, st, o)
	before := localMessage("alice@local.test", "bob@local.test")
	c, err := offer(q, before, "before")
	if err != nil {
		t.Fatal(err)
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 0, TotalBytes: 1 << 30})
	large := strings.Repeat("x", 200<<10)
	for _, content := range []string{"small", large} {
		refused := func() bool {
			_, err := offer(q, localMessage("alice@local.test", "bob@local.test"), content)
			return errors.Is(err, spool.ErrUnavailable)
		}
		for deadline := time.Now().Add(5 * time.Second); !refused(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("mail is accepted on a full disk")
			}
		}
	}
	n := q.Stats().Entries
	if _, err := q.Settle(ctx, c.Token, []mail.Outcome{outcome("bob@local.test", 250)}, time.Now(), spool.Final{}); err != nil {
		t.Errorf("what frees space is refused: %v", err)
	}
	if got := q.Stats().Entries; got != n-1 {
		t.Errorf("%d entries, want %d", got, n-1)
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 29, TotalBytes: 1 << 30})
	again(t, func() error {
		_, err := offer(q, localMessage("alice@local.test", "bob@local.test"), large)
		return err
	})
}
