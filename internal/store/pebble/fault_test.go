package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

func openStore(o pebble.Options) (store.Store, error) { return pebble.Open(o) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// random is a value that no compression shortens.
func random(i int) []byte {
	v := make([]byte, 16<<10)
	rnd := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)})
	_, _ = rnd.Read(v)
	return v
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// fault fails a run of write operations.
type fault struct {
	err   error
	first int64 // number of the first operation that fails
	count int64 // how many fail
	ops   atomic.Int64
	fired atomic.Int64
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

// Every single write operation of a workload fails once, with a full disk and
// with a broken one; and from every ninth on, many fail in a row. Each time:
// what was acknowledged is there, what was refused is not, the store works again
// by itself, and what it shows never goes back.
func TestEveryWriteFails(t *testing.T) {
	for _, c := range []struct {
		name        string
		err         error
		count, step int64
	}{
		{"full once", syscall.ENOSPC, 1, 1},
		{"broken once", syscall.EIO, 1, 1},
		{"full for a while", syscall.ENOSPC, 6, 9},
		{"broken for a while", syscall.EIO, 12, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs := int64(0)
			for n := int64(1); ; n += c.step {
				f := &fault{err: c.err, first: n, count: c.count}
				faultRun(t, f)
				if t.Failed() {
					t.Fatalf("with operation %d failing", n)
				}
				if f.fired.Load() == 0 {
					break // the workload has fewer operations
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
	o := options(t, errorfs.Wrap(mem, f))
	o.Logger = quiet()
	o.MemTableOctets = 256 << 10
	o.CloseTime = 100 * time.Millisecond
	s := openUntil(t, o)
	model := &faultModel{s: s, want: map[string]bool{}}
	for i := range 40 {
		model.step(t, i)
	}
	model.check(t, s)
	if err := s.Close(); err != nil && f.fired.Load() == 0 {
		t.Errorf("close: %v", err)
	}
	// What is on disk must be the same, whether the closing went well or not:
	// everything acknowledged was synced, and what was lazy had been followed by
	// something durable.
	o.FS = mem
	after := open(t, o)
	defer after.Close()
	model.check(t, after)
}

// openUntil opens a store, again and again while the disk refuses it.
func openUntil(t *testing.T, o pebble.Options) store.Store {
	t.Helper()
	for range 50 {
		s, err := openStore(o)
		if err == nil {
			return s
		}
	}
	t.Fatal("the store does not open")
	return nil
}

// faultModel knows what must be in a store.
type faultModel struct {
	s    store.Store
	want map[string]bool // true: must be there; false: must not
	seen uint64          // head of the facts as last shown
}

// step commits something new until it is acknowledged, under a new name each time.
func (m *faultModel) step(t *testing.T, i int) {
	t.Helper()
	for try := 0; ; try++ {
		name := fmt.Sprintf("k%02d.%d", i, try)
		err := m.commit(name, i)
		if head := m.s.FactHead(); head < m.seen {
			t.Fatalf("%s: facts went back from %d to %d", name, m.seen, head)
		} else {
			m.seen = head
		}
		switch {
		case err == nil:
			m.want[name] = true
			return
		case errors.Is(err, store.ErrInDoubt):
			m.want[name] = true // the process lives: it must come
		case errors.Is(err, store.ErrUnavailable):
			m.want[name] = false
		default:
			t.Fatalf("%s: %v", name, err)
		}
		if try > 10_000 {
			t.Fatalf("%s: the store does not recover", name)
		}
		time.Sleep(time.Millisecond)
	}
}

func (m *faultModel) commit(name string, i int) error {
	if i%4 == 3 {
		b, err := m.s.Blobs().Create(blobName(name))
		if err != nil {
			return err
		}
		_, err = b.Write(content(name))
		if err := errors.Join(err, b.Commit()); err != nil {
			return err
		}
	}
	_, err := m.s.Apply(context.Background(), store.Tx{
		Preconditions: []store.Precondition{{Key: []byte(name), Absent: true}},
		Mutations:     []store.Mutation{{Key: []byte(name), Value: content(name)}},
		Facts:         [][]byte{[]byte(name)},
	}, store.Durability(1-i%2))
	return err
}

func blobName(name string) string { return "b" + name[1:3] + "-" + name[4:] }

func (m *faultModel) check(t *testing.T, s store.Store) {
	t.Helper()
	var got []string
	eventually(t, "the store answers", func() bool {
		got = nil
		return nil == s.Scan(context.Background(), store.Range{}, func(k, v []byte) (bool, error) {
			if !bytes.Equal(v, content(string(k))) {
				t.Errorf("%s is not whole", k)
			}
			got = append(got, string(k))
			return true, nil
		})
	})
	n := 0
	for name, want := range m.want {
		if slices.Contains(got, name) != want {
			t.Errorf("%s: present %v, want %v", name, !want, want)
		}
		if want {
			n++
		}
	}
	if len(got) != n || s.FactHead() != uint64(n) {
		t.Errorf("%d keys, %d facts, want %d", len(got), s.FactHead(), n)
	}
}

// A disk that is full for long: commits are answered at once with ErrUnavailable,
// reading goes on, and with the first free space all is well again.
func TestFullForLong(t *testing.T) {
	full := &toggle{err: syscall.ENOSPC}
	s := open(t, options(t, errorfs.Wrap(vfs.NewMem(), full)))
	commit(t, s, "before")
	full.on.Store(true)
	eventually(t, "a commit is refused", func() bool { return errors.Is(tryCommit(s, "during"), store.ErrUnavailable) })
	began := time.Now()
	for range 100 {
		if err := tryCommit(s, "during"); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrInDoubt) {
			t.Fatalf("commit on a full disk: %v", err)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("100 refusals took %v", took)
	}
	if v, err := s.Get(context.Background(), []byte("before")); err != nil || string(v) != "before" {
		t.Errorf("reading on a full disk: %q, %v", v, err)
	}
	full.on.Store(false)
	eventually(t, "commits are taken again", func() bool { return tryCommit(s, "after") == nil })
}

// toggle fails all writes and syncs while it is on.
type toggle struct {
	err error
	on  atomic.Bool
}

// MaybeError implements errorfs.Injector.
func (f *toggle) MaybeError(op errorfs.Op) error {
	if f.on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
		return f.err
	}
	return nil
}

// String implements errorfs.Injector.
func (f *toggle) String() string { return f.err.Error() }

func commit(t *testing.T, s store.Store, k string) {
	t.Helper()
	if err := tryCommit(s, k); err != nil {
		t.Fatalf("%s: %v", k, err)
	}
}

func tryCommit(s store.Store, k string) error {
	_, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte(k), Value: []byte(k)}}}, store.Durable)
	return err
}

// Many committers at work while the disk breaks and heals, again and again.
func TestBreaksUnderLoad(t *testing.T) {
	broken := &toggle{err: syscall.EIO}
	mem := vfs.NewMem()
	o := options(t, errorfs.Wrap(mem, broken))
	o.Logger = quiet()
	s := open(t, o)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	acked := make([][]string, 6)
	for w := range acked {
		wg.Go(func() { acked[w] = loadUntil(t, s, w, stop) })
	}
	for range 6 {
		time.Sleep(30 * time.Millisecond)
		broken.on.Store(true)
		time.Sleep(10 * time.Millisecond)
		broken.on.Store(false)
		eventually(t, "commits are taken again", func() bool { return tryCommit(s, "probe") == nil })
	}
	close(stop)
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.FS = mem
	after := open(t, o)
	for w, names := range acked {
		if len(names) == 0 {
			t.Errorf("committer %d committed nothing", w)
		}
		for _, name := range names {
			if _, err := after.Get(context.Background(), []byte(name)); err != nil {
				t.Errorf("%s was acknowledged: %v", name, err)
			}
		}
	}
}

func loadUntil(t *testing.T, s store.Store, w int, stop <-chan struct{}) (acked []string) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return acked
		default:
		}
		name := fmt.Sprintf("w%d-%06d", w, i)
		_, err := s.Apply(context.Background(), store.Tx{
			Mutations: []store.Mutation{{Key: []byte(name), Value: content(name)}},
			Facts:     [][]byte{[]byte(name)},
		}, store.Durability(i%2))
		switch {
		case err == nil:
			acked = append(acked, name)
		case !errors.Is(err, store.ErrUnavailable):
			t.Errorf("%s: %v", name, err)
			return acked
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// Below the reserve, new content is refused, and what frees space is not.
func TestReserve(t *testing.T) {
	mem := vfs.NewMem()
	o := options(t, mem)
	o.MinFree = 1 << 20
	s := open(t, o)
	bulk := func() error {
		_, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte("bulk"), Value: make([]byte, 1000)}}, Bulk: true}, store.Durable)
		return err
	}
	free := func(n uint64) {
		mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 1 << 30})
	}
	if err := bulk(); err != nil {
		t.Errorf("a disk that does not tell its free space: %v", err)
	}
	free(1<<20 - 1)
	eventually(t, "content is refused", func() bool { return errors.Is(bulk(), store.ErrUnavailable) })
	if err := bulk(); errors.Is(err, store.ErrInDoubt) {
		t.Errorf("a refusal must not be in doubt: %v", err)
	}
	if _, err := s.Blobs().Create("b"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("blob: %v", err)
	}
	commit(t, s, "small")
	free(1 << 29)
	eventually(t, "content is taken again", func() bool { return bulk() == nil })
}

// Closing does not wait for a disk that does not answer.
func TestCloseInTrouble(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		bad := &toggle{err: cause}
		o := options(t, errorfs.Wrap(vfs.NewMem(), bad))
		o.Logger = quiet()
		s := open(t, o)
		commit(t, s, "before")
		bad.on.Store(true)
		eventually(t, "a commit is refused", func() bool { return tryCommit(s, "during") != nil })
		began := time.Now()
		if err := s.Close(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%v: close: %v", cause, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%v: close took %v", cause, took)
		}
	}
}

// The same on a real file system that is really full.
func TestRealDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	o := options(t, vfs.Default)
	o.Dir, o.MemTableOctets = filepath.Join(dir, "store"), 512<<10
	s := open(t, o)
	var acked []string
	refused := false
	for i := 0; !refused; i++ {
		name := fmt.Sprintf("k%05d", i)
		_, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte(name), Value: random(i)}}}, store.Durable)
		switch {
		case err == nil:
			acked = append(acked, name)
		case errors.Is(err, store.ErrUnavailable):
			refused = true
		default:
			t.Fatal(err)
		}
		if i > 5000 {
			t.Fatal("12 MB hold 5000 values of 16 KB")
		}
	}
	for _, name := range acked {
		if _, err := s.Get(context.Background(), []byte(name)); err != nil {
			t.Fatalf("%s was acknowledged: %v", name, err)
		}
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=200m"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "commits are taken again", func() bool { return tryCommit(s, "after") == nil })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := open(t, o)
	for _, name := range append(acked, "after") {
		if _, err := after.Get(context.Background(), []byte(name)); err != nil {
			t.Errorf("%s was acknowledged: %v", name, err)
		}
	}
	t.Logf("%d values fitted", len(acked))
}
