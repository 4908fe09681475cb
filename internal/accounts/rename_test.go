package accounts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
)

func (f *fixture) rename(from, to string, with ...store.Planner) (Account, error) {
	ctx := context.Background()
	a, err := mail.ParseAddress(from, mail.UTF8)
	if err != nil {
		return Account{}, err
	}
	b, err := mail.ParseAddress(to, mail.UTF8)
	if err != nil {
		return Account{}, err
	}
	return f.Rename(ctx, a, b, nil, with...)
}

// Everything with which an account signs in is good under its new address and nothing under the
// old one, also after a restart; whoever gets the old address has none of it, and a higher
// revision than any session of before.
func TestRename(t *testing.T) {
	f := withAlice(t, cheapLimits())
	ctx, alice, smith := context.Background(), address(t, "alice@local.test"), address(t, "smith@local.test")
	leaf := leafOf(t, f.clock.Now(), nil)
	f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: leaf})
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Fatal(err)
	}
	before, _ := f.Lookup(alice)
	used := f.LastUsed(alice)
	f.clock.advance(time.Minute)
	now := f.clock.Now()
	after, err := f.rename("Alice@local.test", "smith@local.test")
	if err != nil {
		t.Fatal(err)
	}
	if after.Revision <= before.Revision || after.PasswordRevision != before.PasswordRevision || !after.Created.Equal(before.Created) || !after.Named.Equal(now) {
		t.Errorf("%+v became %+v", before, after)
	}
	for name, g := range map[string]*fixture{"at once": f, "after a restart": {Identity: reopened(t, f), st: f.st, clock: f.clock, log: f.log}} {
		if err := g.signIn("alice@local.test", alicePassword, home()); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%s: the old address signs in: %v", name, err)
		}
		if err := g.signIn("smith@local.test", alicePassword, home()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := say(g.Identity, showing(t, leaf), MechExternal, []byte("smith@local.test")); got[:3] != "235" {
			t.Errorf("%s: the certificate: %s", name, got)
		}
		if !g.knows(smith.Key(), screen.Network(home().Remote)) || g.knows(alice.Key(), screen.Network(home().Remote)) {
			t.Errorf("%s: the known networks did not come along", name)
		}
		if got := g.LastUsed(smith); len(got) < len(used) || len(g.LastUsed(alice)) != 0 {
			t.Errorf("%s: uses %v of %v", name, got, used)
		}
		if n := g.Names(smith); len(n) != 1 || n[0].Address.Key() != alice.Key() || !n[0].Until.Equal(now) {
			t.Errorf("%s: names %v", name, n)
		}
		if m, err := g.Moves(ctx); err != nil || len(m) != 1 || m[0].From.Key() != alice.Key() || m[0].To != smith {
			t.Errorf("%s: moves %v, %v", name, m, err)
		}
	}
	heir := f.add(t, "alice@local.test", "another password altogether")
	if heir.Revision <= after.Revision || len(f.Names(alice)) != 0 || f.knows(alice.Key(), screen.Network(home().Remote)) {
		t.Errorf("the heir is %+v", heir)
	}
	if got, _ := say(f.Identity, showing(t, leaf), MechExternal, []byte("alice@local.test")); got[:3] != "535" {
		t.Errorf("the heir signs in with the certificate: %s", got)
	}
	if f.count.Load() != 3 {
		t.Errorf("%d accounts", f.count.Load())
	}
	if err := f.Moved(ctx, alice); err != nil {
		t.Fatal(err)
	}
	if m, err := f.Moves(ctx); err != nil || len(m) != 0 {
		t.Errorf("moves %v, %v", m, err)
	}
}

func reopened(t *testing.T, f *fixture) *Identity {
	t.Helper()
	id, err := Open(context.Background(), f.st, f.o)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// What must not be renamed is not, and nothing of it happens.
func TestRenameIsRefused(t *testing.T) {
	f := withAlice(t, cheapLimits())
	if _, err := f.Freeze(context.Background(), address(t, "bob@local.test"), "leak", nil); err != nil {
		t.Fatal(err)
	}
	before, _ := f.Lookup(address(t, "alice@local.test"))
	no := errors.New("no")
	for _, c := range []struct {
		from, to string
		want     error
		with     []store.Planner
	}{
		{"carol@local.test", "x@local.test", ErrNoSuch, nil},
		{"alice@local.test", "bob@local.test", ErrExists, nil},
		{"alice@local.test", "ALICE@local.test", ErrInvalid, nil},
		{"alice@local.test", "x@[192.0.2.1]", ErrInvalid, nil},
		{"bob@local.test", "x@local.test", ErrInvalid, nil},
		{"alice@local.test", "x@local.test", no, []store.Planner{func(context.Context) (store.Share, error) { return store.Share{}, no }}},
		{"alice@local.test", "x@local.test", ErrInvalid, []store.Planner{func(context.Context) (store.Share, error) {
			return store.Share{Mutations: []store.Mutation{{Key: accountKey("alice@local.test"), Value: []byte("{}")}}}, nil
		}}},
	} {
		if _, err := f.rename(c.from, c.to, c.with...); !errors.Is(err, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.from, c.to, err, c.want)
		}
	}
	if after, _ := f.Lookup(address(t, "alice@local.test")); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
}

// At no moment of a rename does a certificate belong to nobody: whoever keeps a list of revoked
// ones would list it for good.
func TestRenameRevokesNoCertificate(t *testing.T) {
	f := withAlice(t, cheapLimits())
	leaf := leafOf(t, f.clock.Now(), nil)
	f.enroll(t, "alice@local.test", Device{Name: "laptop", Certificate: leaf})
	key := keyOfCertificate(leaf).index()
	done := make(chan struct{})
	var looks sync.WaitGroup
	looks.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if h := f.Holding(key); h != HoldingGood {
				t.Errorf("the key is worth %v", h)
				return
			}
		}
	})
	name := "alice@local.test"
	for n := range 300 {
		next := fmt.Sprintf("alice%d@local.test", n)
		if _, err := f.rename(name, next); err != nil {
			t.Fatal(err)
		}
		name = next
	}
	close(done)
	looks.Wait()
	if n := f.Names(address(t, name)); len(n) != f.limits().FormerNames {
		t.Errorf("%d former names", len(n))
	}
}

// Mail goes to whoever was called so when it came: through several names, back to the first one,
// and past whoever has the name since.
func TestHolder(t *testing.T) {
	f := withAlice(t, cheapLimits())
	at := map[string]time.Time{}
	step := func(what string) { f.clock.advance(time.Hour); at[what] = f.clock.Now(); f.clock.advance(time.Hour) }
	rename := func(from, to string) {
		t.Helper()
		if _, err := f.rename(from+"@local.test", to+"@local.test"); err != nil {
			t.Fatal(err)
		}
	}
	step("alice is alice")
	rename("alice", "smith")
	step("alice is smith")
	f.add(t, "alice@local.test", "another password altogether")
	step("another is alice")
	rename("smith", "jones")
	step("alice is jones")
	rename("alice", "second")
	step("another is second")
	rename("jones", "alice")
	step("alice is alice again")
	for _, c := range []struct{ name, at, want string }{
		{"alice", "alice is alice", "alice"}, {"alice", "another is alice", "second"}, {"alice", "alice is jones", "second"},
		{"alice", "alice is alice again", "alice"}, {"smith", "alice is smith", "alice"}, {"smith", "alice is alice again", "smith"},
		{"jones", "alice is jones", "alice"}, {"bob", "alice is alice", "bob"}, {"nobody", "alice is alice", "nobody"},
	} {
		if got := f.Holder(address(t, c.name+"@local.test"), at[c.at]); got.Local() != c.want {
			t.Errorf("%s, when %s, is %s, want %s", c.name, c.at, got, c.want)
		}
	}
	renamed := f.Renamed()
	if len(renamed) != 2 || renamed[address(t, "smith@local.test")].Local() != "alice" || renamed[address(t, "jones@local.test")].Local() != "alice" {
		t.Errorf("renamed %v", renamed)
	}
}

// The address of an account that a directory keeps is the directory's.
func TestRenameLeavesDirectoriesAlone(t *testing.T) {
	f, _ := inOffice(t, cheapLimits())
	if _, err := f.rename("carol@local.test", "smith@local.test"); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := f.rename("printer@local.test", "copier@local.test"); err != nil {
		t.Error(err)
	}
}
