package book

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
)

// world is a book over a real roster and real accounts.
type world struct {
	*Book
	t        *testing.T
	accounts *accounts.Identity
	serving  atomic.Bool
}

func newWorld(t *testing.T, people ...string) *world {
	t.Helper()
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	id, err := accounts.Open(t.Context(), st, accounts.Options{Limits: limits})
	check(t, err)
	r, err := roster.Open(t.Context(), st, roster.Options{Limits: roster.DefaultLimits()})
	check(t, err)
	w := &world{t: t, accounts: id}
	w.Book = New(Options{Accounts: id, Roster: r, Serving: w.serving.Load, Logger: slog.New(slog.DiscardHandler)})
	for _, p := range people {
		w.add(p)
	}
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) add(person string) {
	w.t.Helper()
	_, err := w.accounts.Add(w.t.Context(), address(w.t, person), "a long password", accounts.Sending{Role: accounts.RolePerson}, nil)
	check(w.t, err)
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	check(t, err)
	return a
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	check(t, err)
	return d
}

func alias(t *testing.T, name string, targets ...string) directory.Alias {
	t.Helper()
	a := directory.Alias{Address: address(t, name), Posting: directory.PostingAnyone}
	for _, to := range targets {
		a.Targets = append(a.Targets, address(t, to))
	}
	return a
}

// stated is a configuration of local.test with these aliases.
func stated(t *testing.T, aliases ...directory.Alias) Stated {
	t.Helper()
	return Stated{
		Config: directory.Config{
			Hostname: domain(t, "mx.local.test"), Domains: []directory.Domain{{Name: domain(t, "local.test"), Deliver: directory.DeliverMaildir}},
			Aliases: aliases, MaxExpansion: 10, MaxDepth: 3, Detail: '+', ForwardExternal: true,
		},
		Where: func(s directory.Subject) (string, bool) {
			for _, a := range aliases {
				if a.Subject() == s {
					return "conf:7:1", true
				}
			}
			return "conf:3:1", s == directory.Subject{Kind: directory.KindDomain, Name: "local.test"}
		},
		Domain: func(name mail.Domain, way string) (directory.Domain, error) {
			if way != "maildir" {
				return directory.Domain{}, errors.New("this way is unknown")
			}
			return directory.Domain{Name: name, Deliver: directory.DeliverMaildir}, nil
		},
	}
}

func (w *world) state(aliases ...directory.Alias) {
	w.t.Helper()
	next, err := w.Build(w.t.Context(), stated(w.t, aliases...), false)
	check(w.t, err)
	next.Adopt()
}

func (w *world) put(dry bool, entries ...roster.Entry) error {
	return w.Change(w.t.Context(), Change{DryRun: dry, Plan: func(*roster.State) (roster.Edit, error) { return roster.Edit{Put: entries}, nil }})
}

func (w *world) remove(refs ...roster.Ref) error {
	return w.Change(w.t.Context(), Change{Plan: func(*roster.State) (roster.Edit, error) { return roster.Edit{Remove: refs}, nil }})
}

func (w *world) want(a string, d gate.Destination) {
	w.t.Helper()
	if got := w.Snapshot().Classify(address(w.t, a)).Destination; got != d {
		w.t.Errorf("%s is %v, want %v", a, got, d)
	}
}

// Configuration, entries and accounts are one directory as soon as a change returns.
func TestThreeSourcesAreOneDirectory(t *testing.T) {
	w := newWorld(t, "alice@local.test")
	w.serving.Store(true)
	w.state(alias(t, "stated@local.test", "alice@local.test"))
	for _, a := range []string{"alice@local.test", "stated@local.test", "added@local.test", "bob@local.test", "carl@new.test"} {
		want := gate.DestinationNoSuchUser
		switch {
		case strings.HasSuffix(a, "new.test"):
			want = gate.DestinationForeign
		case strings.HasPrefix(a, "alice"), strings.HasPrefix(a, "stated"):
			want = gate.DestinationMailbox
		}
		w.want(a, want)
	}
	pinned := w.Snapshot()
	check(t, w.put(false, roster.Domain{Name: domain(t, "new.test"), Deliver: "maildir"}, roster.Alias{Alias: alias(t, "added@local.test", "alice@local.test")}))
	w.add("bob@local.test")
	w.want("bob@local.test", gate.DestinationNoSuchUser)
	check(t, w.Publish(t.Context()))
	for a, want := range map[string]gate.Destination{"added@local.test": gate.DestinationMailbox, "bob@local.test": gate.DestinationMailbox, "carl@new.test": gate.DestinationNoSuchUser} {
		w.want(a, want)
	}
	if got := pinned.Classify(address(t, "bob@local.test")).Destination; got != gate.DestinationNoSuchUser {
		t.Errorf("what was taken before has become %v", got)
	}
	if r, err := w.Prove(t.Context()); err != nil || r.Addresses == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A change that the directory as a whole does not bear changes nothing, and says what is in
// the way, where that stands, and how to be rid of it. So does one that is only tried.
func TestAChangeIsWholeOrNothing(t *testing.T) {
	w := newWorld(t, "alice@local.test")
	w.serving.Store(true)
	w.state(alias(t, "stated@local.test", "alice@local.test"))
	for _, row := range []struct {
		entry roster.Entry
		want  []string
	}{
		{roster.Alias{Alias: alias(t, "x@local.test", "alice@far.test")}, []string{"alice@far.test"}},
		{roster.Alias{Alias: alias(t, "stated@local.test", "alice@local.test")}, []string{"the alias stated@local.test is stated in conf:7:1"}},
		{roster.Domain{Name: domain(t, "local.test"), Deliver: "maildir"}, []string{"the domain local.test is stated in conf:3:1"}},
		{roster.Domain{Name: domain(t, "odd.test"), Deliver: "pigeon"}, []string{"odd.test has no way of delivery: this way is unknown"}},
	} {
		before, revision := w.Snapshot(), w.Entries().Revision()
		err := w.put(false, row.entry)
		var refused *Refused
		if !errors.As(err, &refused) || !errors.Is(err, directory.ErrConfig) {
			t.Errorf("%+v: %v", row.entry, err)
			continue
		}
		for _, words := range row.want {
			if !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "was added with a command") {
				t.Errorf("%q lacks %q, or speaks of what was not added", err, words)
			}
		}
		if w.Snapshot() != before || w.Entries().Revision() != revision {
			t.Errorf("%+v left something behind", row.entry)
		}
	}
	before := w.Snapshot()
	check(t, w.put(true, roster.Alias{Alias: alias(t, "new@local.test", "alice@local.test")}))
	if w.Snapshot() != before || len(w.Entries().Aliases()) != 0 {
		t.Error("trying it changed something")
	}
	stop := errors.New("stop")
	if err := w.Change(t.Context(), Change{Plan: func(*roster.State) (roster.Edit, error) { return roster.Edit{}, stop }}); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// A configuration that does not go with what is stored is refused while a server runs. At
// a start it is told, nothing is answered, and removing what is in the way mends it, step
// by step; nothing worse comes in meanwhile.
func TestADirectoryThatDoesNotStandIsMended(t *testing.T) {
	w := newWorld(t, "alice@local.test")
	w.state()
	a, b := roster.Alias{Alias: alias(t, "a@local.test", "alice@local.test")}, roster.Alias{Alias: alias(t, "b@local.test", "alice@local.test")}
	check(t, w.put(false, a, b))
	clash := stated(t, alias(t, "a@local.test", "alice@local.test"), alias(t, "b@local.test", "alice@local.test"))
	before := w.Snapshot()
	if _, err := w.Build(t.Context(), clash, false); !errors.Is(err, directory.ErrConfig) || w.Snapshot() != before || w.Fault() != nil {
		t.Errorf("taken: %v", err)
	}
	next, err := w.Build(t.Context(), clash, true)
	check(t, err)
	next.Adopt()
	if f := w.Fault(); f == nil || strings.Count(f.Error(), "is removed with: sallyport alias rm") != 2 {
		t.Error(f)
	}
	w.want("alice@local.test", gate.DestinationUnavailable)
	if _, err := w.Prove(t.Context()); err == nil {
		t.Error("it is proven although it does not stand")
	}
	if err := w.put(false, roster.Alias{Alias: alias(t, "c@local.test", "alice@local.test")}); err == nil {
		t.Error("something was added to what does not stand")
	}
	check(t, w.remove(a.Ref()))
	w.want("alice@local.test", gate.DestinationUnavailable)
	check(t, w.remove(b.Ref()))
	if err := w.Fault(); err != nil {
		t.Error(err)
	}
	w.want("a@local.test", gate.DestinationMailbox)
}

// While a server runs, a removal that leaves the directory broken is told.
func TestARemovalThatBreaksSomethingIsRefused(t *testing.T) {
	w := newWorld(t, "alice@local.test")
	w.serving.Store(true)
	w.state()
	check(t, w.put(false, roster.Domain{Name: domain(t, "new.test"), Deliver: "maildir"}, roster.Alias{Alias: alias(t, "a@local.test", "dora@new.test")}))
	var refused *Refused
	if err := w.remove(roster.DomainRef(domain(t, "new.test"))); !errors.As(err, &refused) || !strings.Contains(err.Error(), "sallyport alias rm a@local.test") {
		t.Error(err)
	}
	check(t, w.remove(roster.AliasRef(address(t, "a@local.test"))))
	check(t, w.remove(roster.DomainRef(domain(t, "new.test"))))
}

// What somebody else made of the accounts that the directory does not bear is told while a
// server runs, and the former directory stays; without one it is being mended.
func TestPublishTellsWhatDoesNotStand(t *testing.T) {
	w := newWorld(t, "alice@local.test")
	w.serving.Store(true)
	w.state(alias(t, "bob@local.test", "alice@local.test"))
	before := w.Snapshot()
	w.add("bob@local.test")
	if err := w.Publish(t.Context()); !errors.Is(err, directory.ErrConfig) || !strings.Contains(err.Error(), "account rm bob@local.test") || w.Snapshot() != before {
		t.Errorf("%v", err)
	}
	w.serving.Store(false)
	check(t, w.Publish(t.Context()))
	if w.Fault() == nil {
		t.Error("nothing is wrong")
	}
}

// From Build to Adopt no account comes unseen: it waits, and is part of what is adopted. What
// is abandoned leaves the former directory.
func TestNothingChangesBetweenBuildAndAdopt(t *testing.T) {
	for _, adopt := range []bool{true, false} {
		w := newWorld(t, "alice@local.test")
		w.serving.Store(true)
		w.state()
		before := w.Snapshot()
		next, err := w.Build(t.Context(), stated(t, alias(t, "new@local.test", "alice@local.test")), false)
		check(t, err)
		w.add("bob@local.test")
		published := make(chan error)
		go func() { published <- w.Publish(t.Context()) }()
		select {
		case <-published:
			t.Error("published meanwhile")
		case <-time.After(50 * time.Millisecond):
		}
		if w.Snapshot() != before {
			t.Error("in force before it was adopted")
		}
		want := gate.DestinationNoSuchUser
		if adopt {
			next.Adopt()
			want = gate.DestinationMailbox
		} else {
			next.Abandon()
		}
		check(t, <-published)
		w.want("new@local.test", want)
		w.want("bob@local.test", gate.DestinationMailbox)
	}
}

// What others change is published without anybody who asks.
func TestFollow(t *testing.T) {
	w := newWorld(t, "alice@local.test")
	w.state()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Follow(ctx) }()
	w.add("bob@local.test")
	for end := time.Now().Add(10 * time.Second); w.Snapshot().Classify(address(t, "bob@local.test")).Destination != gate.DestinationMailbox; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never published")
		}
	}
	stop()
	<-ended
}

// What stands stored is judged with another configuration as it would be in force.
func TestJudge(t *testing.T) {
	w := newWorld(t)
	w.state()
	check(t, w.put(false, roster.Domain{Name: domain(t, "new.test"), Deliver: "maildir"}))
	all, err := w.Entries().Export()
	check(t, err)
	s, err := roster.Import(all)
	check(t, err)
	j, err := stated(t).Judge(s, []mail.Address{address(t, "dora@new.test")})
	if err != nil || len(j.Config.Domains) != 2 || len(j.Accounts) != 1 || !j.Snapshot.IsOurs(domain(t, "new.test")) || !j.Proof.Closed() {
		t.Errorf("%+v, %v", j, err)
	}
}
