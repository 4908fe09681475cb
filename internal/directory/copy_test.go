package directory

import (
	"errors"
	"strings"
	"testing"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// An alias that names itself stands beside the account of its address: the mailbox gets
// its mail and the others a copy, whichever way leads there, and never in a circle.
func TestCopies(t *testing.T) {
	s := built(t, func(c *Config) {
		c.Aliases = append(c.Aliases,
			alias(t, "bob@local.test", "Bob@local.test", "alice@local.test"),
			alias(t, "alice@second.test", "carol@local.test", "alice@second.test"),
			alias(t, "carol@local.test", "carol@local.test", "alice@second.test"), // and each of the other
			alias(t, "to-bob@local.test", "bob@local.test"),
			alias(t, "left@local.test", "left@local.test", "alice@local.test"), // whose account is gone
			alias(t, "postmaster@local.test", "postmaster@local.test", "alice@local.test"),
			catchAll(t, "second.test", "bob@local.test"))
	})
	for to, want := range map[string]string{
		"bob@local.test":        "account bob@local.test alice@local.test",
		"BOB@local.test":        "account bob@local.test alice@local.test",
		"bob+x@local.test":      "detail bob@local.test+x alice@local.test+x",
		"to-bob@local.test":     "alias bob@local.test alice@local.test",
		"invented@second.test":  "catch-all bob@local.test alice@local.test",
		"alice@second.test":     "account carol@local.test alice@second.test",
		"carol@local.test":      "account carol@local.test alice@second.test",
		"left@local.test":       "alias alice@local.test missing left@local.test",
		"postmaster@local.test": "alias postmaster@local.test alice@local.test",
	} {
		c := s.Classify(address(t, to))
		got := []string{c.Rule}
		for _, m := range c.Mailboxes {
			box := m.Account.String()
			if m.Detail != "" {
				box += "+" + m.Detail
			}
			got = append(got, box)
		}
		for _, m := range c.Missing {
			got = append(got, "missing", m.String())
		}
		if strings.Join(got, " ") != want || c.Destination != gate.DestinationMailbox && !strings.HasPrefix(to, "postmaster") {
			t.Errorf("%s: %q (%v), want %q", to, strings.Join(got, " "), c.Destination, want)
		}
	}
	if err := s.Check(); err != nil && (strings.Contains(err.Error(), "bob") || strings.Contains(err.Error(), "carol")) {
		t.Error(err)
	}
}

// Whose the address is does not change by a copy: the account sends as it, whoever reads
// along does not, and the account may be made and removed beside the alias.
func TestACopyIsNoOwnership(t *testing.T) {
	s := built(t, func(c *Config) {
		c.Aliases = append(c.Aliases, alias(t, "bob@local.test", "bob@local.test", "alice@local.test"))
	})
	alice, bob := address(t, "alice@local.test"), address(t, "bob@local.test")
	for _, from := range []string{"bob@local.test", "bob+x@local.test"} {
		a := address(t, from)
		if !s.Owner(bob).Owns(a) || s.Owner(alice).Owns(a) {
			t.Errorf("%s: bob %v, alice %v", from, s.Owner(bob).Owns(a), s.Owner(alice).Owns(a))
		}
	}
	gone := s.WithoutAccount(bob)
	if gone.Owner(alice).Owns(bob) || gone.Owner(bob).Owns(bob) {
		t.Error("a removed account's address has an owner")
	}
	if c := gone.Classify(bob); len(c.Mailboxes) != 1 || c.Mailboxes[0].Account != alice {
		t.Errorf("%+v", c)
	}
	if err := gone.CheckAccount(bob); err != nil {
		t.Error(err)
	}
	if c := gone.WithAccount(bob).Classify(bob); len(c.Mailboxes) != 2 || c.Rule != RuleAccount {
		t.Errorf("%+v", c)
	}
}

// What leads in a circle still does, and what would close an account's address is refused.
func TestCopiesThatAreNone(t *testing.T) {
	for name, row := range map[string]struct {
		aliases []Alias
		want    string
	}{
		"itself alone":           {[]Alias{alias(t, "x@local.test", "x@local.test")}, "lead back to themselves: x@local.test → x@local.test"},
		"an account alone":       {[]Alias{alias(t, "bob@local.test", "bob@local.test")}, "is an alias and also an account"},
		"a circle by two others": {[]Alias{alias(t, "x@local.test", "y@local.test", "x@local.test"), alias(t, "y@local.test", "z@local.test"), alias(t, "z@local.test", "y@local.test")}, "lead back to themselves: y@local.test → z@local.test → y@local.test"},
		"closed":                 {[]Alias{group(t, PostingMembers, "bob@local.test", "bob@local.test", "alice@local.test")}, "is open to anyone, since it keeps a copy"},
	} {
		cfg, accounts := site(t)
		cfg.Aliases = row.aliases
		s, err := NewSnapshot(cfg, accounts)
		if err == nil {
			err = s.Check()
		}
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A catch-all is no way to a forward, by a copy neither.
func TestACopyHidesNoForward(t *testing.T) {
	s := built(t, func(c *Config) {
		c.Aliases = []Alias{alias(t, "bob@local.test", "bob@local.test", "alice@local.test"), alias(t, "alice@local.test", "alice@local.test", "bob@local.test", "carol@local.test"),
			catchAll(t, "second.test", "bob@local.test")}
		c.Forwards = []Forward{{Account: address(t, "carol@local.test"), Targets: []mail.Address{address(t, "x@remote.test")}}}
	})
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "leads to carol@local.test, whose mail is forwarded") {
		t.Error(err)
	}
}

// A circle of aliases ends where one of them keeps a copy, wherever mail enters it, and
// what is counted of it is the whole.
func TestACircleEndsAtACopy(t *testing.T) {
	s := built(t, func(c *Config) {
		c.Aliases = append(c.Aliases,
			alias(t, "bob@local.test", "bob@local.test", "desk@local.test"),
			alias(t, "desk@local.test", "staff@local.test"),
			alias(t, "staff@local.test", "bob@local.test", "alice@local.test"))
	})
	for _, to := range []string{"bob@local.test", "desk@local.test", "staff@local.test"} {
		c := s.Classify(address(t, to))
		if len(c.Mailboxes) != 2 || c.Destination != gate.DestinationMailbox {
			t.Errorf("%s: %+v", to, c)
		}
	}
	cfg, accounts := site(t)
	cfg.MaxExpansion = 2
	cfg.Aliases = []Alias{ // seen from a, b leads to two mailboxes; from itself, to three
		alias(t, "a@local.test", "a@local.test", "b@local.test"),
		alias(t, "b@local.test", "a@local.test", "c@local.test"),
		alias(t, "c@local.test", "c@local.test", "alice@local.test", "b@local.test"),
	}
	many, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	if err := many.Check(); err == nil || !strings.Contains(err.Error(), "more than 2 mailboxes") {
		t.Errorf("%v", err)
	}
}
