package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/damage"
	"sallyport/internal/kit/parity"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
	"sallyport/internal/store/pebble/chunks"
)

// aged is a store that was used, and what is in it.
type aged struct {
	disk   *vfs.MemFS
	values map[string][]byte
	facts  int
}

// oldStore fills a store: tables, files of values, and a log with much in it. It is closed in order, or its power is cut
// once everything was acknowledged.
func oldStore(t testing.TB, cut bool) aged {
	t.Helper()
	disk := vfs.NewCrashableMem()
	o := rotOptions(t, disk)
	s, err := pebble.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	a := aged{values: map[string][]byte{}}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 260 {
		k, v := fmt.Sprintf("k%05d", i), make([]byte, 100)
		if i%3 == 0 {
			v = make([]byte, 6000)
		}
		for j := range v {
			v[j] = byte(rnd.Uint32())
		}
		a.values[k] = v
		if _, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte(k), Value: v}}, Facts: [][]byte{[]byte("fact " + k)}}, store.Durable); err != nil {
			t.Fatal(err)
		}
		a.facts++
	}
	if cut {
		eventually(t, "there are tables", func() bool {
			a.disk = disk.CrashClone(vfs.CrashCloneCfg{})
			return len(a.files(t, ".sst")) > 0 && len(a.files(t, ".blob")) > 0
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !cut {
		a.disk = disk.CrashClone(vfs.CrashCloneCfg{})
	}
	return a
}

func rotOptions(t testing.TB, disk vfs.FS) pebble.Options {
	o := options(t, disk)
	o.Logger = quiet()
	o.MemTableOctets = 256 << 10
	o.LostFact = func(seq uint64) []byte { return []byte("lost") }
	return o
}

// copied is a copy of the disk with one file changed.
func (a aged) copied(t testing.TB, name string, change func([]byte) []byte) *vfs.MemFS {
	t.Helper()
	disk := a.disk.CrashClone(vfs.CrashCloneCfg{})
	put(t, disk, name, change(slurp(t, disk, name)))
	return disk
}

func slurp(t testing.TB, disk vfs.FS, name string) []byte {
	t.Helper()
	f, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, disk vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := disk.Create(name, "test")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// files are those in a folder that end so, or begin so, and hold something.
func (a aged) files(t testing.TB, kind string) (all []string) {
	t.Helper()
	names, err := a.disk.List("data/db")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, n := range names {
		if (strings.HasSuffix(n, kind) || strings.HasPrefix(n, kind)) && len(slurp(t, a.disk, "data/db/"+n)) > 0 {
			all = append(all, "data/db/"+n)
		}
	}
	return all
}

// living is how much of a file is in use: a log has more, for what may come.
func (a aged) living(t testing.TB, name string) int {
	text := slurp(t, a.disk, name)
	if number, ok := strings.CutSuffix(a.disk.PathBase(name), ".log"); ok {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return chunks.Read(text, n, chunks.Newest).Sound
	}
	return len(text)
}

// outcome is what became of a damaged store.
type outcome struct {
	missing []string // keys
	facts   int      // that are as they were
	noted   []damage.Found
}

// reopened opens a store, and reads all of it.
func (a aged) reopened(t testing.TB, disk vfs.FS, change func(*pebble.Options)) (out outcome, err error) {
	t.Helper()
	o := rotOptions(t, disk)
	var mu sync.Mutex
	o.Damage = func(f damage.Found) {
		mu.Lock()
		defer mu.Unlock()
		out.noted = append(out.noted, f)
	}
	if change != nil {
		change(&o)
	}
	s, err := pebble.Open(o)
	if err != nil {
		return out, err
	}
	defer s.Close()
	ctx := context.Background()
	for k, want := range a.values {
		got, err := patient(ctx, s, k)
		switch {
		case errors.Is(err, store.ErrNotFound):
			out.missing = append(out.missing, k)
		case err != nil:
			return out, err
		case string(got) != string(want):
			return out, fmt.Errorf("%s is another", k)
		}
	}
	next := uint64(1)
	facts := func() error {
		next, out.facts = 1, 0
		return s.Facts(ctx, 1, s.FactHead()+1, func(seq uint64, fact []byte) (bool, error) {
			if seq != next {
				return false, fmt.Errorf("fact %d follows fact %d", seq, next-1)
			}
			if next++; string(fact) != "lost" {
				out.facts++
			}
			return true, nil
		})
	}
	eventually(t, "the facts are read", func() bool {
		err = facts()
		return !errors.Is(err, store.ErrUnavailable)
	})
	if err == nil && s.FactHead() != next-1 {
		err = fmt.Errorf("the head is at %d, and there are %d facts", s.FactHead(), next-1)
	}
	if err == nil {
		eventually(t, "the store goes on", func() bool {
			_, err := s.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte("z"), Value: []byte("goes on")}}}, store.Durable)
			return err == nil
		})
	}
	mu.Lock()
	defer mu.Unlock()
	return out, err
}

// patient reads as everybody does: while a database is put right, nothing is to be had.
func patient(ctx context.Context, s store.Store, key string) (v []byte, err error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if v, err = s.Get(ctx, []byte(key)); !errors.Is(err, store.ErrUnavailable) {
			return v, err
		}
	}
	return v, err
}

// positions is how many places of each file are tried: some in every run, many where SALLYPORT_ROT says so.
func positions(t testing.TB) int {
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_ROT")); err == nil {
		return n
	}
	return 6
}

// One bit flips, in each kind of file, at the beginning, at the end and at many places between. Nothing is lost, and each
// is noted but where nothing lives: the file is put right, and kept aside as it was found.
func TestABitFlips(t *testing.T) {
	for _, cut := range []bool{false, true} {
		a := oldStore(t, cut)
		for _, kind := range []string{".sst", ".blob", ".log", "MANIFEST-", "OPTIONS-"} {
			t.Run(fmt.Sprintf("%s cut %v", kind, cut), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(uint64(len(kind)), 3))
				all := a.files(t, kind)
				if len(all) == 0 {
					t.Fatal("there is none")
				}
				noted := 0
				if kind == ".log" {
					all = all[len(all)-1:] // those before it are in tables by now
				}
				for _, name := range all {
					size := a.living(t, name)
					for i := range positions(t) {
						bit := rnd.IntN(size * 8)
						switch i {
						case 0:
							bit = 5
						case 1:
							bit = size*8 - 3
						}
						out, err := a.reopened(t, a.copied(t, name, func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b }), nil)
						if err != nil || len(out.missing) > 0 || out.facts != a.facts {
							t.Fatalf("%s, bit %d: %v; missing: %d keys, %d facts; noted: %+v", name, bit, err, len(out.missing), a.facts-out.facts, out.noted)
						}
						for _, f := range out.noted {
							if noted++; f.Lost != "" || f.Aside == "" || f.File != name {
								t.Fatalf("%s, bit %d: noted %+v", name, bit, f)
							}
						}
					}
				}
				if want := positions(t) - 1; noted < want {
					t.Errorf("noted %d times in %d files", noted, len(all))
				}
			})
		}
	}
}

// A sector of the log is gone. What was in it is lost, said to be, and nothing else; the log stays aside as it was.
func TestASectorOfTheLogIsGone(t *testing.T) {
	for _, cut := range []bool{false, true} {
		a := oldStore(t, cut)
		all := a.files(t, ".log")
		name := all[len(all)-1]
		size := a.living(t, name)
		var places []int
		for at := 0; at+4096 < size; at += max(512, size/positions(t)/512*512) {
			places = append(places, at)
		}
		if !cut { // behind the last promise of the log: that it was closed is noted
			places = append(places, size-600)
		}
		for _, at := range places {
			disk := a.copied(t, name, func(b []byte) []byte {
				for i := range 512 {
					b[at+i] = byte(i * 7)
				}
				return b
			})
			broken := slurp(t, disk, name)
			out, err := a.reopened(t, disk, nil)
			if err != nil || len(out.noted) != 1 || out.noted[0].Lost == "" {
				t.Fatalf("at %d: %v, noted %+v", at, err, out.noted)
			}
			if n := len(out.missing); n == 0 || n > 7 || a.facts-out.facts != n {
				t.Errorf("at %d: %d keys and %d facts are missing", at, n, a.facts-out.facts)
			}
			if string(slurp(t, disk, out.noted[0].Aside)) != string(broken) {
				t.Errorf("at %d: what was put aside is not as it was found", at)
			}
			// The next start finds a sound store.
			again, err := a.reopened(t, disk, nil)
			if err != nil || len(again.noted) > 0 || !slices.Equal(sorted(again.missing), sorted(out.missing)) {
				t.Fatalf("at %d, the next start: %v, noted %+v", at, err, again.noted)
			}
		}
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

// What a crash leaves at the end of a log is no damage.
func TestATornEndIsNoDamage(t *testing.T) {
	for seed := range uint64(20) {
		disk := vfs.NewCrashableMem()
		s, err := pebble.Open(rotOptions(t, disk))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 150 {
			d := store.Lazy
			if i%7 == 0 {
				d = store.Durable
			}
			_, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: fmt.Appendf(nil, "k%d", i), Value: random(i)[:3000]}}}, d)
			if err != nil {
				t.Fatal(err)
			}
		}
		after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(seed, seed))})
		_ = s.Close()
		out, err := aged{}.reopened(t, after, nil)
		if err != nil || len(out.noted) > 0 {
			t.Fatalf("seed %d: %v, noted %+v", seed, err, out.noted)
		}
	}
}

// More of a table is gone than can be put right. What stood there is lost, said to be, and the rest is not.
func TestTooMuchOfATableIsGone(t *testing.T) {
	a := oldStore(t, false)
	for _, kind := range []string{".sst", ".blob"} {
		all := a.files(t, kind)
		name := all[len(all)-1] // others may be of no use any more
		for _, guarded := range []bool{true, false} {
			disk := a.copied(t, name, func(b []byte) []byte {
				for i := range 200 {
					b[3400+i] ^= 0x55 // the second block of keys, or the first value
				}
				return b
			})
			beside := "data/guards/" + disk.PathBase(name)
			if guarded {
				// Both the page and its sum.
				g := slurp(t, disk, beside)
				for i := range len(g) / parity.Page * parity.Page {
					g[i] ^= 1
				}
				put(t, disk, beside, g)
			} else if err := disk.Remove(beside); err != nil {
				t.Fatal(err)
			}
			out, err := a.reopened(t, disk, nil)
			if err != nil {
				t.Fatalf("%s: %v; noted %+v", name, err, out.noted)
			}
			if n := len(out.missing) + a.facts - out.facts; n == 0 || n > 150 {
				t.Errorf("%s: %d keys and facts are missing", name, n)
			}
			if len(out.noted) == 0 || out.noted[len(out.noted)-1].Lost == "" {
				t.Errorf("%s: noted %+v", name, out.noted)
			}
			t.Logf("%s: %d keys, %d facts lost", name, len(out.missing), a.facts-out.facts)
			again, err := a.reopened(t, disk, nil)
			if err != nil || len(again.noted) > 0 || len(again.missing) != len(out.missing) {
				t.Fatalf("the next start: %v, noted %+v", err, again.noted)
			}
		}
	}
}

// A store that runs reads its tables through, and finds what nobody asked for.
func TestRotIsFoundThatNobodyReads(t *testing.T) {
	a := oldStore(t, false)
	name := a.files(t, ".blob")[0]
	disk := a.copied(t, name, func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
	found := make(chan damage.Found, 100)
	o := rotOptions(t, disk)
	o.CheckTime = time.Nanosecond
	o.Damage = func(f damage.Found) { found <- f }
	s := open(t, o)
	select {
	case f := <-found:
		if f.File != name || f.Lost != "" {
			t.Errorf("noted %+v", f)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it was not found")
	}
	eventually(t, "the store goes on", func() bool {
		_, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte("z"), Value: []byte("z")}}}, store.Durable)
		return err == nil
	})
	for k, want := range a.values {
		if got, err := patient(context.Background(), s, k); err != nil || string(got) != string(want) {
			t.Fatalf("%s: %v", k, err)
		}
	}
}

// A database whose marker is missing is not taken for a new one.
func TestTheMarkerIsMissing(t *testing.T) {
	a := oldStore(t, false)
	names, err := a.disk.List("data/db")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n, "marker.manifest") {
			if err := a.disk.Remove("data/db/" + n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := a.reopened(t, a.disk, nil); err == nil || !strings.Contains(err.Error(), "marker") {
		t.Fatalf("it opens: %v", err)
	}
}
