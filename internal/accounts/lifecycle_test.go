package accounts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

func TestAccountsAreKept(t *testing.T) {
	ctx := context.Background()
	f := withAlice(t, laxLimits())
	alice := address(t, "alice@local.test")
	if _, err := f.SetSending(ctx, alice, Sending{Role: RoleBulk}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Freeze(ctx, address(t, "bob@local.test"), "gone fishing", nil); err != nil {
		t.Fatal(err)
	}
	again := open(t, f.st, Options{Limits: laxLimits()})
	for _, g := range []*fixture{f, again} {
		list, err := g.List(ctx)
		if err != nil || len(list) != 2 {
			t.Fatalf("%v %v", list, err)
		}
		a, b := list[0], list[1]
		if a.Address != alice || a.Role != RoleBulk || a.Standing != StandingActive || a.Revision != 3 || !a.Created.Equal(f.clock.Now()) || a.PasswordChanged != a.Created {
			t.Errorf("alice: %+v", a)
		}
		if b.Standing != StandingFrozen || b.FrozenReason != "gone fishing" || b.Role != RolePerson || b.Revision != 4 {
			t.Errorf("bob: %+v", b)
		}
		if got, err := g.Get(address(t, "ALICE@LOCAL.test")); err != nil || got != a {
			t.Errorf("%+v %v", got, err)
		}
		if err := g.signIn("alice@local.test", alicePassword, home()); err != nil {
			t.Error(err)
		}
	}
	text, err := json.Marshal(mustGet(t, f, "bob@local.test"))
	want := `{"address":"bob@local.test","standing":"frozen","frozen_reason":"gone fishing","role":"person","created":"2026-01-02T03:04:05Z","password_changed":"2026-01-02T03:04:05Z","password_revision":2,"sign_in":"any","revision":4}`
	if err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
}

func mustGet(t *testing.T, f *fixture, who string) Account {
	t.Helper()
	a, err := f.Get(address(t, who))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestChangesThatAreRefused(t *testing.T) {
	ctx := context.Background()
	l := laxLimits()
	l.Accounts = 3
	f := withAlice(t, l)
	alice, nobody := address(t, "alice@local.test"), address(t, "nobody@local.test")
	add := func(who, password string, role Role) error {
		_, err := f.Add(ctx, address(t, who), password, Sending{Role: role}, nil)
		return err
	}
	second := func(_ Account, err error) error { return err }
	for name, c := range map[string]struct{ got, want error }{
		"add again":         {add("alice@local.test", "another password", RolePerson), ErrExists},
		"add folded":        {add("Alice@LOCAL.test", "another password", RolePerson), ErrExists},
		"no role":           {add("carol@local.test", "another password", RoleUnknown), ErrInvalid},
		"odd role":          {add("carol@local.test", "another password", Role(9)), ErrInvalid},
		"literal":           {add("carol@[127.0.0.1]", "another password", RolePerson), ErrInvalid},
		"no address":        {second(f.Add(ctx, mail.Address{}, "another password", Sending{Role: RolePerson}, nil)), ErrInvalid},
		"empty password":    {add("carol@local.test", "", RolePerson), ErrPassword},
		"short password":    {add("carol@local.test", "seven77", RolePerson), ErrPassword},
		"short in NFC":      {add("carol@local.test", "e\u0301e\u0301e\u0301e\u0301", RolePerson), ErrPassword},
		"long password":     {add("carol@local.test", strings.Repeat("x", 1025), RolePerson), ErrPassword},
		"NUL in password":   {add("carol@local.test", "pass\x00word", RolePerson), ErrPassword},
		"line in password":  {add("carol@local.test", "password\r\n", RolePerson), ErrPassword},
		"no UTF-8":          {add("carol@local.test", "password\xff", RolePerson), ErrPassword},
		"the address":       {add("carol@local.test", "Carol@Local.Test", RolePerson), ErrPassword},
		"a common one":      {add("carol@local.test", "password1", RolePerson), ErrPassword},
		"one letter":        {add("carol@local.test", "aaaaaaaaaaaa", RolePerson), ErrPassword},
		"its domain":        {add("carol@local.test", "local.test.2026", RolePerson), ErrPassword},
		"the local-part":    {add("caroline@local.test", "CAROLINE", RolePerson), ErrPassword},
		"set short":         {second(f.SetPassword(ctx, alice, "short", nil)), ErrPassword},
		"set nobody":        {second(f.SetPassword(ctx, nobody, "another password", nil)), ErrNoSuch},
		"freeze nobody":     {second(f.Freeze(ctx, nobody, "x", nil)), ErrNoSuch},
		"freeze for naught": {second(f.Freeze(ctx, alice, "", nil)), ErrInvalid},
		"freeze at length":  {second(f.Freeze(ctx, alice, strings.Repeat("x", 513), nil)), ErrInvalid},
		"thaw nobody":       {second(f.Thaw(ctx, nobody, nil)), ErrNoSuch},
		"role of nobody":    {second(f.SetSending(ctx, nobody, Sending{Role: RoleBulk}, nil)), ErrNoSuch},
		"no role at all":    {second(f.SetSending(ctx, alice, Sending{Role: RoleUnknown}, nil)), ErrInvalid},
		"remove nobody":     {f.Remove(ctx, nobody, nil), ErrNoSuch},
		"get nobody":        {second(f.Get(nobody)), ErrNoSuch},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	f.add(t, "carol@local.test", "another password")
	if err := add("dave@local.test", "another password", RolePerson); !errors.Is(err, ErrFull) {
		t.Errorf("a fourth account: %v", err)
	}
	if f.st.FactHead() != 0 {
		t.Error("a refused change left facts")
	}
}

// Facts are committed with the change, and only with it.
func TestFactsGoWithTheChange(t *testing.T) {
	ctx := context.Background()
	f := fresh(t, laxLimits())
	a := address(t, "alice@local.test")
	fact := func(s string) [][]byte { return [][]byte{[]byte(s)} }
	steps := []func() error{
		func() error {
			_, err := f.Add(ctx, a, "a password", Sending{Role: RolePerson}, fact("add"))
			return err
		},
		func() error { _, err := f.SetPassword(ctx, a, "b password", fact("password")); return err },
		func() error { _, err := f.Freeze(ctx, a, "why not", fact("freeze")); return err },
		func() error { _, err := f.Thaw(ctx, a, fact("thaw")); return err },
		func() error { _, err := f.SetSending(ctx, a, Sending{Role: RoleBulk}, fact("role")); return err },
		func() error { return f.Remove(ctx, a, fact("remove")) },
	}
	for _, s := range steps {
		if err := s(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Freeze(ctx, a, "not there", fact("lie")); err == nil {
		t.Error("froze nobody")
	}
	var got []string
	err := f.st.Facts(ctx, 1, 100, func(_ uint64, b []byte) (bool, error) { got = append(got, string(b)); return true, nil })
	if err != nil || strings.Join(got, " ") != "add password freeze thaw role remove" {
		t.Errorf("%v %v", got, err)
	}
}

// Nothing of the password, prepared or not, is anywhere in the store or the log.
func TestThePasswordIsNowhere(t *testing.T) {
	f := withAlice(t, laxLimits())
	f.signIn("alice@local.test", alicePassword, home())
	f.signIn("alice@local.test", "wrong "+alicePassword, home())
	err := f.st.Scan(context.Background(), store.Range{}, func(k, v []byte) (bool, error) {
		if bytes.Contains(v, []byte("wonderland")) || bytes.Contains(k, []byte("wonderland")) {
			t.Errorf("%s holds the password", k)
		}
		if !bytes.HasPrefix(k, []byte(prefixAll)) {
			t.Errorf("%q is not a key of identity", k)
		}
		return true, nil
	})
	if err != nil || strings.Contains(f.log.String(), "wonderland") {
		t.Errorf("%v %s", err, f.log)
	}
}

func TestWatch(t *testing.T) {
	ctx := context.Background()
	f := withAlice(t, laxLimits())
	drain := func() bool {
		select {
		case <-f.Watch():
			return true
		default:
			return false
		}
	}
	if !drain() || drain() {
		t.Error("two added accounts wake once")
	}
	f.signIn("alice@local.test", alicePassword, home())
	if drain() {
		t.Error("a sign-in wakes")
	}
	f.Freeze(ctx, address(t, "alice@local.test"), "x", nil)
	if !drain() {
		t.Error("a freeze does not wake")
	}
	f.Remove(ctx, address(t, "alice@local.test"), nil)
	if !drain() {
		t.Error("a removal does not wake")
	}
}

// Another node's changes arrive through the store.
func TestRunFollowsOthers(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	here := withAlice(t, laxLimits())
	there := open(t, here.st, Options{Limits: laxLimits()})
	ended := make(chan error, 1)
	go func() { ended <- here.Run(ctx) }()
	alice, bob := address(t, "alice@local.test"), address(t, "bob@local.test")
	if err := here.signIn("alice@local.test", alicePassword, home()); err != nil {
		t.Fatal(err)
	}
	there.Freeze(ctx, alice, "seen over there", nil)
	there.Remove(ctx, bob, nil)
	there.add(t, "carol@local.test", "another password")
	await(t, func() bool {
		a, _ := here.Lookup(alice)
		_, hasBob := here.Lookup(bob)
		_, hasCarol := here.Lookup(address(t, "carol@local.test"))
		return a.Standing == StandingFrozen && !hasBob && hasCarol
	})
	wantFailure(t, "frozen elsewhere", here.signIn("alice@local.test", alicePassword, home()), ErrBadCredentials, RuleNotActive)
	here.add(t, "dave@local.test", "another password") // conflicts with nothing, though there knows nothing of it
	there.add(t, "erin@local.test", "another password")
	await(t, func() bool { _, ok := here.Lookup(address(t, "erin@local.test")); return ok })
	if n := here.count.Load(); n != 4 {
		t.Errorf("%d accounts, want 4", n)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("it never came true")
}

// Two nodes change accounts at the same time: every change is made once, under a
// revision of its own.
func TestConcurrentChanges(t *testing.T) {
	ctx := context.Background()
	st := mem.New()
	nodes := []*fixture{open(t, st, Options{Limits: laxLimits()}), open(t, st, Options{Limits: laxLimits()})}
	var wg sync.WaitGroup
	var mu sync.Mutex
	revisions := map[uint64]string{}
	for n := range 40 {
		wg.Go(func() {
			a := address(t, fmt.Sprintf("user%d@local.test", n/2))
			acc, err := nodes[n%2].Add(ctx, a, "some password", Sending{Role: RolePerson}, nil)
			if errors.Is(err, ErrExists) || errors.Is(err, store.ErrConflict) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil || revisions[acc.Revision] != "" {
				t.Errorf("%v: %v, revision %d was also %q", a, err, acc.Revision, revisions[acc.Revision])
			}
			revisions[acc.Revision] = a.String()
		})
	}
	wg.Wait()
	all := open(t, st, Options{Limits: laxLimits()})
	if list, _ := all.List(ctx); len(list) != len(revisions) || len(list) < 20 {
		t.Errorf("%d accounts, %d revisions", len(list), len(revisions))
	}
}

// While a password changes over and over, an old one never signs in after the
// change has returned, and the new one always does.
func TestChangesBesideSignIns(t *testing.T) {
	ctx := context.Background()
	l := laxLimits()
	l.HashQueue, l.HashAtOnce = 1000, 2
	f := fresh(t, l)
	f.add(t, "alice@local.test", "the word no. 0")
	alice := address(t, "alice@local.test")
	var settled atomic.Int64 // the change that has certainly returned
	var wg sync.WaitGroup
	done := make(chan struct{})
	for n := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				k := settled.Load()
				if n%2 == 0 && k > 0 {
					if f.signIn("alice@local.test", fmt.Sprintf("the word no. %d", k-1), peerN(n)) == nil {
						t.Errorf("password %d signs in after password %d was set", k-1, k)
					}
				} else if err := f.signIn("alice@local.test", fmt.Sprintf("the word no. %d", k), peerN(n)); err != nil && settled.Load() == k && mustBe(f, k) {
					t.Errorf("password %d: %v", k, err)
				}
			}
		})
	}
	for k := range 60 {
		if _, err := f.SetPassword(ctx, alice, fmt.Sprintf("the word no. %d", k+1), nil); err != nil {
			t.Error(err)
			break
		}
		settled.Store(int64(k + 1))
		time.Sleep(time.Millisecond)
	}
	close(done)
	wg.Wait()
	if err := f.signIn("alice@local.test", "the word no. 60", home()); err != nil {
		t.Error(err)
	}
}

// mustBe reports whether password k must still be valid: no later change began.
func mustBe(f *fixture, k int64) bool {
	a, _ := f.Lookup(mustParse("alice@local.test"))
	return a.PasswordRevision == uint64(k)+1 && len(f.write) == 0
}

func mustParse(s string) mail.Address {
	a, _ := mail.ParseAddress(s, mail.UTF8)
	return a
}

func TestKnownNetworks(t *testing.T) {
	ctx := context.Background()
	l := laxLimits()
	l.KnownNetworks = 3
	f := withAlice(t, l)
	known := func(f *fixture, n int) bool { return f.guessOf("alice@local.test", nil, peerN(n)).Known }
	for n := range 5 {
		if known(f, n) {
			t.Errorf("network %d is known before", n)
		}
		if err := f.signIn("alice@local.test", alicePassword, peerN(n)); err != nil {
			t.Fatal(err)
		}
		f.clock.advance(time.Minute)
	}
	for n, want := range []bool{false, false, true, true, true} {
		if known(f, n) != want {
			t.Errorf("network %d known: %v", n, !want)
		}
	}
	again := open(t, f.st, Options{Limits: l})
	again.clock.advance(time.Hour)
	if known(again, 1) || !known(again, 4) {
		t.Error("known networks are not as they were before the restart")
	}
	if f.guessOf("bob@local.test", nil, peerN(4)).Known {
		t.Error("alice's network is known to bob")
	}
	f.signIn("alice@local.test", "wrong", peerN(7))
	if known(f, 7) {
		t.Error("a wrong password makes a network known")
	}
	f.o.Age = func(time.Time) time.Duration { return 0 }
	f.clock.advance(l.KnownFor)
	if err := f.signIn("alice@local.test", alicePassword, peerN(5)); err != nil || !known(f, 4) {
		t.Error("a clock that is set ahead makes networks unknown")
	}
	f.o.Age = func(at time.Time) time.Duration { return f.clock.Now().Sub(at) }
	if known(f, 4) {
		t.Error("known for ever")
	}
	if err := f.Remove(ctx, address(t, "alice@local.test"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.st.Get(ctx, networksKey("alice@local.test")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("networks of a removed account: %v", err)
	}
}

// The trace tells a first sign-in from a network from the later ones.
func TestAttemptTellsWhetherTheNetworkWasKnown(t *testing.T) {
	f := withAlice(t, laxLimits())
	for n, mech := range []string{MechPlain, MechLogin, MechScram} {
		p := peerN(n)
		for _, want := range []bool{false, true} {
			var x *Exchange
			switch mech {
			case MechPlain:
				_, x = say(f.Identity, p, mech, lines("\x00alice@local.test\x00"+alicePassword)...)
			case MechLogin:
				_, x = say(f.Identity, p, mech, lines("alice@local.test", alicePassword)...)
			default:
				x, _ = f.Begin(mech, p)
				converse(t, x, scramClient(t, "alice@local.test", alicePassword).NewConversation())
			}
			if a := x.Attempt(); a.Known != want || a.Rule != RuleSignedIn {
				t.Errorf("%s: %+v, want known %v", mech, a, want)
			}
		}
	}
}

// A second sign-in of the day writes nothing.
func TestKnownNetworksAreWrittenSeldom(t *testing.T) {
	f := withAlice(t, laxLimits())
	writes := 0
	for hour := range 49 {
		before, _ := f.st.Get(context.Background(), networksKey("alice@local.test"))
		if err := f.signIn("alice@local.test", alicePassword, home()); err != nil {
			t.Fatal(hour, err)
		}
		if after, _ := f.st.Get(context.Background(), networksKey("alice@local.test")); !bytes.Equal(before, after) {
			writes++
		}
		f.clock.advance(time.Hour)
	}
	if writes != 3 {
		t.Errorf("%d writes in 49 hours, want 3", writes)
	}
}

func TestWordsReadBack(t *testing.T) {
	for n := range 256 {
		s, r := Standing(n), Role(n)
		var s2 Standing
		var r2 Role
		if err := s2.UnmarshalText([]byte(s.String())); err != nil || n <= int(StandingDisputed) && s2 != s || n > int(StandingDisputed) && s2 != StandingUnknown {
			t.Errorf("standing %d: %v %v", n, s2, err)
		}
		if err := r2.UnmarshalText([]byte(r.String())); err != nil || n <= int(RoleBulk) && r2 != r || n > int(RoleBulk) && r2 != RoleUnknown {
			t.Errorf("role %d: %v %v", n, r2, err)
		}
	}
	for _, in := range []string{"", "Active", "unknown ", "bulk", "person\x00"} {
		var s Standing
		if s.UnmarshalText([]byte(in)) == nil {
			t.Errorf("standing %q", in)
		}
	}
	for _, in := range []string{"", "unknown", "Bulk", "active"} {
		if _, err := ParseRole(in); err == nil {
			t.Errorf("role %q", in)
		}
	}
}
