package accounts

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
)

// Who gets the address of somebody who left inherits nothing of what belongs to a person. Other rooms have their share in the
// act; where one has none to give, the address stays the former person's, and everybody else of the list is taken in.
func TestAnotherPersonInheritsNothing(t *testing.T) {
	ctx := context.Background()
	f, o := inOffice(t, laxLimits())
	alice, home, network := address(t, "alice@local.test"), home(), screen.Network(home().Remote)
	_, secret, err := f.AddApp(ctx, alice, AppPassword{Name: "phone", Scope: ScopeAll}, nothingTold1)
	if err != nil {
		t.Fatal(err)
	}
	in := func() Rule { return f.rule("alice@local.test", secret, home) }
	if in() != RuleSignedIn || !f.knows(alice.Key(), network) || len(f.LastUsed(alice)) != 1 {
		t.Fatal("she has no past")
	}
	before, _ := f.Lookup(alice)
	f.clock.advance(24 * time.Hour)
	l := listing(t, "alice", "carol", "dave")
	l.People[0].Entry = "entry-of-another"
	fails := errors.New("not now")
	var asked []string
	l.Replaced = func(a mail.Address) []store.Planner {
		asked = append(asked, a.String())
		return []store.Planner{func(context.Context) (store.Share, error) {
			return store.Share{Mutations: []store.Mutation{{Key: []byte("x/share"), Value: []byte(a.String())}}}, fails
		}}
	}
	if _, err := f.Adopt(ctx, l, func(mail.Address, string) [][]byte { return nil }); !errors.Is(err, fails) {
		t.Errorf("%v", err)
	}
	if a, _ := f.Lookup(alice); a != before || in() != RuleSignedIn || !f.knows(alice.Key(), network) {
		t.Errorf("half of it was done: %+v", a)
	}
	if _, ok := f.Lookup(address(t, "dave@local.test")); !ok {
		t.Error("nobody else comes")
	}
	fails = nil
	if done, told := f.adopt(t, l); done.Changed != 1 || len(told) != 1 || told[0] != "alice@local.test: "+ListedOther {
		t.Errorf("%+v, %q", done, told)
	}
	share, err := f.st.Get(ctx, []byte("x/share"))
	if err != nil || string(share) != "alice@local.test" || !slices.Equal(asked, []string{"alice@local.test", "alice@local.test"}) {
		t.Errorf("%q, %v; asked for %q", share, err, asked)
	}
	a, _ := f.Lookup(alice)
	if a.Revision == before.Revision || a.PasswordRevision != a.Revision || a.PasswordChanged != a.Created || a.Created.Sub(before.Created) < 24*time.Hour {
		t.Errorf("%+v", a)
	}
	again := open(t, f.st, Options{Limits: laxLimits(), Elsewhere: o})
	for _, f := range []*fixture{f, again} {
		if f.knows(alice.Key(), network) || len(f.LastUsed(alice)) != 0 || f.rule("alice@local.test", secret, peerAt("198.51.100.7")) == RuleSignedIn {
			t.Error("another person inherits")
		}
	}
	if _, told := f.adopt(t, l); len(told) != 0 || len(asked) != 2 {
		t.Errorf("the same again: %q, asked for %q", told, asked)
	}
	// Frozen, it has the date of what it was frozen for.
	if _, err := f.Freeze(ctx, alice, "misuse", nil); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(24 * time.Hour)
	l.People[0].Entry = "entry-of-a-third"
	f.adopt(t, l)
	if now, _ := f.Lookup(alice); now.Created != a.Created || now.Standing != StandingFrozen || now.PasswordRevision == a.PasswordRevision {
		t.Errorf("%+v", now)
	}
}
