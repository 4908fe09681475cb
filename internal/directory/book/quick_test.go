package book

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// quick reports whether the next change is judged by what it touches.
func (b *Book) quick() bool {
	b.state.Lock()
	defer b.state.Unlock()
	return b.made.of(b.Entries(), b.o.Accounts.Changes())
}

func aliasOf(t testing.TB, name, to string) Change {
	at := func(s string) mail.Address {
		return parse(t, func(s string) (mail.Address, error) { return mail.ParseAddress(s, mail.ASCII) }, s)
	}
	e := roster.Alias{Alias: directory.Alias{Address: at(name), Targets: []mail.Address{at(to)}, Posting: directory.PostingAnyone}}
	return Change{Plan: func(*roster.State) (roster.Edit, error) { return roster.Edit{Put: []roster.Entry{e}}, nil }}
}

// While others follow the entries and read them from the store, as in a server, each change is
// judged by what it touches; and after one that only the whole could judge, the next is again.
func TestChangesStayQuick(t *testing.T) {
	b, _ := large(t, 5, 200, 20)
	go func() { _ = b.o.Roster.Run(t.Context()) }()
	go b.Follow(t.Context())
	for i := range 60 {
		if !b.quick() {
			t.Fatalf("change %d is judged as a whole", i)
		}
		if err := b.Change(t.Context(), aliasOf(t, "new"+string(rune('a'+i%26))+string(rune('a'+i/26))+"@d1.test", "u1@d1.test")); err != nil {
			t.Fatal(err)
		}
	}
	b.state.Lock()
	b.made = nil
	b.state.Unlock()
	if err := b.Change(t.Context(), aliasOf(t, "one.more@d1.test", "u1@d1.test")); err != nil || !b.quick() {
		t.Errorf("after one that was judged as a whole the next is too, %v", err)
	}
}

// Whose name with a detail a directory gives somebody else takes that back when he comes: the whole is judged then, and
// who has nothing to do with it is judged by himself.
func TestWhoseDetailWasGivenIsJudgedAsAWhole(t *testing.T) {
	at := func(s string) mail.Address {
		return parse(t, func(s string) (mail.Address, error) { return mail.ParseAddress(s, mail.ASCII) }, s)
	}
	mallory := at("mallory@d1.test")
	given := directory.Alias{Address: at("alice+bank@d1.test"), Targets: []mail.Address{mallory}, Posting: directory.PostingAnyone}
	cfg := directory.Config{Hostname: mallory.Domain(), Detail: '+', Postmaster: mallory, Domains: []directory.Domain{{Name: mallory.Domain(), Deliver: directory.DeliverMaildir}}, Aliases: []directory.Alias{given}}
	all := []mail.Address{mallory}
	for i := range 400 { // of whom everything is tried as some, whoever comes
		all = append(all, at(fmt.Sprintf("u%03d@d1.test", i)))
	}
	snapshot, err := directory.NewSnapshot(cfg, all)
	if err != nil {
		t.Fatal(err)
	}
	for name, quick := range map[string]bool{"alice": false, "bob": true} {
		m := *madeOf(Judged{Snapshot: snapshot, Config: cfg, Accounts: all}, Stated{further: []directory.Alias{given}}, nil, 0)
		if _, ok := m.with(directory.Change{Put: directory.Entries{Accounts: []mail.Address{at(name + "@d1.test")}}}); ok != quick {
			t.Errorf("%s is judged by himself: %v", name, ok)
		}
	}
}

// listed counts how often the accounts are listed: who judges the whole asks for them.
type listed struct {
	*people
	times int
}

func (l *listed) List(ctx context.Context) ([]accounts.Account, error) {
	l.times++
	return l.people.List(ctx)
}

// A rename, which changes entries and accounts in one act, is judged by what it touches; so is what
// comes after it; and who is renamed to somebody's alias is refused as ever.
func TestARenameIsQuick(t *testing.T) {
	b, p := large(t, 5, 200, 20)
	l := &listed{people: p}
	b.o.Accounts = l
	from := p.all[3].Address
	to := parse(t, func(s string) (mail.Address, error) { return mail.ParseAddress(s, mail.ASCII) }, "somebody.else@d2.test")
	r := Renaming{From: from, To: to, Detail: '+'}
	plan := Change{Accounts: r.Accounts, Plan: func(before *roster.State) (roster.Edit, error) {
		e := r.Edit(before)
		e.Put = append(e.Put, Alias(from, to))
		return e, nil
	}}
	taken := parse(t, func(s string) (mail.Address, error) { return mail.ParseAddress(s, mail.ASCII) }, "a1@d1.test")
	away := Renaming{From: from, To: taken, Detail: '+'}
	refused := Change{Accounts: away.Accounts, Plan: func(before *roster.State) (roster.Edit, error) { return away.Edit(before), nil }}
	if _, _, err := (store.Tx{}).With(t.Context(), b.Planned(refused)); err == nil || !b.quick() {
		t.Errorf("to an alias of somebody else's: %v", err)
	}
	l.times = 0
	_, done, err := store.Tx{}.With(t.Context(), b.Planned(plan))
	if err != nil || l.times != 0 {
		t.Fatalf("the accounts were listed %d times, %v", l.times, err)
	}
	for i, a := range p.all {
		if a.Address == from {
			p.all[i].Address = to
		}
	}
	slices.SortFunc(p.all, func(x, y accounts.Account) int { return compareKeys(x.Address, y.Address) })
	p.changes += 2
	if err := b.refresh(t.Context(), false); err != nil { // who follows the accounts sees them before the entries
		t.Fatal(err)
	}
	if err := done(nil); err != nil {
		t.Fatal(err)
	}
	l.times = 0
	if err := b.Publish(t.Context()); err != nil || !b.quick() || l.times > 1 {
		t.Errorf("after it changes are judged as a whole, %v", err)
	}
	if c := b.Snapshot().Classify(from); c.Rule != directory.RuleAlias || len(c.Mailboxes) != 1 || c.Mailboxes[0].Account != to {
		t.Errorf("its old address is %+v", c)
	}
}
