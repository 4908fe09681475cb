package book

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// Every kind of entry that names an account names it by its other address after the edit, and
// what belonged to somebody who had that address is gone.
func TestEveryEntryNamesARenamedAccount(t *testing.T) {
	w := newWorld(t, "alice@local.test", "bob@local.test", "dora@new.test")
	w.state()
	delegate := func(account, as string) roster.Delegate {
		return roster.Delegate{Delegate: directory.Delegate{Account: address(t, account), Address: address(t, as)}}
	}
	contact := func(account, at string) roster.Contact {
		return roster.Contact{Contact: directory.Contact{Account: address(t, account), Address: address(t, at), Former: []directory.FormerContact{{Address: address(t, "old@far.test")}}}}
	}
	forward := func(account, to string) roster.Forward {
		return roster.Forward{Forward: directory.Forward{Account: address(t, account), Targets: []mail.Address{address(t, to)}, Keep: true}}
	}
	check(t, w.put(false, roster.Domain{Name: domain(t, "new.test"), Deliver: "maildir", Postmaster: address(t, "Alice@local.test")}))
	check(t, w.put(false,
		roster.Alias{Alias: alias(t, "team@local.test", "bob@local.test", "ALICE@local.test", "alice+team@local.test")},
		roster.Alias{Alias: alias(t, "alice@local.test", "alice@local.test", "bob@local.test")},
		roster.Alias{Alias: alias(t, "smith@new.test", "alice@local.test")},
		roster.Alias{Alias: alias(t, "other@local.test", "bob@local.test")},
		roster.Alias{Alias: directory.Alias{CatchAll: domain(t, "new.test"), Targets: []mail.Address{address(t, "dora@new.test")}, Posting: directory.PostingAnyone}},
		forward("alice@local.test", "a@far.test"), forward("smith@new.test", "s@far.test"), forward("bob@local.test", "b@far.test"),
		delegate("alice@local.test", "bob@local.test"), delegate("bob@local.test", "alice@local.test"), delegate("bob@local.test", "alice+team@local.test"),
		delegate("alice@local.test", "smith@new.test"), delegate("dora@new.test", "smith@new.test"),
		contact("alice@local.test", "alice@far.test"),
	))
	r := Renaming{From: address(t, "alice@local.test"), To: address(t, "smith@new.test"), Detail: '+'}
	if !r.Replaces(w.Entries()) || (Renaming{From: r.From, To: address(t, "team@local.test")}).Replaces(w.Entries()) {
		t.Error("which alias gives way")
	}
	people := w.accountsOf(t)
	check(t, w.Change(t.Context(), Change{Accounts: r.Accounts, DryRun: true, Plan: func(s *roster.State) (roster.Edit, error) { return r.Edit(s), nil }}))
	after := w.edited(t, r.Edit(w.Entries()))
	want := []string{
		"domain new.test postmaster smith@new.test",
		"alias @new.test [dora@new.test]", "alias other@local.test [bob@local.test]", "alias smith@new.test [smith@new.test bob@local.test]", "alias team@local.test [bob@local.test smith@new.test smith+team@new.test]",
		"forward bob@local.test [b@far.test]", "forward smith@new.test [a@far.test]",
		"delegate bob@local.test smith+team@new.test", "delegate bob@local.test smith@new.test", "delegate smith@new.test bob@local.test",
		"contact smith@new.test alice@far.test 1",
	}
	if !slices.Equal(after, want) {
		t.Errorf("%q\nwant %q", after, want)
	}
	if got := r.Accounts(people); len(got) != len(people) || slices.Contains(got, r.From) || !slices.Contains(got, r.To) {
		t.Errorf("accounts %v", got)
	}
	for a, want := range map[string]bool{"alice@local.test": true, "Alice+x@local.test": true, "alice@new.test": false, "alice2@local.test": false, "bob@local.test": false} {
		if r.Names(address(t, a)) != want || (Renaming{From: r.From, To: r.To}).Names(address(t, a)) != (want && a != "Alice+x@local.test") {
			t.Errorf("%s is meant: %v", a, !want)
		}
	}
}

func (w *world) accountsOf(t *testing.T) []mail.Address {
	t.Helper()
	_, all, err := w.standing(t.Context(), w.Stated())
	check(t, err)
	return all
}

// edited is what an edit of the roster, without judgement of it, leaves.
func (w *world) edited(t *testing.T, e roster.Edit) (out []string) {
	t.Helper()
	s, err := w.o.Roster.Change(t.Context(), roster.Change{
		Plan:  func(*roster.State) (roster.Edit, error) { return e, nil },
		Check: func(context.Context, *roster.State, *roster.State) error { return nil },
	})
	check(t, err)
	for _, d := range s.Domains() {
		out = append(out, fmt.Sprint("domain ", d.Name, " postmaster ", d.Postmaster))
	}
	for _, a := range s.Aliases() {
		out = append(out, fmt.Sprint("alias ", a.Name(), " ", a.Targets))
	}
	for _, f := range s.Forwards() {
		out = append(out, fmt.Sprint("forward ", f.Account, " ", f.Targets))
	}
	for _, d := range s.Delegates() {
		out = append(out, fmt.Sprint("delegate ", d.Account, " ", d.Address))
	}
	for _, c := range s.Contacts() {
		out = append(out, fmt.Sprint("contact ", c.Account, " ", c.Address, " ", len(c.Former)))
	}
	return out
}

// A change is judged with the accounts that there will be: an account that would take the
// address of an alias is refused.
func TestAChangeIsJudgedWithTheAccountsToCome(t *testing.T) {
	w := newWorld(t, "alice@local.test")
	w.serving.Store(true)
	w.state()
	check(t, w.put(false, roster.Alias{Alias: alias(t, "team@local.test", "bob@local.test")}))
	plan := func(to string, become func(Renaming) func([]mail.Address) []mail.Address) error {
		r := Renaming{From: address(t, "alice@local.test"), To: address(t, to)}
		_, err := w.Planned(Change{Accounts: become(r), Plan: func(s *roster.State) (roster.Edit, error) { return r.Edit(s), nil }})(t.Context())
		return err
	}
	then := func(r Renaming) func([]mail.Address) []mail.Address { return r.Accounts }
	check(t, plan("smith@local.test", then))
	check(t, plan("team@local.test", func(Renaming) func([]mail.Address) []mail.Address { return nil }))
	var refused *Refused
	if err := plan("team@local.test", then); !errors.As(err, &refused) {
		t.Errorf("an account with the address of an alias stands: %v", err)
	}
}
