package roster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/store/pebble"
)

// stands builds the whole directory of a state: what the server does before a
// change commits.
func stands(t testing.TB, s *State) error {
	cfg := directory.Config{
		Hostname: domain(t, "mx.local.test"), Detail: '+', ForwardExternal: true, MaxDepth: 3, MaxExpansion: 5,
		Domains: []directory.Domain{{Name: domain(t, "local.test"), Deliver: directory.DeliverMaildir}},
	}
	for _, d := range s.Domains() {
		cfg.Domains = append(cfg.Domains, directory.Domain{Name: d.Name, Deliver: directory.DeliverMaildir, Postmaster: d.Postmaster})
	}
	for _, a := range s.Aliases() {
		cfg.Aliases = append(cfg.Aliases, a.Alias)
	}
	for _, f := range s.Forwards() {
		cfg.Forwards = append(cfg.Forwards, f.Forward)
	}
	for _, d := range s.Delegates() {
		cfg.Delegates = append(cfg.Delegates, d.Delegate)
	}
	for _, c := range s.Contacts() {
		cfg.Contacts = append(cfg.Contacts, c.Contact)
	}
	snapshot, err := directory.NewSnapshot(cfg, []mail.Address{address(t, "alice@local.test"), address(t, "bob@local.test")})
	if err != nil {
		return err
	}
	return snapshot.Check()
}

// randomEdit puts or removes one entry of few names, so that they meet.
func randomEdit(t testing.TB, pick func(n int) int) Edit {
	domains := []string{"local.test", "one.test", "two.test"}
	locals := []string{"alice", "bob", "x", "y", "z"}
	anyAddress := func() mail.Address { return address(t, locals[pick(len(locals))]+"@"+domains[pick(len(domains))]) }
	some := func() []mail.Address {
		out := []mail.Address{anyAddress()}
		for range pick(3) {
			out = append(out, anyAddress())
		}
		return out
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, pick(1000), time.UTC)
	var e Entry
	switch pick(7) {
	case 0:
		e = Domain{Name: domain(t, domains[1+pick(2)]), Deliver: "maildir", Added: at}
	case 1:
		e = Domain{Name: domain(t, domains[1+pick(2)]), Deliver: "maildir", Postmaster: anyAddress(), Added: at}
	case 2:
		e = Alias{directory.Alias{CatchAll: domain(t, domains[pick(3)]), Targets: some(), Posting: directory.PostingAnyone}, at}
	case 3:
		e = Forward{directory.Forward{Account: anyAddress(), Targets: []mail.Address{address(t, "out@remote.test")}, Keep: pick(2) == 0}, at}
	case 5:
		e = Contact{directory.Contact{Account: anyAddress(), Address: address(t, "out@remote.test")}, at}
	case 4:
		e = Delegate{directory.Delegate{Account: anyAddress(), Address: anyAddress()}, at}
	default:
		e = Alias{directory.Alias{Address: anyAddress(), Targets: some(), Posting: directory.Posting(1 + pick(3))}, at}
	}
	fact := [][]byte{[]byte("fact of " + e.Ref().Name())}
	if pick(3) == 0 {
		return Edit{Remove: []Ref{e.Ref()}, Facts: fact}
	}
	return Edit{Put: []Entry{e}, Facts: fact}
}

// Whatever is asked for, in whatever order: what is stored stands as a directory,
// is what a model says, and is the same when it is opened again.
func TestRandomChangesKeepTheDirectoryStanding(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		st := mem.New()
		ros := open(t, st)
		model := newState(0)
		for range rapid.IntRange(1, 40).Draw(r, "changes") {
			edit := randomEdit(t, func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "pick") })
			would := model.with(edit, model.revision+1)
			allowed := stands(t, would) == nil && (len(edit.Remove) == 0 || model.Has(edit.Remove[0]))
			_, err := ros.Change(context.Background(), Change{
				Plan:  func(*State) (Edit, error) { return edit, nil },
				Check: func(_ context.Context, _, after *State) error { return stands(t, after) },
			})
			if (err == nil) != allowed {
				r.Fatalf("%+v: %v, but allowed is %v", edit, err, allowed)
			}
			if allowed {
				model = would
			}
			if err := stands(t, ros.State()); err != nil {
				r.Fatalf("what is stored does not stand: %v", err)
			}
		}
		for what, s := range map[string]*State{"at once": ros.State(), "reopened": open(t, st).State()} {
			if d := cmp.Diff(shown(t, model), shown(t, s)); d != "" || s.Revision() != model.revision {
				r.Fatalf("%s (-model +roster), revision %d of %d:\n%s", what, s.Revision(), model.revision, d)
			}
		}
		if st.FactHead() != model.revision {
			r.Fatalf("%d facts of %d changes", st.FactHead(), model.revision)
		}
	})
}

// failure is what a power failure at one moment would have left.
type failure struct {
	fs    *vfs.MemFS
	acked int // changes that had returned
}

// failures takes a power failure at every few writes to the disk.
type failures struct {
	disk *vfs.MemFS
	rng  *rand.Rand

	mu    sync.Mutex
	ops   int
	acked int
	taken []failure
}

// MaybeError implements errorfs.Injector.
func (f *failures) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ops++; f.ops%3 == 0 {
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: f.rng.IntN(3) * 50, RNG: f.rng}
		f.taken = append(f.taken, failure{f.disk.CrashClone(cfg), f.acked})
	}
	return nil
}

// String implements errorfs.Injector.
func (f *failures) String() string { return "power failures" }

func openDisk(t *testing.T, fs vfs.FS) store.Store {
	t.Helper()
	st, err := pebble.Open(pebble.Options{FS: fs, Dir: "store", MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// The power fails at sampled writes, with none, some and all of the unsynced data
// lost: what is found afterwards is the roster after some change, whole and with its
// fact, and every change that had returned is in it.
func TestChangesSurvivePowerFailures(t *testing.T) {
	for seed := range uint64(3) {
		f := &failures{disk: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(seed, 7))}
		st := openDisk(t, errorfs.Wrap(f.disk, f))
		r := open(t, st)
		history := [][]string{shown(t, r.State())}
		choose := rand.New(rand.NewPCG(seed, 8))
		for range 120 {
			s, err := r.Change(context.Background(), Change{
				Plan:  func(*State) (Edit, error) { return randomEdit(t, choose.IntN), nil },
				Check: func(_ context.Context, _, after *State) error { return stands(t, after) },
			})
			if err != nil {
				continue // refused
			}
			history = append(history, shown(t, s))
			f.mu.Lock()
			f.acked++
			f.mu.Unlock()
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if len(f.taken) < 20 || len(history) < 20 {
			t.Fatalf("only %d failures in %d changes", len(f.taken), len(history))
		}
		for i, c := range f.taken {
			checkFailure(t, fmt.Sprintf("seed %d, failure %d", seed, i), c, history)
		}
	}
}

func checkFailure(t *testing.T, what string, c failure, history [][]string) {
	t.Helper()
	st := openDisk(t, c.fs)
	defer st.Close()
	s := open(t, st).State()
	n := int(s.Revision())
	switch {
	case n < c.acked || n > c.acked+1:
		t.Errorf("%s: %d changes of %d that had returned", what, n, c.acked)
	case !cmp.Equal(shown(t, s), history[n]):
		t.Errorf("%s: after change %d (-then +now):\n%s", what, n, cmp.Diff(history[n], shown(t, s)))
	case int(st.FactHead()) != n:
		t.Errorf("%s: %d facts of %d changes", what, st.FactHead(), n)
	}
	if err := stands(t, s); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
