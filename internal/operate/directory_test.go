package operate

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// newBook is the book of a configuration that states one domain.
func newBook(t *testing.T, id *accounts.Identity, r *roster.Roster) *book.Book {
	t.Helper()
	stated := func(s directory.Subject) (string, bool) {
		return "conf:1:1", s == directory.Subject{Kind: directory.KindDomain, Name: "local.test"}
	}
	b := book.New(book.Options{Accounts: id, Roster: r, Serving: func() bool { return true }, Logger: slog.New(slog.DiscardHandler)})
	ours, host := hostname(t, "local.test"), hostname(t, "mx.local.test")
	next, err := b.Build(t.Context(), book.Stated{
		Config: directory.Config{
			Hostname: host, Domains: []directory.Domain{{Name: ours, Deliver: directory.DeliverMaildir}}, MaxExpansion: 10, MaxDepth: 3, Detail: '+', ForwardExternal: true,
		},
		Ways: map[mail.Domain]string{ours: "maildir"}, Where: stated,
		Domain: func(name mail.Domain, _ string) (directory.Domain, error) {
			return directory.Domain{Name: name, Deliver: directory.DeliverMaildir}, nil
		},
		Way: func(s string) (string, error) {
			if s != "maildir" {
				return "", errText("unknown: " + s)
			}
			return s, nil
		},
	}, false)
	check(t, err)
	next.Adopt()
	return b
}

func hostname(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	check(t, err)
	return d
}

func (w *world) account(t *testing.T, addresses ...string) {
	t.Helper()
	for _, a := range addresses {
		_, err := w.AccountAdd(t.Context(), Self(), AccountAdd{Address: a, Password: "a long password", Role: "person"})
		check(t, err)
	}
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	check(t, err)
	return a
}

// Each change is visible when the action returns, through the socket and without.
func TestTheDirectoryChangesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.account(t, "alice@local.test", "bob@local.test")
	for way, c := range clients(t, w.Operator) {
		ctx, name := t.Context(), way+".test"
		_, err := c.DomainAdd(ctx, DomainAdd{Name: name})
		check(t, err)
		classify := func(a string) gate.Destination { return w.book.Snapshot().Classify(address(t, a)).Destination }
		if got := classify("x@" + name); got != gate.DestinationNoSuchUser {
			t.Errorf("%s: a new domain is %v", way, got)
		}
		group := "team@" + name
		v, err := c.AliasAdd(ctx, AliasAdd{Name: group, Targets: []string{"alice@local.test", "bob@local.test"}, From: "members"})
		check(t, err)
		if got := classify(group); got != gate.DestinationNonMember || v.From != "members" {
			t.Errorf("%s: a new group is %v, %+v", way, got, v)
		}
		_, err = c.DelegateAdd(ctx, DelegateChange{Account: "alice@local.test", Address: group})
		check(t, err)
		owns := func() bool { return w.book.Snapshot().Owner(address(t, "alice@local.test")).Owns(address(t, group)) }
		if !owns() {
			t.Errorf("%s: a new right does not count", way)
		}
		_, err = c.ForwardAdd(ctx, ForwardAdd{Account: "bob@local.test", Targets: []string{"b@remote.test"}, Keep: true})
		check(t, err)
		if f, ok := w.book.Snapshot().Forwards(address(t, "bob@local.test")); !ok || !f.Keep {
			t.Errorf("%s: a new forward is %v", way, f)
		}
		// A catch-all would lead strangers' inventions to the forward, over the group too.
		_, err = c.AliasAdd(ctx, AliasAdd{Name: "@" + name, Targets: []string{group}})
		wantCode(t, err, CodeInvalid)
		changed, err := c.ForwardRemove(ctx, ForwardRemove{Account: "bob@local.test"})
		check(t, err)
		if _, ok := w.book.Snapshot().Forwards(address(t, "bob@local.test")); ok || len(changed.Done) != 1 {
			t.Errorf("%s: a removed forward stands: %+v", way, changed)
		}
		_, err = c.AliasAdd(ctx, AliasAdd{Name: "@" + name, Targets: []string{group}})
		check(t, err)
		changed, err = c.AliasRemove(ctx, AliasRemove{Name: group})
		check(t, err)
		if owns() || len(changed.Done) != 2 {
			t.Errorf("%s: a right outlives its alias: %+v", way, changed)
		}
		var listed []string
		check(t, c.AliasList(ctx, func(a Alias) error { listed = append(listed, a.Name); return nil }))
		if !slices.Equal(listed, []string{"@" + name}) {
			t.Errorf("%s: aliases %v", way, listed)
		}
		_, err = c.DomainRemove(ctx, DomainRemove{Name: name})
		wantCode(t, err, CodeInvalid)
		_, err = c.DomainRemove(ctx, DomainRemove{Name: name, Force: true})
		check(t, err)
		if got := classify("x@" + name); got != gate.DestinationForeign {
			t.Errorf("%s: a removed domain is %v", way, got)
		}
	}
	story := w.story(t, "alice@local.test")
	for _, want := range []string{"alias added", "delegate added", "delegate removed", "by uid: "} {
		if !strings.Contains(story, want) {
			t.Errorf("the trace lacks %q:\n%s", want, story)
		}
	}
}

// What is tried dry, or refused, changes nothing and leaves no fact.
func TestNothingHappensByHalf(t *testing.T) {
	w := newWorld(t)
	w.account(t, "alice@local.test")
	ctx, self := t.Context(), Self()
	before, revision := w.story(t, "alice@local.test"), w.roster.State().Revision()
	dry := func(_ any, err error) { t.Helper(); check(t, err) }
	a, err := w.DomainAdd(ctx, self, DomainAdd{Name: "new.test", DryRun: true})
	dry(a, err)
	b, err := w.AliasAdd(ctx, self, AliasAdd{Name: "x@local.test", Targets: []string{"alice@local.test"}, DryRun: true})
	dry(b, err)
	f, err := w.ForwardAdd(ctx, self, ForwardAdd{Account: "alice@local.test", Targets: []string{"a@remote.test"}, DryRun: true})
	dry(f, err)
	d, err := w.DelegateAdd(ctx, self, DelegateChange{Account: "alice@local.test", Address: "postmaster@local.test", DryRun: true})
	dry(d, err)
	_, err = w.DomainAdd(ctx, self, DomainAdd{Name: "local.test"})
	wantCode(t, err, CodeExists)
	_, err = w.AliasAdd(ctx, self, AliasAdd{Name: "x@local.test", Targets: []string{"x@local.test"}})
	wantCode(t, err, CodeInvalid)
	_, err = w.AliasAdd(ctx, self, AliasAdd{Name: "x@local.test", Targets: slices.Repeat([]string{"alice@local.test"}, MaxTargets+1)})
	wantCode(t, err, CodeInvalid)
	_, err = w.AliasRemove(ctx, self, AliasRemove{Name: "x@local.test"})
	wantCode(t, err, CodeNotFound)
	_, err = w.ForwardRemove(ctx, self, ForwardRemove{Account: "alice@local.test"})
	wantCode(t, err, CodeNotFound)
	_, err = w.DelegateRemove(ctx, self, DelegateChange{Account: "alice@local.test", Address: "postmaster@local.test"})
	wantCode(t, err, CodeNotFound)
	if now := w.story(t, "alice@local.test"); now != before || w.roster.State().Revision() != revision {
		t.Errorf("something happened:\n%s", now)
	}
}

// A domain that is taken away by force takes its entries along and loses nothing:
// its accounts stay, and what is queued for it waits.
func TestADomainGoesByForce(t *testing.T) {
	w := newWorld(t)
	ctx, self := t.Context(), Self()
	_, err := w.DomainAdd(ctx, self, DomainAdd{Name: "new.test"})
	check(t, err)
	w.account(t, "alice@local.test", "dora@new.test")
	_, err = w.AliasAdd(ctx, self, AliasAdd{Name: "help@new.test", Targets: []string{"dora@new.test"}})
	check(t, err)
	_, err = w.DelegateAdd(ctx, self, DelegateChange{Account: "alice@local.test", Address: "help@new.test"})
	check(t, err)
	id := w.putTo(t, "alice@local.test", "dora@new.test")
	_, err = w.DomainRemove(ctx, self, DomainRemove{Name: "new.test"})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "needed by 1 account, 1 alias, 1 delegate, 1 queued message") {
		t.Errorf("a domain that is needed: %v", err)
	}
	// An alias elsewhere leads into it: force does not touch what is of other domains.
	_, err = w.AliasAdd(ctx, self, AliasAdd{Name: "far@local.test", Targets: []string{"dora@new.test"}})
	check(t, err)
	_, err = w.DomainRemove(ctx, self, DomainRemove{Name: "new.test", Force: true})
	wantCode(t, err, CodeInvalid)
	if m, err := w.QueueShow(ctx, self, QueueRef{ID: id.String()}); err != nil || m.State != "waiting" {
		t.Errorf("a refused removal held the queue: %+v, %v", m, err)
	}
	_, err = w.AliasRemove(ctx, self, AliasRemove{Name: "far@local.test"})
	check(t, err)
	changed, err := w.DomainRemove(ctx, self, DomainRemove{Name: "new.test", Force: true})
	check(t, err)
	if want := []string{"domain new.test removed", "alias help@new.test removed with it", "delegate alice@local.test help@new.test removed with it", "queued for it and held: 1"}; !slices.Equal(changed.Done, want) {
		t.Errorf("done: %q", changed.Done)
	}
	if m, err := w.QueueShow(ctx, self, QueueRef{ID: id.String()}); err != nil || m.State != "held" || !strings.Contains(m.Reason, "new.test was removed") {
		t.Errorf("what was queued is %+v, %v", m, err)
	}
	if _, err := w.AccountShow(ctx, self, AccountRef{Address: "dora@new.test"}); err != nil {
		t.Errorf("the account: %v", err)
	}
	if s := w.roster.State(); len(s.Aliases())+len(s.Delegates())+len(s.Domains()) != 0 {
		t.Error("something of the domain stayed")
	}
}

// An account that comes later has none of the rights of one that went.
func TestRightsEndWithTheAccount(t *testing.T) {
	w := newWorld(t)
	ctx, self := t.Context(), Self()
	w.account(t, "alice@local.test", "bob@local.test")
	for _, d := range []DelegateChange{{Account: "alice@local.test", Address: "bob@local.test"}, {Account: "bob@local.test", Address: "postmaster@local.test"}} {
		_, err := w.DelegateAdd(ctx, self, d)
		check(t, err)
	}
	_, err := w.ForwardAdd(ctx, self, ForwardAdd{Account: "bob@local.test", Targets: []string{"b@remote.test"}})
	check(t, err)
	shown, err := w.AccountShow(ctx, self, AccountRef{Address: "bob@local.test"})
	if err != nil || !slices.Equal(shown.SendsAs, []string{"postmaster@local.test"}) || !slices.Equal(shown.ForwardsTo, []string{"b@remote.test"}) {
		t.Errorf("bob is shown as %+v, %v", shown, err)
	}
	_, err = w.AccountRemove(ctx, self, AccountRef{Address: "bob@local.test"})
	check(t, err)
	w.account(t, "bob@local.test")
	if s := w.roster.State(); len(s.Delegates())+len(s.Forwards()) != 0 {
		t.Errorf("left: %v %v", s.Delegates(), s.Forwards())
	}
	if w.book.Snapshot().Owner(address(t, "alice@local.test")).Owns(address(t, "bob@local.test")) {
		t.Error("alice sends as the new bob")
	}
}

// Of an alias and an account of one name that are made at once, one comes to be.
func TestAccountsAndAliasesDoNotCross(t *testing.T) {
	w := newWorld(t)
	w.account(t, "alice@local.test")
	for i := range 20 {
		name := fmt.Sprintf("n%d@local.test", i)
		var both sync.WaitGroup
		both.Go(func() {
			_, _ = w.AccountAdd(t.Context(), Self(), AccountAdd{Address: name, Password: "a long password", Role: "person"})
		})
		both.Go(func() {
			_, _ = w.AliasAdd(t.Context(), Self(), AliasAdd{Name: name, Targets: []string{"alice@local.test"}})
		})
		both.Wait()
		if err := w.book.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, account := w.accounts.Lookup(address(t, name))
		if alias := w.roster.State().Has(roster.AliasRef(address(t, name))); alias == account {
			t.Errorf("%s: account %v, alias %v", name, account, alias)
		}
	}
}
