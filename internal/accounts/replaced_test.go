package accounts

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sallyport/internal/budget"
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

// Who gets the address of somebody who left may send what anybody may: the role bulk and limits that were raised were given to a
// person. A lower limit stays.
func TestAnotherPersonSendsAsOthersDo(t *testing.T) {
	for name, c := range map[string]struct{ was, want Sending }{
		"a newsletter":   {Sending{Role: RoleBulk}, Sending{Role: RolePerson}},
		"raised limits":  {Sending{Role: RolePerson, RecipientsHour: 800, RecipientsDay: 2000}, Sending{Role: RolePerson}},
		"lower limits":   {Sending{Role: RolePerson, RecipientsHour: 20, RecipientsDay: 100}, Sending{Role: RolePerson, RecipientsHour: 20, RecipientsDay: 100}},
		"one of each":    {Sending{Role: RoleBulk, RecipientsHour: 800, RecipientsDay: 100}, Sending{Role: RolePerson, RecipientsDay: 100}},
		"nothing of all": {Sending{Role: RolePerson}, Sending{Role: RolePerson}},
	} {
		f, _ := inOffice(t, laxLimits())
		alice := address(t, "alice@local.test")
		if _, err := f.SetSending(t.Context(), alice, c.was, nil); err != nil {
			t.Fatal(err)
		}
		sends := func() Sending {
			a, _ := f.Lookup(alice)
			return Sending{a.Role, a.RecipientsHour, a.RecipientsDay}
		}
		l := listing(t, "alice", "carol")
		l.Person = budget.Limits{Hour: 300, Day: 1000}
		l.People[0].Sends = false
		f.adopt(t, l)
		if sends() != c.was {
			t.Errorf("%s: the same person loses it: %+v", name, sends())
		}
		l.People[0].Entry = "entry-of-another"
		f.adopt(t, l)
		if sends() != c.want {
			t.Errorf("%s: another person may send %+v", name, sends())
		}
	}
}

// By what an address is another person's: by what names entries for good, unless the list before went by another attribute; and
// where nothing does, by the entry's own name among its neighbours.
func TestWhoIsAnotherEntry(t *testing.T) {
	const base = ",ou=people,dc=local,dc=test"
	for name, c := range map[string]struct {
		was, is      Listed
		unlike, want bool
	}{
		"another value":                       {Listed{Entry: "1"}, Listed{Entry: "2"}, false, true},
		"the same value":                      {Listed{Entry: "1", DN: "uid=a" + base}, Listed{Entry: "1", DN: "uid=b" + base}, false, false},
		"values of two attributes":            {Listed{Entry: "1"}, Listed{Entry: "2"}, true, false},
		"no value any more":                   {Listed{Entry: "1", DN: "uid=a" + base}, Listed{DN: "uid=b" + base}, false, false},
		"a value for the first time":          {Listed{DN: "uid=a" + base}, Listed{Entry: "1", DN: "uid=a" + base}, false, false},
		"another name":                        {Listed{DN: "uid=a" + base}, Listed{DN: "uid=b" + base}, false, true},
		"the same name, in another unit":      {Listed{DN: "uid=a" + base}, Listed{DN: "uid=a,ou=alumni,dc=local,dc=test"}, false, false},
		"the same name, written otherwise":    {Listed{DN: "uid=a" + base}, Listed{DN: "UID=A, OU=people,dc=local,dc=test"}, false, false},
		"the same name, with a comma in it":   {Listed{DN: `cn=Adams\, A` + base}, Listed{DN: `cn=Adams\, A,ou=alumni`}, false, false},
		"another name, with a comma in it":    {Listed{DN: `cn=Adams\, A` + base}, Listed{DN: `cn=Adams\, B` + base}, false, true},
		"another name, by another attribute":  {Listed{DN: "uid=a" + base}, Listed{DN: "uid=b" + base}, true, true},
		"no name that was noted at that time": {Listed{}, Listed{DN: "uid=b" + base}, false, false},
	} {
		l := Listing{Directory: "office", Unlike: c.unlike}
		r := &record{Account: Account{Source: Source{Directory: "office", Entry: c.was.Entry, DN: c.was.DN}}}
		if got := l.change(r, &c.is) == ListedOther; got != c.want {
			t.Errorf("%s: it is another one: %v", name, got)
		}
	}
}
