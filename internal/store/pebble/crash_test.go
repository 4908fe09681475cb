package pebble_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/damage"
	"sallyport/internal/store"
)

// crash is what a power failure at one moment would have left, and what had been
// acknowledged before it.
type crash struct {
	fs     *vfs.MemFS
	acked  map[string]bool // durable transactions whose Apply had returned
	blobs  map[string]bool // blobs whose Commit had returned
	moment string
}

// journal takes crashes at sampled write operations.
type journal struct {
	mem   *vfs.MemFS
	every int
	// copies is how many are taken at each of them, with other blocks kept; 0: one.
	copies int
	rng    *rand.Rand

	mu      sync.Mutex
	ops     int
	acked   map[string]bool
	blobs   map[string]bool
	crashes []crash
}

// MaybeError implements errorfs.Injector; it is called before each operation.
func (j *journal) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ops++; j.ops%j.every != 0 {
		return nil
	}
	c := crash{acked: map[string]bool{}, blobs: map[string]bool{}, moment: fmt.Sprintf("operation %d: %d on %s", j.ops, op.Kind, op.Path)}
	for k := range j.acked {
		c.acked[k] = true
	}
	for k := range j.blobs {
		c.blobs[k] = true
	}
	for range max(j.copies, 1) {
		c.fs = j.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: j.rng.IntN(3) * 50, RNG: j.rng})
		j.crashes = append(j.crashes, c)
	}
	return nil
}

// String implements errorfs.Injector.
func (j *journal) String() string { return "journal" }

func (j *journal) ack(set map[string]bool, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	set[name] = true
}

// The power fails at sampled writes of a concurrent workload, with none, some and
// all of the unsynced data lost: everything durable must be there, in order,
// whole, and without a gap.
func TestCrashAtEveryWrite(t *testing.T) {
	for seed := range uint64(2) {
		crashRun(t, seed)
	}
}

func crashRun(t *testing.T, seed uint64) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	j := &journal{mem: mem, every: 4, rng: rand.New(rand.NewPCG(seed, 2)), acked: map[string]bool{}, blobs: map[string]bool{}}
	s := open(t, options(t, errorfs.Wrap(mem, j)))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() { crashWriter(t, s, j, w) })
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(j.crashes) < 50 {
		t.Fatalf("only %d crashes: the workload is too small", len(j.crashes))
	}
	for _, c := range j.crashes {
		checkCrash(t, c)
	}
	t.Logf("%d operations, %d crashes", j.ops, len(j.crashes))
}

// The power fails at each write of an orderly end, with what was not synced there or not, block by block: what was
// committed lazily may be gone, nothing else, and nobody is told of damage.
func TestCrashWhileClosing(t *testing.T) {
	for seed := range uint64(4) {
		mem := vfs.NewCrashableMem()
		j := &journal{mem: mem, every: 1 << 30, rng: rand.New(rand.NewPCG(seed, 5)), acked: map[string]bool{}, blobs: map[string]bool{}}
		o := options(t, errorfs.Wrap(mem, j))
		o.LazyTime, o.MemTableOctets = time.Hour, 8<<20
		s := open(t, o)
		crashWriter(t, s, j, 0)
		for i := range 20 {
			name := fmt.Sprintf("lazy-%d", i)
			tx := store.Tx{Mutations: []store.Mutation{{Key: []byte(name), Value: content(name)}}, Facts: [][]byte{[]byte(name)}}
			if _, err := s.Apply(context.Background(), tx, store.Lazy); err != nil {
				t.Fatal(err)
			}
		}
		j.mu.Lock()
		j.every, j.copies = 1, 6
		j.mu.Unlock()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if len(j.crashes) < 6*j.copies {
			t.Fatalf("only %d crashes", len(j.crashes))
		}
		for _, c := range j.crashes {
			checkCrash(t, c)
		}
	}
}

// The power fails again while the store recovers from the first failure.
func TestCrashWhileRecovering(t *testing.T) {
	mem := vfs.NewCrashableMem()
	j := &journal{mem: mem, every: 25, rng: rand.New(rand.NewPCG(3, 4)), acked: map[string]bool{}, blobs: map[string]bool{}}
	s := open(t, options(t, errorfs.Wrap(mem, j)))
	crashWriter(t, s, j, 0)
	crashWriter(t, s, j, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := 0
	for _, first := range j.crashes {
		k := &journal{mem: first.fs, every: 2, rng: j.rng, acked: first.acked, blobs: first.blobs}
		r := open(t, options(t, errorfs.Wrap(first.fs, k)))
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		for _, second := range k.crashes {
			second.moment = first.moment + ", then " + second.moment
			checkCrash(t, second)
			again++
		}
	}
	if again < 50 {
		t.Errorf("only %d second crashes: too few to mean anything", again)
	}
}

// crashWriter commits transactions of one key and one fact of the same name; the
// values are large enough to make the database flush.
func crashWriter(t *testing.T, s store.Store, j *journal, w int) {
	for i := range 40 {
		name := fmt.Sprintf("w%d-%03d", w, i)
		d := store.Durability(i % 2)
		_, err := s.Apply(context.Background(), store.Tx{
			Mutations: []store.Mutation{{Key: []byte(name), Value: content(name)}},
			Facts:     [][]byte{[]byte(name)},
		}, d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if d == store.Durable {
			j.ack(j.acked, name)
		}
		if i%10 == 0 {
			writeBlob(t, s, name)
			j.ack(j.blobs, name)
		}
	}
}

func content(name string) []byte { return bytes.Repeat([]byte(name), 2000) }

func writeBlob(t *testing.T, s store.Store, name string) {
	b, err := s.Blobs().Create(name)
	if err != nil {
		t.Errorf("blob %s: %v", name, err)
		return
	}
	_, err = b.Write(content(name))
	if err := errors.Join(err, b.Commit()); err != nil {
		t.Errorf("blob %s: %v", name, err)
	}
}

func checkCrash(t *testing.T, c crash) {
	t.Helper()
	o := options(t, c.fs)
	o.Damage = func(f damage.Found) { t.Errorf("%s: %+v is told as damage", c.moment, f) }
	s := open(t, o)
	defer s.Close()
	present := map[string]bool{}
	next := uint64(1)
	err := s.Facts(context.Background(), 1, 1<<62, func(seq uint64, f []byte) (bool, error) {
		if seq != next {
			t.Errorf("%s: fact %d follows %d", c.moment, seq, next-1)
		}
		next = seq + 1
		present[string(f)] = true
		return true, nil
	})
	if err != nil || s.FactHead() != next-1 {
		t.Errorf("%s: %d facts, head %d, %v", c.moment, next-1, s.FactHead(), err)
	}
	for name := range c.acked {
		if !present[name] {
			t.Errorf("%s: %s was durable, and is lost", c.moment, name)
		}
	}
	keys := 0
	err = s.Scan(context.Background(), store.Range{}, func(k, v []byte) (bool, error) {
		keys++
		if !present[string(k)] || !bytes.Equal(v, content(string(k))) {
			t.Errorf("%s: %s without its fact, or not whole", c.moment, k)
		}
		return true, nil
	})
	if err != nil || keys != len(present) {
		t.Errorf("%s: %d keys for %d facts, %v", c.moment, keys, len(present), err)
	}
	checkBlobs(t, s, c)
}

func checkBlobs(t *testing.T, s store.Store, c crash) {
	t.Helper()
	names, err := s.Blobs().List()
	if err != nil {
		t.Error(err)
	}
	for _, name := range names {
		delete(c.blobs, name)
		r, err := s.Blobs().Open(name)
		if err != nil {
			t.Errorf("%s: blob %s: %v", c.moment, name, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, content(name)) {
			t.Errorf("%s: blob %s has a name and is not whole", c.moment, name)
		}
		_ = r.Close()
	}
	for name := range c.blobs {
		t.Errorf("%s: blob %s was committed, and is lost", c.moment, name)
	}
}

// A lazy commit survives a crash once LazyTime has passed, and with the next
// durable one.
func TestLazyBecomesDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := open(t, options(t, mem))
	lazy := func(k string) {
		t.Helper()
		if _, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte(k), Value: []byte("v")}}}, store.Lazy); err != nil {
			t.Fatal(err)
		}
	}
	survives := func(k string) bool {
		after := open(t, options(t, mem.CrashClone(vfs.CrashCloneCfg{})))
		defer after.Close()
		_, err := after.Get(context.Background(), []byte(k))
		return err == nil
	}
	lazy("a")
	eventually(t, "a lazy commit becomes durable by itself", func() bool { return survives("a") })
	lazy("b")
	if _, err := s.Apply(context.Background(), store.Tx{Facts: [][]byte{[]byte("f")}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	if !survives("b") {
		t.Error("a lazy commit before a durable one was lost")
	}
}

// Revisions and fact numbers go on where they were, also when all facts were
// deleted.
func TestReopen(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var last store.Revision
	for i := range uint64(4) {
		s := open(t, options(t, mem))
		if s.FactHead() != i {
			t.Errorf("opening %d: head %d", i, s.FactHead())
		}
		r, err := s.Apply(context.Background(), store.Tx{
			Mutations: []store.Mutation{{Key: []byte("k"), Value: binary.BigEndian.AppendUint64(nil, i)}},
			Facts:     [][]byte{[]byte("f")},
		}, store.Lazy)
		if err != nil || r <= last {
			t.Errorf("opening %d: revision %d after %d, %v", i, r, last, err)
		}
		last = r
		if err := s.DeleteFacts(context.Background(), i+2); err != nil {
			t.Fatal(err)
		}
		v, err := s.Get(context.Background(), []byte("k"))
		if err != nil || binary.BigEndian.Uint64(v) != i {
			t.Errorf("opening %d: value %x, %v", i, v, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFolderBelongsToOne(t *testing.T) {
	o := options(t, vfs.Default)
	o.Dir = t.TempDir()
	s := open(t, o)
	if second, err := openStore(o); err == nil {
		_ = second.Close()
		t.Fatal("a folder in use was opened again")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, o)
}
