package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/store/pebble"
	"sallyport/test/operator"
)

// outages takes a power failure at every write to the disk while it is armed, with none,
// some or all of the unsynced data lost.
type outages struct {
	disk *vfs.MemFS
	rng  *rand.Rand

	mu    sync.Mutex
	armed bool
	taken []*vfs.MemFS
}

// MaybeError implements errorfs.Injector.
func (o *outages) MaybeError(op errorfs.Op) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		for _, percent := range []int{0, 50, 100} {
			o.taken = append(o.taken, o.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: o.rng}))
		}
	}
	return nil
}

// String implements errorfs.Injector.
func (o *outages) String() string { return "outages" }

// during returns what power failures during an action would have left.
func (o *outages) during(act func()) []*vfs.MemFS {
	set := func(armed bool) { o.mu.Lock(); defer o.mu.Unlock(); o.armed = armed }
	o.taken = nil
	set(true)
	act()
	// What is written lazily reaches the disk a little later.
	time.Sleep(20 * time.Millisecond)
	set(false)
	return o.taken
}

func openPebble(t *testing.T, fs vfs.FS) store.Store {
	t.Helper()
	st, err := pebble.Open(pebble.Options{FS: fs, Dir: "store", MinFree: 1, LazyTime: 5 * time.Millisecond})
	operator.Check(t, err)
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// recorded reports whether the trace of the store has a fact about alice with a text.
func recorded(t *testing.T, st store.Store, text string) bool {
	t.Helper()
	found := false
	operator.Check(t, st.Facts(t.Context(), 1, st.FactHead()+1, func(_ uint64, b []byte) (bool, error) {
		f, err := fact.Decode(b)
		found = found || err == nil && f.Account == "alice@local.test" && f.Text == text
		return true, err
	}))
	return found
}

// shape is the standing of alice, of her queue and of her rights, with what is told of it.
type shape struct {
	standing     string // "" when there is no account
	hour         int
	queue        string // why her queue is held, or each of her messages
	rights       int
	frozen, hold bool
	thawed       bool
	gone         bool
	incident     string // the state of the first one
	told         bool   // that it was raised
}

func shapeOf(w *operator.World, t *testing.T, st store.Store) shape {
	t.Helper()
	alice := operator.Address(t, "alice@local.test")
	s := shape{
		frozen: recorded(t, st, "frozen"), hold: recorded(t, st, "the account's queue"), thawed: recorded(t, st, "thawed"), gone: recorded(t, st, "removed"),
		rights: len(w.Roster.State().Forwards()), told: recorded(t, st, "incident 1 raised"),
	}
	if i, err := w.Options.Incidents.Log.Get(t.Context(), 1); err == nil {
		s.incident = i.State.String()
		_, open, err := w.Options.Incidents.Log.Open(t.Context(), alice)
		if err != nil || open != (i.State == incident.StateOpen) {
			t.Errorf("incident %s, open: %v, %v", i.State, open, err)
		}
	}
	if a, ok := w.Identity.Lookup(alice); ok {
		s.standing, s.hour = a.Standing.String(), a.RecipientsHour
	}
	s.queue, _ = w.Spool.AccountHeld(alice)
	if s.queue == "" {
		operator.Check(t, w.Spool.List(t.Context(), spool.Filter{Account: alice}, func(e spool.Entry) (bool, error) {
			s.queue = e.Held
			return true, nil
		}))
	}
	return s
}

// The power fails at every write of what contains an account, or frees it: afterwards
// all of it has happened or nothing, in the accounts, in the queue and in the trace.
func TestContainmentIsOneAct(t *testing.T) {
	self, alice := operate.Self(), operate.AccountRef{Address: "alice@local.test"}
	add := operate.AccountAdd{Address: alice.Address, Password: "a long password", Role: "person", RecipientsHour: 7}
	free := shape{standing: "active", rights: 1, hour: 7}
	frozen := shape{standing: "frozen", queue: "leak", rights: 1, hour: 7, frozen: true, hold: true, incident: "open", told: true}
	thawed := shape{standing: "active", rights: 1, hour: 7, frozen: true, hold: true, thawed: true, incident: "released", told: true}
	gone := shape{queue: "its account was removed", gone: true}
	freeze := func(w *operator.World) error {
		_, err := w.AccountFreeze(t.Context(), self, operate.AccountReason{Address: alice.Address, Reason: "leak"})
		return err
	}
	for name, c := range map[string]struct {
		before, act   func(w *operator.World) error
		first, second shape
	}{
		"freeze": {nil, freeze, free, frozen},
		"thaw": {freeze, func(w *operator.World) error {
			_, err := w.AccountThaw(t.Context(), self, alice)
			return err
		}, frozen, thawed},
		"remove": {nil, func(w *operator.World) error {
			_, err := w.AccountRemove(t.Context(), self, alice)
			return err
		}, free, gone},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outages{disk: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(1, 2))}
			w := operator.On(t, openPebble(t, errorfs.Wrap(o.disk, o)))
			_, err := w.AccountAdd(t.Context(), self, add)
			operator.Check(t, err)
			_, err = w.ForwardAdd(t.Context(), self, operate.ForwardAdd{Account: alice.Address, Targets: []string{"a@remote.test"}})
			operator.Check(t, err)
			id := w.Put(t, alice.Address)
			if c.before != nil {
				operator.Check(t, c.before(w))
			}
			left := o.during(func() { operator.Check(t, c.act(w)) })
			if len(left) < 3 {
				t.Fatalf("only %d failures", len(left))
			}
			found := map[shape]int{}
			for i, fs := range left {
				st := openPebble(t, fs)
				after := operator.On(t, st)
				s := shapeOf(after, t, st)
				found[s]++
				if s != c.first && s != c.second {
					t.Fatalf("failure %d of %d left %+v", i, len(left), s)
				}
				if s == c.second && s.queue != "" {
					wantKept(after, t, id)
				}
				if s.standing == "" {
					wantNoHeir(after, t, id, add)
				}
				operator.Check(t, st.Close())
			}
			if found[c.first] == 0 || found[c.second] == 0 {
				t.Errorf("no failure fell on both sides: %v", found)
			}
		})
	}
}

// wantKept demands that a message cannot leave.
func wantKept(w *operator.World, t *testing.T, id mail.ID) {
	t.Helper()
	if _, err := w.Spool.Claim(t.Context(), id, "test", time.Minute, time.Now().Add(24*time.Hour)); !errors.Is(err, spool.ErrHeld) {
		t.Errorf("a message of a contained account is claimed: %v", err)
	}
}

// wantNoHeir demands that a namesake of a removed account gets neither its rights nor its
// mail, however far the removal came.
func wantNoHeir(w *operator.World, t *testing.T, id mail.ID, add operate.AccountAdd) {
	t.Helper()
	a, err := w.AccountAdd(t.Context(), operate.Self(), add)
	operator.Check(t, err)
	e, err := w.Spool.Get(t.Context(), id)
	operator.Check(t, err)
	if a.QueueHeld != "" || e.Held != "its account was removed" || e.Parked() || len(w.Roster.State().Forwards()) != 0 {
		t.Errorf("the namesake is %+v, the old message %q", a, e.Held)
	}
	wantKept(w, t, id)
}

// An account that is added takes nothing of a namesake over and has its limits at once.
func TestAnAccountIsAddedInOneAct(t *testing.T) {
	o := &outages{disk: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(3, 4))}
	w := operator.On(t, openPebble(t, errorfs.Wrap(o.disk, o)))
	self := operate.Self()
	w.Account(t, "alice@local.test")
	_, err := w.ForwardAdd(t.Context(), self, operate.ForwardAdd{Account: "alice@local.test", Targets: []string{"a@remote.test"}})
	operator.Check(t, err)
	// An account that went without its command left its forward behind.
	operator.Check(t, w.Identity.Remove(t.Context(), operator.Address(t, "alice@local.test"), nil))
	left := o.during(func() {
		_, err := w.AccountAdd(t.Context(), self, operate.AccountAdd{Address: "alice@local.test", Password: "a long password", Role: "bulk", RecipientsDay: 9})
		operator.Check(t, err)
	})
	found := map[string]int{}
	for _, fs := range left {
		st := openPebble(t, fs)
		after := operator.On(t, st)
		a, there := after.Identity.Lookup(operator.Address(t, "alice@local.test"))
		found[fmt.Sprintf("%v %s %d, %d forwards", there, a.Role, a.RecipientsDay, len(after.Roster.State().Forwards()))]++
		operator.Check(t, st.Close())
	}
	if len(found) != 2 || found["true bulk 9, 0 forwards"] == 0 {
		t.Errorf("found %v", found)
	}
}

// refusing is a store that refuses what it is told to.
type refusing struct {
	store.Store
	with atomic.Pointer[error]
	skip atomic.Int64 // how many it takes before
}

func (r *refusing) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if err := r.with.Load(); err != nil && r.skip.Add(-1) < 0 {
		return 0, *err
	}
	return r.Store.Apply(ctx, tx, d)
}

// What the store refuses has not happened anywhere, also in memory; what is in doubt
// holds until it is known.
func TestAFailedContainmentIsNone(t *testing.T) {
	for err, held := range map[error]bool{store.ErrUnavailable: false, store.ErrInDoubt: true} {
		r := &refusing{Store: mem.New()}
		w := operator.On(t, r)
		w.Account(t, "alice@local.test")
		alice := operator.Address(t, "alice@local.test")
		operator.Check(t, w.Spool.HoldAccount(t.Context(), operator.Address(t, "bob@local.test"), "before"))
		r.with.Store(&err)
		_, got := w.AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test"})
		if a, _ := w.Identity.Lookup(alice); !errors.Is(got, err) || a.Standing != accounts.StandingActive || len(w.Ended) != 0 {
			t.Errorf("%v: %v, %+v, sessions of %v ended", err, got, a, w.Ended)
		}
		if _, is := w.Spool.AccountHeld(alice); is != held {
			t.Errorf("%v: the queue is held: %v", err, is)
		}
		_ = w.Spool.HoldAccount(t.Context(), operator.Address(t, "bob@local.test"), "after")
		want := map[bool]string{false: "before", true: "after"}[held]
		if reason, _ := w.Spool.AccountHeld(operator.Address(t, "bob@local.test")); reason != want {
			t.Errorf("%v: bob's queue is held for %q", err, reason)
		}
	}
}

// A share that cannot be planned undoes the plans of the others.
func TestAShareThatFailsEndsAll(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test")
	alice := operator.Address(t, "alice@local.test")
	no := errors.New("no")
	fails := func(context.Context) (store.Share, error) { return store.Share{}, no }
	_, err := w.Identity.Freeze(t.Context(), alice, "leak", nil, w.Spool.Holding(alice, "leak"), fails)
	if a, _ := w.Identity.Lookup(alice); !errors.Is(err, no) || a.Standing != accounts.StandingActive {
		t.Errorf("%v, %+v", err, a)
	}
	if reason, held := w.Spool.AccountHeld(alice); held {
		t.Errorf("the queue is held for %q", reason)
	}
}

// A release that was committed and whose mail could not be made due says so, and is
// completed when it is repeated.
func TestAThawTellsWhatIsLeft(t *testing.T) {
	r := &refusing{Store: mem.New()}
	w := operator.On(t, r)
	w.Account(t, "alice@local.test")
	ref := operate.AccountRef{Address: "alice@local.test"}
	id := w.Put(t, ref.Address)
	_, err := w.AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: ref.Address})
	operator.Check(t, err)
	wantKept(w, t, id) // and set aside
	r.skip.Store(1)    // the thaw itself
	r.with.Store(&store.ErrUnavailable)
	_, err = w.AccountThaw(t.Context(), operate.Self(), ref)
	if err == nil || !strings.Contains(err.Error(), "repeat the command") {
		t.Fatalf("%v", err)
	}
	r.with.Store(nil)
	_, err = w.AccountThaw(t.Context(), operate.Self(), ref)
	operator.Check(t, err)
	if e, err := w.Spool.Get(t.Context(), id); err != nil || e.Parked() {
		t.Errorf("%+v, %v", e, err)
	}
}
