package accounts

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// A record that cannot be read refuses to act, is logged, still counts as an
// address, and can be removed; the others are not affected.
func TestDamagedRecords(t *testing.T) {
	ctx := context.Background()
	good := withAlice(t, laxLimits())
	whole, _ := good.st.Get(ctx, accountKey("alice@local.test"))
	edit := func(old, new string) []byte {
		if !bytes.Contains(whole, []byte(old)) {
			t.Fatalf("%s is not in %s", old, whole)
		}
		return bytes.Replace(whole, []byte(old), []byte(new), 1)
	}
	for name, value := range map[string][]byte{
		"empty":             {},
		"cut":               whole[:len(whole)/2],
		"another version":   edit(`"v":1`, `"v":2`),
		"unknown field":     edit(`"v":1`, `"v":1,"x":1`),
		"another address":   edit(`alice@local.test`, `bob@local.test`),
		"no standing":       edit(`"active"`, `"unknown"`),
		"odd standing":      edit(`"active"`, `"root"`),
		"no role":           edit(`"person"`, `"unknown"`),
		"no revision":       edit(`"revision":1`, `"revision":0`),
		"huge memory":       edit(`"m":64`, `"m":4294967295`),
		"no passes":         edit(`"t":1`, `"t":0`),
		"no lanes":          edit(`"p":1`, `"p":0`),
		"few rounds":        edit(`"i":4096`, `"i":1`),
		"empty hash":        edit(`"hash":"`, `"hash":"","x":"`),
		"trailing":          append(bytes.Clone(whole), '1'),
		"no hash at all":    []byte(`{"v":1,"address":"alice@local.test","standing":"active","role":"person","revision":1}`),
		"empty stored keys": edit(`"stored_key":"`, `"stored_key":"AAAA`),
	} {
		f := withAlice(t, laxLimits())
		if _, err := f.st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: accountKey("alice@local.test"), Value: value}}}, store.Durable); err != nil {
			t.Fatal(err)
		}
		g := open(t, f.st, Options{Limits: laxLimits()})
		a, ok := g.Lookup(address(t, "alice@local.test"))
		if !ok || a.Standing != StandingUnknown || !strings.Contains(g.log.String(), "alice@local.test") {
			t.Errorf("%s: %+v %v, log %s", name, a, ok, g.log)
		}
		for _, password := range []string{alicePassword, "", "x"} {
			if err := g.signIn("alice@local.test", password, home()); !errors.Is(err, ErrBadCredentials) {
				t.Errorf("%s: password %q: %v", name, password, err)
			}
		}
		if got := g.scram(t, "alice@local.test", alicePassword); got != bad535 {
			t.Errorf("%s: SCRAM %s", name, got)
		}
		if err := g.signIn("bob@local.test", "builder builder builder", home()); err != nil {
			t.Errorf("%s: bob: %v", name, err)
		}
		if _, err := g.Thaw(ctx, address(t, "alice@local.test"), nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: thawed: %v", name, err)
		}
		if err := g.Remove(ctx, address(t, "alice@local.test"), nil); err != nil {
			t.Errorf("%s: Remove: %v", name, err)
		}
		g.add(t, "alice@local.test", alicePassword)
	}
}

func TestDamagedHeads(t *testing.T) {
	for key, value := range map[string]string{keyDecoy: "short", keyRevision: "many"} {
		st := mem.New()
		st.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte(key), Value: []byte(value)}}}, store.Durable)
		if _, err := Open(context.Background(), st, Options{Limits: laxLimits()}); err == nil || !strings.Contains(err.Error(), "accounts") {
			t.Errorf("%s = %q: %v", key, value, err)
		}
	}
	st := mem.New()
	st.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: networksKey("alice@local.test"), Value: []byte("{")}}}, store.Durable)
	if f := open(t, st, Options{Limits: laxLimits()}); !strings.Contains(f.log.String(), "known networks") {
		t.Errorf("log: %s", f.log)
	}
}

// A password hashed at another cost is hashed anew when it is next given, so that
// decoys and accounts keep costing the same.
func TestOldHashesAreRenewed(t *testing.T) {
	f := withAlice(t, laxLimits())
	l := laxLimits()
	l.HashMemory, l.HashPasses, l.ScramRounds = 128, 2, minScramRounds+1
	g := open(t, f.st, Options{Limits: l})
	before := mustGet(t, g, "alice@local.test")
	wantFailure(t, "wrong", g.signIn("alice@local.test", "wrong", home()), ErrBadCredentials, RuleBadPassword)
	if g.record("alice@local.test").secret.cost() == l.cost() {
		t.Error("a wrong password renewed the hash")
	}
	for range 2 {
		if err := g.signIn("alice@local.test", alicePassword, home()); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, f.st, Options{Limits: l})
	if got := again.record("alice@local.test").secret.cost(); got != l.cost() {
		t.Errorf("cost %+v, want %+v", got, l.cost())
	}
	if after := mustGet(t, again, "alice@local.test"); after != before {
		t.Errorf("the renewal changed the account: %+v", after)
	}
	if err := again.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Error(err)
	}
	if got := again.scram(t, "alice@local.test", alicePassword); got != ok235 {
		t.Error(got)
	}
}

// faulty is a store whose disk can fail.
type faulty struct {
	store.Store
	broken atomic.Bool
}

func (s *faulty) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if s.broken.Load() {
		return 0, store.ErrUnavailable
	}
	return s.Store.Apply(ctx, tx, d)
}

// A full disk refuses changes and nothing else, and is survived.
func TestAFullDisk(t *testing.T) {
	ctx := context.Background()
	st := &faulty{Store: mem.New()}
	f := open(t, st, Options{Limits: laxLimits()})
	f.add(t, "alice@local.test", alicePassword)
	alice := address(t, "alice@local.test")
	st.broken.Store(true)
	if _, err := f.SetPassword(ctx, alice, "another password", nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("SetPassword: %v", err)
	}
	if _, err := f.Add(ctx, address(t, "bob@local.test"), "another password", Sending{Role: RolePerson}, nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Add: %v", err)
	}
	if _, ok := f.Lookup(address(t, "bob@local.test")); ok {
		t.Error("an account exists that was not stored")
	}
	if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Errorf("signing in needs the disk: %v", err)
	}
	st.broken.Store(false)
	if _, err := f.SetPassword(ctx, alice, "another password", nil); err != nil {
		t.Error(err)
	}
	wantFailure(t, "old password", f.signIn("alice@local.test", alicePassword, home()), ErrBadCredentials, RuleBadPassword)
}

func TestLimitsMustBeSet(t *testing.T) {
	for name, change := range map[string]func(*Limits){
		"nothing":   func(l *Limits) { *l = Limits{} },
		"accounts":  func(l *Limits) { l.Accounts = 0 },
		"wait":      func(l *Limits) { l.HashWait = -1 },
		"cache":     func(l *Limits) { l.CacheTTL = 0 },
		"memory":    func(l *Limits) { l.HashMemory = 7 },
		"passes":    func(l *Limits) { l.HashPasses = 0 },
		"rounds":    func(l *Limits) { l.ScramRounds = 4095 },
		"responses": func(l *Limits) { l.ResponseOctets = 0 },
	} {
		l := DefaultLimits()
		change(&l)
		if _, err := Open(context.Background(), mem.New(), Options{Limits: l}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if err := DefaultLimits().validate(); err != nil {
		t.Error(err)
	}
}
