package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

func group(t testing.TB, p Posting, from string, to ...string) Alias {
	a := alias(t, from, to...)
	a.Posting = p
	return a
}

func catchAll(t testing.TB, of string, to ...string) Alias {
	return Alias{CatchAll: domain(t, of), Targets: addresses(t, to...), Posting: PostingAnyone}
}

func built(t testing.TB, edit func(*Config)) *Snapshot {
	t.Helper()
	cfg, accounts := site(t)
	edit(&cfg)
	s, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGroups(t *testing.T) {
	s := built(t, func(c *Config) {
		c.Aliases = append(c.Aliases,
			group(t, PostingAccounts, "staff@local.test", "alice@local.test", "bob@local.test"),
			group(t, PostingMembers, "board@local.test", "alice@local.test", "sales@local.test"),
			group(t, PostingAnyone, "open@local.test", "staff@local.test", "carol@local.test"),
			group(t, PostingMembers, "inner@local.test", "carol@local.test"),
			group(t, PostingMembers, "outer@local.test", "inner@local.test", "alice@local.test"),
			group(t, PostingMembers, "nobody-left@local.test", "gone@local.test"),
			group(t, PostingMembers, "ring-a@local.test", "ring-b@local.test"),
			group(t, PostingMembers, "ring-b@local.test", "ring-a@local.test"))
		c.Domains[0].Postmaster = address(t, "staff@local.test")
	})
	for _, c := range []struct{ account, to, want string }{
		{"", "staff@local.test", "accounts-only"},
		{"carol@local.test", "staff@local.test", "accounts-only"},
		{"", "staff+x@local.test", "accounts-only"},
		{"", "board@local.test", "non-member"},
		{"bob@local.test", "board@local.test", "non-member"},
		{"alice@local.test", "board@local.test", "members-only"},
		{"ALICE@local.test", "Board@local.test", "members-only"},
		{"alice@second.test", "board@local.test", "non-member"},
		{"sales@local.test", "board@local.test", "non-member"}, // an alias is no account
		// The rule of an inner group holds for those who write to the outer one.
		{"", "open@local.test", "accounts-only"},
		{"carol@local.test", "open@local.test", "accounts-only"},
		{"alice@local.test", "outer@local.test", "non-member"},
		{"carol@local.test", "outer@local.test", "members-only"},
		{"carol@local.test", "nobody-left@local.test", "no-such-user"},
		{"alice@local.test", "ring-a@local.test", "loop"},
		// RFC 5321 §4.5.1: whoever reads it, the postmaster is open to the world.
		{"", "postmaster@local.test", "postmaster"},
		{"", "team@local.test", "mailbox"},
	} {
		var who mail.Address
		if c.account != "" {
			who = address(t, c.account)
		}
		got := s.ClassifyFor(who, address(t, c.to))
		if got.Destination.String() != c.want {
			t.Errorf("%s writes to %s: %s; want %s", c.account, c.to, got.Destination, c.want)
		}
		if c.account == "" && shown(got) != shown(s.Classify(address(t, c.to))) {
			t.Errorf("%s: a stranger is told apart from nobody", c.to)
		}
	}
	// A group that leads to one account is that account's own, as any alias is.
	if !s.Owner(address(t, "alice@local.test")).Owns(address(t, "board@local.test")) || s.Owner(address(t, "alice@local.test")).Owns(address(t, "staff@local.test")) {
		t.Error("who may send as a group depends on who may write to it")
	}
}

// Groups and catch-alls where a server behind us has the mailboxes.
func TestGroupsBehind(t *testing.T) {
	cfg, accounts := shieldSite(t)
	cfg.Aliases = append(cfg.Aliases,
		group(t, PostingAccounts, "crew@asked.test", "zoe@asked.test", "ada@asked.test"),
		group(t, PostingMembers, "board@known.test", "ada@asked.test", "bob@local.test"),
		catchAll(t, "named.test", "nina@named.test"), catchAll(t, "known.test", "kim@known.test"))
	ada := address(t, "ada@asked.test")
	cfg.Delegates = []Delegate{{ada, address(t, "zoe@asked.test")}, {ada, address(t, "crew@asked.test")}}
	s, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		account, to string
		want        gate.Destination
	}{
		{"", "crew@asked.test", gate.DestinationAccountsOnly},
		{"", "board@known.test", gate.DestinationNonMember},
		{"bob@local.test", "board@known.test", gate.DestinationMembersOnly},
		{"ada@asked.test", "board@known.test", gate.DestinationMembersOnly},
		{"alice@local.test", "board@known.test", gate.DestinationNonMember},
		{"", "mixed@local.test", gate.DestinationMailbox},
	} {
		var who mail.Address
		if c.account != "" {
			who = address(t, c.account)
		}
		class := s.ClassifyFor(who, address(t, c.to))
		if got := class.Destination; got != gate.DestinationUnavailable {
			t.Errorf("%s is %v before anybody was asked", c.to, got)
		}
		if got := class.Resolve(func(Mailbox) Answer { return AnswerYes }).Destination; got != c.want {
			t.Errorf("%s writes to %s: %v; want %v", c.account, c.to, got, c.want)
		}
	}
	for _, c := range []struct{ addr, want string }{
		{"nobody@named.test", "mailbox nina@named.test"}, {"nina+x@named.test", "mailbox nina+x@named.test"}, {"nobody@known.test", "mailbox kim@known.test"},
	} {
		if got := s.Classify(address(t, c.addr)); shownBehind(got) != c.want {
			t.Errorf("%s is %q; want %q", c.addr, shownBehind(got), c.want)
		}
	}
	if o := s.Owner(ada); !o.Owns(address(t, "zoe@asked.test")) || !o.Owns(address(t, "crew@asked.test")) || o.Owns(address(t, "yan@asked.test")) {
		t.Error("ada does not send as what she was given, or as more")
	}
	if s.Owner(address(t, "alice@local.test")).Owns(address(t, "mixed@local.test")) {
		t.Error("alice owns an alias that leads to others behind us too")
	}
	cfg.Aliases = append(cfg.Aliases, catchAll(t, "asked.test", "ada@asked.test"))
	if _, err := NewSnapshot(cfg, accounts); err == nil || !strings.Contains(err.Error(), "the catch-all @asked.test would hide the recipients") {
		t.Errorf("a catch-all before a callout: %v", err)
	}
}

func TestCatchAll(t *testing.T) {
	s := built(t, func(c *Config) {
		c.Aliases = append(c.Aliases, catchAll(t, "local.test", "carol@local.test"), alias(t, "old@second.test", "left@local.test"))
	})
	for _, c := range []struct{ addr, want, rule string }{
		// What is somebody's stays theirs, with a detail too.
		{"alice@local.test", "mailbox alice@local.test", RuleAccount},
		{"sales@local.test", "mailbox alice@local.test", RuleAlias},
		{"alice+lists@local.test", "mailbox alice@local.test detail lists", RuleDetail},
		{"postmaster@local.test", "postmaster postmaster@local.test", RuleRole},
		{"abuse@local.test", "postmaster postmaster@local.test", RuleRole},
		{"loop-a@local.test", "loop", RuleAliasLoop},
		{"gone-all@local.test", "no-such-user", RuleAliasEmpty},

		{"anything@local.test", "mailbox carol@local.test", RuleCatchAll},
		{"any+thing@local.test", "mailbox carol@local.test", RuleCatchAll}, // the detail is nobody's
		{"+@local.test", "mailbox carol@local.test", RuleCatchAll},
		// Local-parts never route: they are names that nobody has.
		{"victim%remote.test@local.test", "mailbox carol@local.test", RuleCatchAll},
		{"remote.test!victim@local.test", "mailbox carol@local.test", RuleCatchAll},
		{`"victim@remote.test"@local.test`, "mailbox carol@local.test", RuleCatchAll},
		{`"|/bin/sh"@local.test`, "mailbox carol@local.test", RuleCatchAll},

		// It is one domain's, and takes nothing that an alias leads to.
		{"anything@second.test", "no-such-user", RuleNoSuchUser},
		{"anything@mx.local.test", "no-such-user", RuleNoSuchUser},
		{"anything@sub.local.test", "foreign", RuleForeign},
		{"anything@[192.0.2.25]", "own-literal", RuleOwnLiteral},
		{"old@second.test", "no-such-user", RuleAliasEmpty},
	} {
		got := s.Classify(address(t, c.addr))
		if shown(got) != c.want || got.Rule != c.rule {
			t.Errorf("%s is %q by %s; want %q by %s", c.addr, shown(got), got.Rule, c.want, c.rule)
		}
	}
	carol := s.Owner(address(t, "carol@local.test"))
	for _, a := range []string{"anything@local.test", "victim%remote.test@local.test"} {
		if carol.Owns(address(t, a)) {
			t.Errorf("carol owns %s because a catch-all leads to her", a)
		}
	}
	if err := s.CheckAccount(address(t, "new@local.test")); err != nil {
		t.Errorf("a catch-all keeps accounts away: %v", err)
	}
	// A catch-all whose target is gone takes nothing, and does not go round.
	lost := built(t, func(c *Config) { c.Aliases = []Alias{catchAll(t, "local.test", "gone@local.test")} })
	if c := lost.Classify(address(t, "anything@local.test")); shown(c) != "no-such-user" || c.Rule != RuleAliasEmpty {
		t.Errorf("a catch-all to nobody: %q by %s", shown(c), c.Rule)
	}
}

func TestDelegates(t *testing.T) {
	alice, bob := address(t, "alice@local.test"), address(t, "bob@local.test")
	s := built(t, func(c *Config) {
		c.Aliases = append(c.Aliases, catchAll(t, "local.test", "carol@local.test"))
		for _, as := range []string{"Bob@local.test", "team@local.test", "postmaster@local.test", "anything@local.test", "gone-all@local.test", "alice@second.test"} {
			c.Delegates = append(c.Delegates, Delegate{alice, address(t, as)})
		}
		c.Delegates = append(c.Delegates, Delegate{address(t, "gone@local.test"), bob})
	})
	for addr, want := range map[string]bool{
		"bob@local.test": true, "BOB@local.test": true, "team@local.test": true, "postmaster@local.test": true, "alice@second.test": true,
		"alice@local.test": true, "sales@local.test": true,
		"bob+x@local.test": false, "abuse@local.test": false, "carol@local.test": false, "bob@second.test": false, "bob@remote.test": false,
		"anything@local.test": false, // only a catch-all takes it
		"gone-all@local.test": false, // it reaches nobody
	} {
		if got := s.Owner(alice).Owns(address(t, addr)); got != want {
			t.Errorf("alice may send as %s: %v", addr, got)
		}
		own := s.Ownership(alice, mail.PathOf(address(t, addr)))
		if (own == gate.OwnershipOwned) != want {
			t.Errorf("%s is %v to alice", addr, own)
		}
	}
	if s.Owner(bob).Owns(alice) || s.Owner(address(t, "gone@local.test")).Owns(bob) || s.Owner(mail.Address{}).Owns(bob) {
		t.Error("a right works the other way, or for nobody")
	}
	if got := s.SendsAs(alice); !slices.Equal(got, addresses(t, "alice@second.test", "Bob@local.test", "postmaster@local.test", "team@local.test")) {
		t.Errorf("alice sends as %v", got)
	}
	if got := s.SendsAs(bob); got != nil {
		t.Errorf("bob sends as %v", got)
	}
	// The right ends with the address, and with the account.
	if s.WithoutAccount(bob).Owner(alice).Owns(bob) || s.WithoutAccount(alice).Owner(alice).Owns(bob) {
		t.Error("a right outlives what it is about")
	}
}

func TestMoreThatIsRefused(t *testing.T) {
	alice := address(t, "alice@local.test")
	for _, c := range []struct {
		what string
		edit func(*Config)
		want string
		kind Kind
		name string
	}{
		{"a catch-all of a foreign domain", func(c *Config) { c.Aliases = []Alias{catchAll(t, "remote.test", "alice@local.test")} },
			"the alias @remote.test is of no domain of ours", KindAlias, "@remote.test"},
		{"a catch-all of our host", func(c *Config) { c.Aliases = []Alias{catchAll(t, "mx.local.test", "alice@local.test")} },
			"the alias @mx.local.test is of no domain of ours", KindAlias, "@mx.local.test"},
		{"a catch-all twice", func(c *Config) {
			c.Aliases = []Alias{catchAll(t, "local.test", "alice@local.test"), catchAll(t, "LOCAL.test", "bob@local.test")}
		}, "the alias @local.test is given twice", KindAlias, "@local.test"},
		{"a catch-all that leads out", func(c *Config) { c.Aliases = []Alias{catchAll(t, "local.test", "a@remote.test")} },
			"the target of @local.test, a@remote.test, is of no domain of ours", KindAlias, "@local.test"},
		{"a catch-all for accounts", func(c *Config) {
			c.Aliases = []Alias{catchAll(t, "local.test", "alice@local.test")}
			c.Aliases[0].Posting = PostingAccounts
		}, "the catch-all @local.test is open to anyone", KindAlias, "@local.test"},
		{"a catch-all with an address", func(c *Config) {
			c.Aliases = []Alias{catchAll(t, "local.test", "alice@local.test")}
			c.Aliases[0].Address = address(t, "x@local.test")
		}, "a catch-all and an address at once", KindAlias, "@local.test"},
		{"a group for nobody known", func(c *Config) { c.Aliases = []Alias{group(t, PostingUnknown, "x@local.test", "alice@local.test")} },
			"nothing says who may write to the alias x@local.test", KindAlias, "x@local.test"},
		{"a group out of range", func(c *Config) { c.Aliases = []Alias{group(t, 9, "x@local.test", "alice@local.test")} },
			"nothing says who may write to the alias x@local.test", KindAlias, "x@local.test"},
		{"a closed postmaster", func(c *Config) {
			c.Aliases = []Alias{group(t, PostingAccounts, "Postmaster@local.test", "alice@local.test")}
		}, "the alias Postmaster@local.test is open to anyone", KindAlias, "Postmaster@local.test"},
		{"a delegate twice", func(c *Config) {
			c.Delegates = []Delegate{{alice, address(t, "bob@local.test")}, {alice, address(t, "BOB@local.test")}}
		}, "the right of alice@local.test to send as BOB@local.test is given twice", KindDelegate, "alice@local.test BOB@local.test"},
		{"a delegate of a stranger", func(c *Config) { c.Delegates = []Delegate{{address(t, "x@remote.test"), alice}} },
			"x@remote.test is of no domain of ours", KindDelegate, "x@remote.test alice@local.test"},
		{"a delegate for a stranger", func(c *Config) { c.Delegates = []Delegate{{alice, address(t, "x@remote.test")}} },
			"x@remote.test is of no domain of ours", KindDelegate, "alice@local.test x@remote.test"},
		{"a delegate for a literal", func(c *Config) { c.Delegates = []Delegate{{alice, address(t, "postmaster@[192.0.2.25]")}} },
			"is of no domain of ours", KindDelegate, "alice@local.test postmaster@[192.0.2.25]"},
		{"a delegate for no address", func(c *Config) { c.Delegates = []Delegate{{Account: alice}} },
			"is of no domain of ours", KindDelegate, "alice@local.test "},
	} {
		cfg, accounts := site(t)
		c.edit(&cfg)
		s, err := NewSnapshot(cfg, accounts)
		if s != nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.what, err, c.want)
		}
		var fs Faults
		if !errors.As(err, &fs) || !slices.Contains(fs[0].About, Subject{c.kind, c.name}) {
			t.Errorf("%s is about %v", c.what, fs)
		}
	}
}

func TestCheck(t *testing.T) {
	chain := func(n int) (all []Alias) {
		for i := range n {
			all = append(all, alias(t, fmt.Sprintf("c%d@local.test", i), fmt.Sprintf("c%d@local.test", i+1)))
		}
		return all
	}
	tree := func() (all []Alias) { // 4^10 ways
		for i := range 10 {
			next := fmt.Sprintf("t%d@local.test", i+1)
			all = append(all, alias(t, fmt.Sprintf("t%d@local.test", i), next, next, next, next))
		}
		return all
	}
	forwarded := func(c *Config) {
		c.Forwards = []Forward{forward(t, "alice@local.test", "a@remote.test")}
	}
	for _, c := range []struct {
		what  string
		edit  func(*Config)
		want  []string // the texts, in part
		about [][]string
	}{
		{"the site without its loops", func(c *Config) { c.Aliases = c.Aliases[:5] }, nil, nil},
		{"the loops of the site", func(*Config) {}, []string{
			"these aliases lead back to themselves: loop-a@local.test → loop-b@local.test → loop-c@local.test → loop-a@local.test",
			"these aliases lead back to themselves: self@local.test → self@local.test",
		}, [][]string{{"alias loop-a@local.test", "alias loop-b@local.test", "alias loop-c@local.test"}, {"alias self@local.test"}}},
		{"ten aliases behind each other", func(c *Config) { c.Aliases = chain(10) }, nil, nil},
		{"eleven of them", func(c *Config) { c.Aliases = chain(11) }, []string{"the alias c0@local.test leads over more than 10 others"}, [][]string{{"alias c0@local.test"}}},
		{"a tree", func(c *Config) { c.Aliases = tree() }, []string{"leads to more than 1000 mailboxes"}, nil},
		{"a loop over the postmaster", func(c *Config) {
			c.Aliases = []Alias{alias(t, "x@local.test", "postmaster@local.test")}
			c.Domains[0].Postmaster = address(t, "x@local.test")
		}, []string{"these aliases lead back to themselves: x@local.test → local.test → x@local.test"}, [][]string{{"alias x@local.test", "domain local.test"}}},
		{"a catch-all", func(c *Config) { c.Aliases = []Alias{catchAll(t, "local.test", "alice@local.test")} }, nil, nil},
		{"a catch-all to nobody", func(c *Config) { c.Aliases = []Alias{catchAll(t, "local.test", "gone@local.test")} }, nil, nil},
		{"a catch-all to a tree", func(c *Config) { c.Aliases = append(tree(), catchAll(t, "local.test", "t0@local.test")) },
			[]string{"leads to more than 1000 mailboxes"}, nil},
		{"a forward", func(c *Config) { forwarded(c); c.Aliases = c.Aliases[:5] }, nil, nil},
		// A stranger could make us send to the world, one invented name at a time.
		{"a catch-all to a forward", func(c *Config) {
			forwarded(c)
			c.Aliases = []Alias{catchAll(t, "second.test", "alice@local.test")}
		}, []string{"the catch-all @second.test leads to alice@local.test, whose mail is forwarded"}, [][]string{{"alias @second.test", "forward alice@local.test"}}},
		{"a catch-all to a forward over others", func(c *Config) {
			forwarded(c)
			c.Aliases = []Alias{alias(t, "x@local.test", "bob@local.test", "alice+news@local.test"), catchAll(t, "second.test", "carol@local.test", "x@local.test")}
		}, []string{"the catch-all @second.test leads to alice@local.test, whose mail is forwarded"}, nil},
		{"a catch-all to the forward of nobody yet", func(c *Config) {
			c.Forwards = []Forward{forward(t, "new@local.test", "a@remote.test")}
			c.Aliases = []Alias{catchAll(t, "local.test", "new@local.test")}
		}, []string{"the catch-all @local.test leads to new@local.test, whose mail is forwarded"}, nil},
	} {
		err := built(t, c.edit).Check()
		var fs Faults
		if (err != nil) != errors.As(err, &fs) || len(fs) != len(c.want) {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		for i, f := range fs {
			var about []string
			for _, s := range f.About {
				about = append(about, s.Kind.String()+" "+s.Name)
			}
			if !strings.Contains(f.Text, c.want[i]) || c.about != nil && !slices.Equal(about, c.about[i]) {
				t.Errorf("%s: %q about %q", c.what, f.Text, about)
			}
		}
	}
	cfg, _ := site(t)
	if dark, err := Unavailable(cfg); err != nil || dark.Check() != nil {
		t.Error("a snapshot without accounts is checked")
	}
}

// What Check passes, Classify can deliver: no alias of a checked directory loops or
// grows beyond its bounds, whoever comes and goes, and no name that a stranger can
// invent reaches a forward.
func TestWhatIsCheckedHolds(t *testing.T) {
	names := addresses(t, "a@local.test", "b@local.test", "c@local.test", "d@second.test", "e@second.test", "postmaster@local.test", "x+y@local.test", "x@local.test")
	rapid.Check(t, func(r *rapid.T) {
		cfg, _ := site(t)
		cfg.Aliases, cfg.MaxDepth, cfg.MaxExpansion, cfg.ForwardExternal = nil, 3, 4, true
		some := rapid.SliceOfN(rapid.SampledFrom(names), 1, 4)
		for _, a := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 6, mail.Address.Key).Draw(r, "aliases") {
			cfg.Aliases = append(cfg.Aliases, Alias{Address: a, Targets: some.Draw(r, "targets"), Posting: PostingAnyone})
		}
		for _, d := range cfg.Domains {
			if rapid.Bool().Draw(r, "catch-all") {
				cfg.Aliases = append(cfg.Aliases, Alias{CatchAll: d.Name, Targets: some.Draw(r, "targets"), Posting: PostingAnyone})
			}
		}
		for _, a := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 2, mail.Address.Key).Draw(r, "forwards") {
			cfg.Forwards = append(cfg.Forwards, Forward{Account: a, Targets: addresses(t, "out@remote.test")})
		}
		s, err := NewSnapshot(cfg, nil)
		if err != nil || s.Check() != nil {
			return
		}
		for _, a := range rapid.SliceOf(rapid.SampledFrom(names)).Draw(r, "accounts") {
			if s.CheckAccount(a) == nil {
				s = s.WithAccount(a)
			}
		}
		if err := s.Check(); err != nil {
			r.Fatalf("an account made a directory wrong: %v", err)
		}
		for _, a := range append(addresses(t, "nobody@local.test", "nobody@second.test", "a%remote.test@local.test"), names...) {
			c := s.Classify(a)
			if c.Destination == gate.DestinationLoop || len(c.Mailboxes) > 4 {
				r.Fatalf("%v is %q by %s", a, shown(c), c.Rule)
			}
			for _, m := range c.Mailboxes {
				if _, forwards := s.Forwards(m.Account); forwards && c.Rule == RuleCatchAll {
					r.Fatalf("%v, a name that nobody has, is forwarded by %v", a, m.Account)
				}
			}
		}
	})
}
