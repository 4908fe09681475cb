package domains_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/directory/roster"
	"sallyport/internal/gate"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/domains"
	"sallyport/test/operator"
)

// Each change is visible when the action returns, through the socket and without.
func TestTheDirectoryChangesAtOnce(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test", "bob@local.test")
	for way, c := range w.Clients(t) {
		ctx, name := t.Context(), way+".test"
		_, err := c.DomainAdd(ctx, operate.DomainAdd{Name: name})
		operator.Check(t, err)
		classify := func(a string) gate.Destination {
			return w.Listed.Snapshot().Classify(operator.Address(t, a)).Destination
		}
		if got := classify("x@" + name); got != gate.DestinationNoSuchUser {
			t.Errorf("%s: a new domain is %v", way, got)
		}
		group := "team@" + name
		v, err := c.AliasAdd(ctx, operate.AliasAdd{Name: group, Targets: []string{"alice@local.test", "bob@local.test"}, From: "members"})
		operator.Check(t, err)
		if got := classify(group); got != gate.DestinationNonMember || v.From != "members" {
			t.Errorf("%s: a new group is %v, %+v", way, got, v)
		}
		_, err = c.DelegateAdd(ctx, operate.DelegateChange{Account: "alice@local.test", Address: group})
		operator.Check(t, err)
		owns := func() bool {
			return w.Listed.Snapshot().Owner(operator.Address(t, "alice@local.test")).Owns(operator.Address(t, group))
		}
		if !owns() {
			t.Errorf("%s: a new right does not count", way)
		}
		_, err = c.ForwardAdd(ctx, operate.ForwardAdd{Account: "bob@local.test", Targets: []string{"b@remote.test"}, Keep: true})
		operator.Check(t, err)
		if f, ok := w.Listed.Snapshot().Forwards(operator.Address(t, "bob@local.test")); !ok || !f.Keep {
			t.Errorf("%s: a new forward is %v", way, f)
		}
		// A catch-all would lead strangers' inventions to the forward, over the group too.
		_, err = c.AliasAdd(ctx, operate.AliasAdd{Name: "@" + name, Targets: []string{group}})
		operator.WantCode(t, err, call.CodeInvalid)
		changed, err := c.ForwardRemove(ctx, operate.ForwardRemove{Account: "bob@local.test"})
		operator.Check(t, err)
		if _, ok := w.Listed.Snapshot().Forwards(operator.Address(t, "bob@local.test")); ok || len(changed.Done) != 1 {
			t.Errorf("%s: a removed forward stands: %+v", way, changed)
		}
		_, err = c.AliasAdd(ctx, operate.AliasAdd{Name: "@" + name, Targets: []string{group}})
		operator.Check(t, err)
		changed, err = c.AliasRemove(ctx, operate.AliasRemove{Name: group})
		operator.Check(t, err)
		if owns() || len(changed.Done) != 2 {
			t.Errorf("%s: a right outlives its alias: %+v", way, changed)
		}
		var listed []string
		operator.Check(t, c.AliasList(ctx, func(a operate.Alias) error { listed = append(listed, a.Name); return nil }))
		if !slices.Equal(listed, []string{"@" + name}) {
			t.Errorf("%s: aliases %v", way, listed)
		}
		_, err = c.DomainRemove(ctx, operate.DomainRemove{Name: name})
		operator.WantCode(t, err, call.CodeInvalid)
		_, err = c.DomainRemove(ctx, operate.DomainRemove{Name: name, Force: true})
		operator.Check(t, err)
		if got := classify("x@" + name); got != gate.DestinationForeign {
			t.Errorf("%s: a removed domain is %v", way, got)
		}
	}
	story := w.Story(t, "alice@local.test")
	for _, want := range []string{"alias added", "delegate added", "delegate removed", "by uid: "} {
		if !strings.Contains(story, want) {
			t.Errorf("the trace lacks %q:\n%s", want, story)
		}
	}
}

// What is tried dry, or refused, changes nothing and leaves no fact.
func TestNothingHappensByHalf(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test")
	ctx, self := t.Context(), operate.Self()
	before, revision := w.Story(t, "alice@local.test"), w.Roster.State().Revision()
	dry := func(_ any, err error) { t.Helper(); operator.Check(t, err) }
	a, err := w.DomainAdd(ctx, self, operate.DomainAdd{Name: "new.test", DryRun: true})
	dry(a, err)
	b, err := w.AliasAdd(ctx, self, operate.AliasAdd{Name: "x@local.test", Targets: []string{"alice@local.test"}, DryRun: true})
	dry(b, err)
	f, err := w.ForwardAdd(ctx, self, operate.ForwardAdd{Account: "alice@local.test", Targets: []string{"a@remote.test"}, DryRun: true})
	dry(f, err)
	d, err := w.DelegateAdd(ctx, self, operate.DelegateChange{Account: "alice@local.test", Address: "postmaster@local.test", DryRun: true})
	dry(d, err)
	_, err = w.DomainAdd(ctx, self, operate.DomainAdd{Name: "local.test"})
	operator.WantCode(t, err, call.CodeExists)
	_, err = w.AliasAdd(ctx, self, operate.AliasAdd{Name: "x@local.test", Targets: []string{"x@local.test"}})
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = w.AliasAdd(ctx, self, operate.AliasAdd{Name: "x@local.test", Targets: slices.Repeat([]string{"alice@local.test"}, domains.MaxTargets+1)})
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = w.AliasRemove(ctx, self, operate.AliasRemove{Name: "x@local.test"})
	operator.WantCode(t, err, call.CodeNotFound)
	_, err = w.ForwardRemove(ctx, self, operate.ForwardRemove{Account: "alice@local.test"})
	operator.WantCode(t, err, call.CodeNotFound)
	_, err = w.DelegateRemove(ctx, self, operate.DelegateChange{Account: "alice@local.test", Address: "postmaster@local.test"})
	operator.WantCode(t, err, call.CodeNotFound)
	if now := w.Story(t, "alice@local.test"); now != before || w.Roster.State().Revision() != revision {
		t.Errorf("something happened:\n%s", now)
	}
}

// A domain that is taken away by force takes its entries along and loses nothing:
// its accounts stay, and what is queued for it waits.
func TestADomainGoesByForce(t *testing.T) {
	w := operator.New(t)
	ctx, self := t.Context(), operate.Self()
	_, err := w.DomainAdd(ctx, self, operate.DomainAdd{Name: "new.test"})
	operator.Check(t, err)
	w.Account(t, "alice@local.test", "dora@new.test")
	_, err = w.AliasAdd(ctx, self, operate.AliasAdd{Name: "help@new.test", Targets: []string{"dora@new.test"}})
	operator.Check(t, err)
	_, err = w.DelegateAdd(ctx, self, operate.DelegateChange{Account: "alice@local.test", Address: "help@new.test"})
	operator.Check(t, err)
	id := w.PutTo(t, "alice@local.test", "dora@new.test")
	_, err = w.DomainRemove(ctx, self, operate.DomainRemove{Name: "new.test"})
	var e *operate.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "needed by 1 account, 1 alias, 1 delegate, 1 queued message") {
		t.Errorf("a domain that is needed: %v", err)
	}
	// An alias elsewhere leads into it: force does not touch what is of other domains.
	_, err = w.AliasAdd(ctx, self, operate.AliasAdd{Name: "far@local.test", Targets: []string{"dora@new.test"}})
	operator.Check(t, err)
	_, err = w.DomainRemove(ctx, self, operate.DomainRemove{Name: "new.test", Force: true})
	operator.WantCode(t, err, call.CodeInvalid)
	if m, err := w.QueueShow(ctx, self, operate.QueueRef{ID: id.String()}); err != nil || m.State != "waiting" {
		t.Errorf("a refused removal held the queue: %+v, %v", m, err)
	}
	_, err = w.AliasRemove(ctx, self, operate.AliasRemove{Name: "far@local.test"})
	operator.Check(t, err)
	changed, err := w.DomainRemove(ctx, self, operate.DomainRemove{Name: "new.test", Force: true})
	operator.Check(t, err)
	if want := []string{"domain new.test removed", "alias help@new.test removed with it", "delegate alice@local.test help@new.test removed with it", "queued for it and held: 1"}; !slices.Equal(changed.Done, want) {
		t.Errorf("done: %q", changed.Done)
	}
	if m, err := w.QueueShow(ctx, self, operate.QueueRef{ID: id.String()}); err != nil || m.State != "held" || !strings.Contains(m.Reason, "new.test was removed") {
		t.Errorf("what was queued is %+v, %v", m, err)
	}
	if _, err := w.AccountShow(ctx, self, operate.AccountRef{Address: "dora@new.test"}); err != nil {
		t.Errorf("the account: %v", err)
	}
	if s := w.Roster.State(); len(s.Aliases())+len(s.Delegates())+len(s.Domains()) != 0 {
		t.Error("something of the domain stayed")
	}
}

// An account that comes later has none of the rights of one that went.
func TestRightsEndWithTheAccount(t *testing.T) {
	w := operator.New(t)
	ctx, self := t.Context(), operate.Self()
	w.Account(t, "alice@local.test", "bob@local.test")
	for _, d := range []operate.DelegateChange{{Account: "alice@local.test", Address: "bob@local.test"}, {Account: "bob@local.test", Address: "postmaster@local.test"}} {
		_, err := w.DelegateAdd(ctx, self, d)
		operator.Check(t, err)
	}
	_, err := w.ForwardAdd(ctx, self, operate.ForwardAdd{Account: "bob@local.test", Targets: []string{"b@remote.test"}})
	operator.Check(t, err)
	shown, err := w.AccountShow(ctx, self, operate.AccountRef{Address: "bob@local.test"})
	if err != nil || !slices.Equal(shown.SendsAs, []string{"postmaster@local.test"}) || !slices.Equal(shown.ForwardsTo, []string{"b@remote.test"}) {
		t.Errorf("bob is shown as %+v, %v", shown, err)
	}
	_, err = w.AccountRemove(ctx, self, operate.AccountRef{Address: "bob@local.test"})
	operator.Check(t, err)
	w.Account(t, "bob@local.test")
	if s := w.Roster.State(); len(s.Delegates())+len(s.Forwards()) != 0 {
		t.Errorf("left: %v %v", s.Delegates(), s.Forwards())
	}
	if w.Listed.Snapshot().Owner(operator.Address(t, "alice@local.test")).Owns(operator.Address(t, "bob@local.test")) {
		t.Error("alice sends as the new bob")
	}
}

// Of an alias and an account of one name that are made at once, one comes to be.
func TestAccountsAndAliasesDoNotCross(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test")
	for i := range 20 {
		name := fmt.Sprintf("n%d@local.test", i)
		var both sync.WaitGroup
		both.Go(func() {
			_, _ = w.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: name, Password: "a long password", Role: "person"})
		})
		both.Go(func() {
			_, _ = w.AliasAdd(t.Context(), operate.Self(), operate.AliasAdd{Name: name, Targets: []string{"alice@local.test"}})
		})
		both.Wait()
		if err := w.Listed.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, account := w.Identity.Lookup(operator.Address(t, name))
		if alias := w.Roster.State().Has(roster.AliasRef(operator.Address(t, name))); alias == account {
			t.Errorf("%s: account %v, alias %v", name, account, alias)
		}
	}
}

// Where mail is not forwarded to other servers, no forward is made, and those that there are sleep.
func TestForwardsSleep(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test", "bob@local.test")
	c, ctx := operate.Direct(w.Operator), t.Context()
	_, err := c.ForwardAdd(ctx, operate.ForwardAdd{Account: "alice@local.test", Targets: []string{"a@remote.test"}})
	operator.Check(t, err)
	stated := w.Listed.Stated()
	stated.Config.ForwardExternal = false
	next, err := w.Listed.Build(ctx, stated, false)
	operator.Check(t, err)
	next.Adopt()
	_, err = c.ForwardAdd(ctx, operate.ForwardAdd{Account: "bob@local.test", Targets: []string{"b@remote.test"}})
	operator.WantCode(t, err, call.CodeInvalid)
	asleep := 0
	operator.Check(t, c.ForwardList(ctx, func(f operate.Forward) error {
		if f.Asleep {
			asleep++
		}
		return nil
	}))
	if asleep != 1 {
		t.Errorf("%d forwards sleep", asleep)
	}
}
