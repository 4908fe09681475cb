package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/damage"
	"sallyport/internal/store"
)

// valued is an open store with values in files of their own.
type valued struct {
	*pebbleStore
	t      *testing.T
	mem    *vfs.MemFS
	values map[string][]byte
	lost   []string // keys that a test expects to be gone
	began  time.Time

	broken atomic.Pointer[string] // how the names of files end that the disk does not give
	fickle atomic.Int32           // the how manieth thing it does not give that is read as a file is written anew; 0: it gives all

	mu     sync.Mutex
	noted  []damage.Found
	passes int // how often everything was read through
	failed int // faults of work in the background
}

// Handle counts what the store says.
func (v *valued) Handle(_ context.Context, r slog.Record) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.Message == "the store was read through" {
		v.passes++
	}
	r.Attrs(func(a slog.Attr) bool {
		if s := a.Value.String(); strings.Contains(s, "background work failed") || strings.Contains(s, "was not written anew") {
			v.failed++
		}
		return true
	})
	return nil
}

func (v *valued) Enabled(context.Context, slog.Level) bool { return true }
func (v *valued) WithAttrs([]slog.Attr) slog.Handler       { return v }
func (v *valued) WithGroup(string) slog.Handler            { return v }

// MaybeError implements errorfs.Injector.
func (v *valued) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsRead || !strings.HasPrefix(op.Path, "data/db/") {
		return nil
	}
	if end := v.broken.Load(); end != nil && strings.HasSuffix(op.Path, *end) {
		return &vfsError{op.Path}
	}
	if op.Kind == errorfs.OpFileReadAt && isValues(op.Path) && v.fickle.Load() > 0 && byRewriter() && v.fickle.Add(-1) == 0 {
		return &vfsError{op.Path}
	}
	return nil
}

func (v *valued) String() string { return "valued" }

type vfsError struct{ path string }

// Error implements error.
func (e *vfsError) Error() string { return "read " + e.path + ": " + e.Unwrap().Error() }

func (e *vfsError) Unwrap() error { return syscall.EIO }

func newValued(t *testing.T, change ...func(*Options)) *valued {
	t.Helper()
	v := &valued{t: t, mem: vfs.NewMem(), values: map[string][]byte{}, began: time.Now()}
	v.pebbleStore = &pebbleStore{opts: Options{
		FS: errorfs.Wrap(v.mem, v), Dir: "data", Logger: slog.New(v), MinFree: 1, MemTableOctets: 256 << 10, LazyTime: 5 * time.Millisecond,
		RetryFirst: time.Millisecond, RetryMax: 10 * time.Millisecond, CloseTime: time.Second, CheckTime: 1, RewriteAge: 1,
		LostFact: func(uint64) []byte { return []byte("lost") },
		Damage: func(f damage.Found) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.noted = append(v.noted, f)
		},
	}}
	for _, c := range change {
		c(&v.opts)
	}
	v.open()
	rnd := rand.New(rand.NewPCG(7, 8))
	for i := range 150 {
		value := make([]byte, 6000)
		for j := range value {
			value[j] = byte(rnd.Uint32())
		}
		v.values[fmt.Sprintf("k%05d", i)] = value
	}
	for _, k := range v.keys() {
		v.apply(store.Mutation{Key: []byte(k), Value: v.values[k]})
	}
	v.sort()
	if len(v.files()) < 2 {
		t.Fatalf("there are %d files of values", len(v.files()))
	}
	return v
}

// open opens the store, and waits until it was read through: what is hit from then on is not found so.
func (v *valued) open() {
	v.t.Helper()
	v.mu.Lock()
	before := v.passes
	v.mu.Unlock()
	s, err := Open(v.opts)
	if err != nil {
		v.t.Fatal(err)
	}
	v.pebbleStore = s.(*pebbleStore)
	v.t.Cleanup(func() { _ = s.Close() })
	v.eventually("everything was read through", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.passes > before
	})
}

func (v *valued) keys() (all []string) {
	for k := range v.values {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (v *valued) apply(m store.Mutation) {
	v.t.Helper()
	v.eventually("it is written", func() bool {
		_, err := v.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{m}}, store.Durable)
		return err == nil
	})
}

// sort puts everything into tables, and these into each other, as far as that goes.
func (v *valued) sort() {
	g, err := v.enter()
	if err != nil {
		return
	}
	defer g.leave()
	_ = g.db.Flush()
	_ = g.db.Compact(context.Background(), []byte("a"), []byte("z"), false)
}

// thinned deletes two of three values, so that their files are worth being written anew.
func (v *valued) thinned() {
	v.t.Helper()
	for i, k := range v.keys() {
		if i%3 != 0 {
			delete(v.values, k)
			v.apply(store.Mutation{Key: []byte(k), Delete: true})
		}
	}
}

// thin sees to it that they are, too.
func (v *valued) thin() {
	v.t.Helper()
	v.thinned()
	v.sort()
}

// files are those of values.
func (v *valued) files() (all []string) {
	v.t.Helper()
	names, err := v.mem.List("data/db")
	if err != nil {
		v.t.Fatal(err)
	}
	for _, n := range names {
		if isValues(n) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

func (v *valued) text(name string) []byte {
	v.t.Helper()
	text, err := (&mender{fs: v.mem, root: "data"}).read("data/db/" + name)
	if err != nil {
		v.t.Fatal(err)
	}
	return text
}

// guardText is what a file is put right from.
func (v *valued) guardText(name string) []byte {
	v.t.Helper()
	text, err := v.mender().read("data/guards/" + name)
	if err != nil {
		v.t.Fatal(err)
	}
	return text
}

// hit changes octets of a file where it lies, while it may be open.
func (v *valued) hit(name string, at, octets int) {
	v.t.Helper()
	f, err := v.mem.OpenReadWrite("data/db/"+name, "test")
	if err != nil {
		v.t.Fatal(err)
	}
	p := make([]byte, octets)
	_, err = f.ReadAt(p, int64(at))
	for i := range p {
		p[i] ^= 4
	}
	_, werr := f.WriteAt(p, int64(at))
	if err := errors.Join(err, werr, f.Close()); err != nil {
		v.t.Fatal(err)
	}
}

// cut makes a file shorter.
func (v *valued) cut(name string, octets int) {
	v.t.Helper()
	text := v.text(name)
	f, err := v.mem.Create("data/db/"+name, "test")
	if err != nil {
		v.t.Fatal(err)
	}
	_, err = f.Write(text[:octets])
	if err := errors.Join(err, f.Close()); err != nil {
		v.t.Fatal(err)
	}
}

// unguard removes what a file is put right from.
func (v *valued) unguard(name string) {
	v.t.Helper()
	if err := v.mem.Remove("data/guards/" + name); err != nil {
		v.t.Fatal(err)
	}
}

func (v *valued) eventually(what string, ok func() bool) {
	v.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			v.t.Fatalf("%s: not within 30 s; noted %+v", what, v.notes())
		}
	}
}

// missing reads every value, and returns the keys of those that are gone.
func (v *valued) missing() (gone []string) {
	v.t.Helper()
	for _, k := range v.keys() {
		var got []byte
		var err error
		v.eventually(k+" is read", func() bool {
			got, err = v.Get(context.Background(), []byte(k))
			return !errors.Is(err, store.ErrUnavailable)
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			gone = append(gone, k)
		case err != nil || !bytes.Equal(got, v.values[k]):
			v.t.Errorf("%s: %d octets, %v", k, len(got), err)
		}
	}
	return gone
}

func (v *valued) notes() []damage.Found {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.noted)
}

// rests reports whether work in the background fails no more.
func (v *valued) rests() bool {
	count := func() int {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.failed
	}
	before := count()
	time.Sleep(200 * time.Millisecond)
	return count() == before
}

// kept is a value that stays when others are deleted, and lies in a file.
func (v *valued) kept(name string) (key string, at int) {
	v.t.Helper()
	text := v.text(name)
	for i, k := range v.keys() {
		if at := bytes.Index(text, v.values[k][:64]); i%3 == 0 && at >= 0 {
			return k, at
		}
	}
	v.t.Fatalf("no value that stays lies in %s", name)
	return "", 0
}
