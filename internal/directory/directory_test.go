package directory

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func addresses(t testing.TB, list ...string) []mail.Address {
	t.Helper()
	var as []mail.Address
	for _, s := range list {
		as = append(as, address(t, s))
	}
	return as
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func alias(t testing.TB, from string, to ...string) Alias {
	return Alias{Address: address(t, from), Targets: addresses(t, to...), Posting: PostingAnyone}
}

// site is the house of the tests: two domains, a host name of its own, aliases of
// every kind, and the accounts alice, bob, carol and dash+er.
func site(t testing.TB) (Config, []mail.Address) {
	return Config{
		Hostname: domain(t, "mx.local.test"),
		Domains: []Domain{
			{Name: domain(t, "local.test"), Deliver: DeliverMaildir},
			{Name: domain(t, "second.test"), Deliver: DeliverMaildir, Postmaster: address(t, "carol@local.test")},
		},
		Aliases: []Alias{
			alias(t, "sales@local.test", "alice@local.test"),
			alias(t, "team@local.test", "alice@local.test", "bob+team@local.test", "sales@local.test"),
			alias(t, "office@second.test", "sales@local.test"),
			alias(t, "half@local.test", "alice@local.test", "gone@local.test"),
			alias(t, "gone-all@local.test", "gone@local.test"),
			alias(t, "loop-a@local.test", "loop-b@local.test"),
			alias(t, "loop-b@local.test", "loop-c@local.test"),
			alias(t, "loop-c@local.test", "loop-a@local.test", "alice@local.test"),
			alias(t, "self@local.test", "self@local.test"),
			alias(t, "ünï@local.test", "bob@local.test"),
			alias(t, "abuse@second.test", "bob@local.test"),
		},
		Routes: []Route{
			{Domain: domain(t, "remote.test"), Host: "127.0.0.1", Port: 2626, TLS: mail.TLSNone},
			{Host: "smart.test", Port: 587, TLS: mail.TLSRequired},
		},
		Literals: []netip.Addr{netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("2001:db8::25")},
		Detail:   '+',
	}, addresses(t, "alice@local.test", "bob@local.test", "carol@local.test", "Dash+Er@local.test", "alice@second.test")
}

func snapshot(t testing.TB) *Snapshot {
	t.Helper()
	s, err := NewSnapshot(site(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shown(c Class) string {
	var boxes []string
	for _, m := range c.Mailboxes {
		box := m.Account.String()
		if m.Detail != "" {
			box += " detail " + m.Detail
		}
		boxes = append(boxes, box)
	}
	return strings.TrimSpace(c.Destination.String() + " " + strings.Join(boxes, ", "))
}

func TestClassify(t *testing.T) {
	s := snapshot(t)
	for _, c := range []struct{ addr, want, rule string }{
		{"alice@local.test", "mailbox alice@local.test", RuleAccount},
		{"ALICE@LOCAL.TEST", "mailbox alice@local.test", RuleAccount},
		{`"alice"@local.test`, "mailbox alice@local.test", RuleAccount},
		{"alice@second.test", "mailbox alice@second.test", RuleAccount},
		{"bob@second.test", "no-such-user", RuleNoSuchUser},
		{"nobody@local.test", "no-such-user", RuleNoSuchUser},

		// Details, where the base exists and nothing has the whole name.
		{"alice+lists@local.test", "mailbox alice@local.test detail lists", RuleDetail},
		{"alice+a+b@local.test", "mailbox alice@local.test detail a+b", RuleDetail},
		{"alice+@local.test", "mailbox alice@local.test", RuleDetail},
		{"sales+x@local.test", "mailbox alice@local.test detail x", RuleDetail},
		{"dash+er@local.test", "mailbox Dash+Er@local.test", RuleAccount},
		{"dash@local.test", "no-such-user", RuleNoSuchUser},
		{"dash+other@local.test", "no-such-user", RuleNoSuchUser},
		{"nobody+lists@local.test", "no-such-user", RuleNoSuchUser},
		{"+alice@local.test", "no-such-user", RuleNoSuchUser},
		{"alice-lists@local.test", "no-such-user", RuleNoSuchUser},

		// Aliases.
		{"sales@local.test", "mailbox alice@local.test", RuleAlias},
		{"team@local.test", "mailbox alice@local.test, bob@local.test detail team", RuleAlias},
		{"office@second.test", "mailbox alice@local.test", RuleAlias},
		{"half@local.test", "mailbox alice@local.test", RuleAlias},
		{"gone-all@local.test", "no-such-user", RuleAliasEmpty},
		{"loop-a@local.test", "loop", RuleAliasLoop},
		{"loop-c+x@local.test", "loop", RuleAliasLoop},
		{"self@local.test", "loop", RuleAliasLoop},
		{"ÜNÏ@local.test", "mailbox bob@local.test", RuleAlias},
		{"u\u0308ni\u0308@local.test", "mailbox bob@local.test", RuleAlias},

		// Roles always exist. RFC 5321 §4.5.1.
		{"postmaster@local.test", "postmaster postmaster@local.test", RuleRole},
		{"PostMaster@local.test", "postmaster postmaster@local.test", RuleRole},
		{"abuse@local.test", "postmaster postmaster@local.test", RuleRole},
		{"postmaster@second.test", "postmaster carol@local.test", RuleRole},
		{"abuse@second.test", "postmaster bob@local.test", RuleAlias},
		{"postmaster@mx.local.test", "postmaster postmaster@local.test", RuleRole},
		{"abuse@mx.local.test", "postmaster postmaster@local.test", RuleRole},
		{"postmaster@[192.0.2.25]", "postmaster postmaster@local.test", RuleRole},
		{"Postmaster@[IPv6:2001:db8::25]", "postmaster postmaster@local.test", RuleRole},
		{"postmaster+x@local.test", "no-such-user", RuleNoSuchUser},
		{"hostmaster@local.test", "no-such-user", RuleNoSuchUser},
		{"alice@mx.local.test", "no-such-user", RuleNoSuchUser},

		// Literals.
		{"alice@[192.0.2.25]", "own-literal", RuleOwnLiteral},
		{"abuse@[192.0.2.25]", "own-literal", RuleOwnLiteral},
		{"alice@[IPv6:2001:db8::25]", "own-literal", RuleOwnLiteral},
		{"alice@[192.0.2.26]", "foreign", RuleForeignLiteral},
		{"alice@[127.0.0.1]", "own-literal", RuleSpecialLiteral},
		{"postmaster@[127.0.0.1]", "own-literal", RuleSpecialLiteral},
		{"alice@[IPv6:::1]", "own-literal", RuleSpecialLiteral},
		{"alice@[IPv6:::ffff:127.0.0.1]", "own-literal", RuleSpecialLiteral},
		{"alice@[0.0.0.0]", "own-literal", RuleSpecialLiteral},
		{"alice@[169.254.169.254]", "own-literal", RuleSpecialLiteral},

		// Domains that look like ours.
		{"alice@sub.local.test", "foreign", RuleForeign},
		{"alice@xlocal.test", "foreign", RuleForeign},
		{"alice@evil-local.test", "foreign", RuleForeign},
		{"alice@local.test.remote.test", "foreign", RuleForeign},
		{"alice@test", "foreign", RuleForeign},
		{"alice@xn--lcal-55d.test", "foreign", RuleForeign},
		{"postmaster@remote.test", "foreign", RuleForeign},

		// Local-parts never route.
		{"victim%remote.test@local.test", "no-such-user", RuleNoSuchUser},
		{"remote.test!victim@local.test", "no-such-user", RuleNoSuchUser},
		{`"victim@remote.test"@local.test`, "no-such-user", RuleNoSuchUser},
		{`"alice@local.test"@remote.test`, "foreign", RuleForeign},
		{`"alice "@local.test`, "no-such-user", RuleNoSuchUser},
		{`"|/bin/sh"@local.test`, "no-such-user", RuleNoSuchUser},
		{"/etc/passwd@local.test", "no-such-user", RuleNoSuchUser},
		{`":include:/etc/passwd"@local.test`, "no-such-user", RuleNoSuchUser},
		{"*@local.test", "no-such-user", RuleNoSuchUser},
		{"+AGE-victim+AEA-RD@local.test", "no-such-user", RuleNoSuchUser},
	} {
		got := s.Classify(address(t, c.addr))
		if shown(got) != c.want || got.Rule != c.rule {
			t.Errorf("%s is %q by %s; want %q by %s", c.addr, shown(got), got.Rule, c.want, c.rule)
		}
	}
	if c := s.Classify(mail.Address{}); c.Destination != gate.DestinationUnknown || c.Mailboxes != nil {
		t.Errorf("the zero address is %q", shown(c))
	}
	if c := s.Classify(address(t, "half@local.test")); !slices.Equal(c.Missing, addresses(t, "gone@local.test")) {
		t.Errorf("half lacks %v", c.Missing)
	}
}

func TestWithoutDetail(t *testing.T) {
	cfg, accounts := site(t)
	cfg.Detail = 0
	s, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Classify(address(t, "alice+lists@local.test")); c.Destination != gate.DestinationNoSuchUser {
		t.Errorf("alice+lists is %q although details are off", shown(c))
	}
}

// The postmaster is reached even where the configuration for it leads nowhere.
func TestThePostmasterIsAlwaysReached(t *testing.T) {
	cfg, accounts := site(t)
	cfg.Postmaster = address(t, "loop-a@local.test")
	cfg.Domains[1].Postmaster = address(t, "gone@local.test")
	cfg.Aliases = append(cfg.Aliases, alias(t, "abuse@local.test", "gone@local.test"))
	s, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"postmaster@local.test":    "postmaster postmaster@local.test",
		"abuse@local.test":         "postmaster postmaster@local.test",
		"postmaster@second.test":   "postmaster postmaster@second.test",
		"postmaster@mx.local.test": "postmaster postmaster@mx.local.test",
	} {
		if got := s.Classify(address(t, addr)); shown(got) != want {
			t.Errorf("%s is %q; want %q", addr, shown(got), want)
		}
	}
	cfg.Postmaster = address(t, "bob@local.test")
	s, err = NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"postmaster@local.test", "postmaster@mx.local.test", "abuse@mx.local.test", "postmaster@[192.0.2.25]"} {
		c := s.Classify(address(t, addr))
		if shown(c) != "postmaster bob@local.test" {
			t.Errorf("%s is %q", addr, shown(c))
		}
		if s.Owner(address(t, "bob@local.test")).Owns(address(t, addr)) {
			t.Errorf("bob owns %s because its mail arrives with him", addr)
		}
	}
}

func TestExpansionIsBounded(t *testing.T) {
	cfg, _ := site(t)
	var accounts []mail.Address
	var everybody []mail.Address
	for i := range 20 {
		a := address(t, fmt.Sprintf("u%d@local.test", i))
		accounts, everybody = append(accounts, a), append(everybody, a)
	}
	cfg.Aliases = []Alias{{Address: address(t, "all@local.test"), Targets: everybody, Posting: PostingAnyone}}
	cfg.MaxExpansion = 20
	classify := func(addr string) Class {
		s, err := NewSnapshot(cfg, accounts)
		if err != nil {
			t.Fatal(err)
		}
		return s.Classify(address(t, addr))
	}
	if c := classify("all@local.test"); len(c.Mailboxes) != 20 {
		t.Errorf("20 of at most 20: %q by %s", shown(c), c.Rule)
	}
	cfg.MaxExpansion = 19
	if c := classify("all@local.test"); c.Destination != gate.DestinationLoop || c.Rule != RuleAliasExpansion || c.Mailboxes != nil {
		t.Errorf("20 of at most 19: %q by %s", shown(c), c.Rule)
	}
	// A chain of aliases, and a tree of them whose branches meet again: 4^10 ways,
	// each alias followed once.
	cfg.Aliases = nil
	for i := range 10 {
		next := fmt.Sprintf("deep%d@local.test", i+1)
		if i == 9 {
			next = "u1@local.test"
		}
		cfg.Aliases = append(cfg.Aliases, alias(t, fmt.Sprintf("deep%d@local.test", i), next, next, next, next))
	}
	if c := classify("deep0@local.test"); shown(c) != "mailbox u1@local.test" {
		t.Errorf("ten aliases behind each other: %q by %s", shown(c), c.Rule)
	}
	cfg.MaxDepth = 9
	if c := classify("deep0@local.test"); c.Destination != gate.DestinationLoop || c.Rule != RuleAliasDepth {
		t.Errorf("ten of at most nine aliases: %q by %s", shown(c), c.Rule)
	}
	if c := classify("deep1@local.test"); c.Destination != gate.DestinationMailbox {
		t.Errorf("nine of at most nine aliases: %q by %s", shown(c), c.Rule)
	}
}

func TestUnavailableNeverGuesses(t *testing.T) {
	cfg, _ := site(t)
	s, err := Unavailable(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s = s.WithAccount(address(t, "alice@local.test")).WithoutAccount(address(t, "bob@local.test"))
	for addr, want := range map[string]gate.Destination{
		"alice@local.test":        gate.DestinationUnavailable,
		"nobody@local.test":       gate.DestinationUnavailable,
		"sales@local.test":        gate.DestinationUnavailable,
		"postmaster@local.test":   gate.DestinationUnavailable,
		"postmaster@[192.0.2.25]": gate.DestinationUnavailable,
		"alice@[192.0.2.25]":      gate.DestinationOwnLiteral,
		"victim@remote.test":      gate.DestinationForeign,
	} {
		if c := s.Classify(address(t, addr)); c.Destination != want || c.Mailboxes != nil {
			t.Errorf("%s is %q; want %v", addr, shown(c), want)
		}
	}
	alice := address(t, "alice@local.test")
	if got := s.Ownership(alice, mail.PathOf(alice)); got != gate.OwnershipOurs {
		t.Errorf("alice's own address is %v while nobody can tell", got)
	}
}

func TestOwnership(t *testing.T) {
	s := snapshot(t)
	alice := address(t, "alice@local.test")
	for _, c := range []struct {
		from string
		want gate.Ownership
	}{
		{"alice@local.test", gate.OwnershipOwned},
		{"Alice@LOCAL.test", gate.OwnershipOwned},
		{"alice+news@local.test", gate.OwnershipOwned},
		{"sales@local.test", gate.OwnershipOwned},
		{"sales+x@local.test", gate.OwnershipOwned},
		{"office@second.test", gate.OwnershipOwned},
		{"team@local.test", gate.OwnershipOurs}, // others' too
		{"half@local.test", gate.OwnershipOurs}, // was others' too
		{"bob@local.test", gate.OwnershipOurs},
		{"alice@second.test", gate.OwnershipOurs}, // another account
		{"postmaster@local.test", gate.OwnershipOurs},
		{"nobody@local.test", gate.OwnershipOurs},
		{"loop-a@local.test", gate.OwnershipOurs},
		{"antispam@mx.local.test", gate.OwnershipOurs},
		{"antispam@[192.0.2.25]", gate.OwnershipOurs},
		{"sender@[127.0.0.1]", gate.OwnershipOurs},
		{"alice%remote.test@local.test", gate.OwnershipOurs},
		{"alice@remote.test", gate.OwnershipForeign},
		{"alice@sub.local.test", gate.OwnershipForeign},
		{"alice@xlocal.test", gate.OwnershipForeign},
	} {
		from := mail.PathOf(address(t, c.from))
		if got := s.Ownership(alice, from); got != c.want {
			t.Errorf("alice as %s: %v; want %v", c.from, got, c.want)
		}
		stranger := c.want
		if stranger == gate.OwnershipOwned {
			stranger = gate.OwnershipOurs
		}
		if got := s.Ownership(mail.Address{}, from); got != stranger {
			t.Errorf("a stranger as %s: %v; want %v", c.from, got, stranger)
		}
		if got := s.WithoutAccount(alice).Ownership(alice, from); got != stranger {
			t.Errorf("alice, removed, as %s: %v; want %v", c.from, got, stranger)
		}
	}
	if got := s.Ownership(alice, mail.NullPath()); got != gate.OwnershipNull {
		t.Errorf("the null path is %v", got)
	}
	if got := s.Ownership(alice, mail.ReversePath{}); got != gate.OwnershipUnknown {
		t.Errorf("no path is %v", got)
	}
	if (Owner{}).Owns(alice) || s.Owner(mail.Address{}).Owns(alice) {
		t.Error("nobody owns alice")
	}
}

// An account of a domain that is no longer ours receives nothing and owns nothing.
func TestAccountsOfLostDomains(t *testing.T) {
	s := snapshot(t)
	lost := address(t, "eve@lost.test")
	s = s.WithAccount(lost)
	if c := s.Classify(lost); c.Destination != gate.DestinationForeign {
		t.Errorf("eve@lost.test is %q", shown(c))
	}
	if got := s.Ownership(lost, mail.PathOf(lost)); got != gate.OwnershipForeign {
		t.Errorf("eve's own address is %v", got)
	}
	for addr, ok := range map[string]bool{"new@local.test": true, "eve@lost.test": false, "new@mx.local.test": false,
		"sales@local.test": false, "SALES@local.test": false, "new@[192.0.2.25]": false} {
		if err := s.CheckAccount(address(t, addr)); (err == nil) != ok || err != nil && !errors.Is(err, ErrAccount) {
			t.Errorf("an account %s: %v", addr, err)
		}
	}
	if err := s.CheckAccount(mail.Address{}); !errors.Is(err, ErrAccount) {
		t.Errorf("the zero account: %v", err)
	}
}

func TestRoutes(t *testing.T) {
	s := snapshot(t)
	for name, want := range map[string]string{
		"remote.test": "127.0.0.1", "sub.remote.test": "smart.test", "elsewhere.test": "smart.test",
		"local.test": "", "second.test": "", "mx.local.test": "",
	} {
		r, ok := s.Route(domain(t, name))
		if r.Host != want || ok != (want != "") {
			t.Errorf("the route of %s: %q, %v", name, r.Host, ok)
		}
	}
	if r, ok := s.Route(mail.Domain{}); !ok || r.Host != "smart.test" {
		t.Errorf("the route of a literal: %+v", r)
	}
	cfg, accounts := site(t)
	cfg.Routes = cfg.Routes[:1]
	s, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Route(domain(t, "elsewhere.test")); ok {
		t.Error("there is a route without a smarthost")
	}
	if _, ok := s.Route(mail.Domain{}); ok {
		t.Error("there is a route for literals without a smarthost")
	}
}

func TestDomains(t *testing.T) {
	s := snapshot(t)
	if ds := s.Domains(); len(ds) != 2 || ds[0].Name.ASCII() != "local.test" {
		t.Errorf("domains %v", ds)
	}
	if s.IsOurs(mail.Domain{}) || s.IsOurs(domain(t, "sub.local.test")) || !s.IsOurs(domain(t, "local.test")) || !s.IsOurs(s.Hostname()) {
		t.Error("the wrong domains are ours")
	}
	if _, ok := s.Domain(s.Hostname()); ok {
		t.Error("the host name is a domain with mailboxes")
	}
}

func TestBadConfigurations(t *testing.T) {
	for _, c := range []struct {
		what string
		edit func(*Config)
		want string
	}{
		{"no host name", func(c *Config) { c.Hostname = mail.Domain{} }, "the server has no host name"},
		{"no domain", func(c *Config) { c.Domains, c.Aliases = nil, nil }, "there is no domain of our own"},
		{"a domain twice", func(c *Config) { c.Domains = append(c.Domains, c.Domains[0]) }, "the domain local.test is given twice"},
		{"a nameless domain", func(c *Config) { c.Domains[0].Name = mail.Domain{} }, "a domain of our own has no name"},
		{"a domain without delivery", func(c *Config) { c.Domains[0].Deliver = DeliverUnknown }, "the domain local.test has no way of delivery"},
		{"a delivery out of range", func(c *Config) { c.Domains[0].Deliver = 9 }, "the domain local.test has no way of delivery"},
		{"an alias that leads out", func(c *Config) {
			c.Aliases = append(c.Aliases, alias(t, "out@local.test", "victim@remote.test"))
		}, "the target of out@local.test, victim@remote.test, is of no domain of ours"},
		{"an alias that leads to a subdomain", func(c *Config) {
			c.Aliases = append(c.Aliases, alias(t, "out@local.test", "alice@sub.local.test"))
		}, "is of no domain of ours"},
		{"an alias that leads to a literal", func(c *Config) {
			c.Aliases = append(c.Aliases, alias(t, "out@local.test", "postmaster@[192.0.2.25]"))
		}, "is of no domain of ours"},
		{"an alias of a foreign domain", func(c *Config) {
			c.Aliases = append(c.Aliases, alias(t, "x@remote.test", "alice@local.test"))
		}, "is of no domain of ours"},
		{"an alias twice", func(c *Config) {
			c.Aliases = append(c.Aliases, alias(t, "SALES@local.test", "alice@local.test"))
		}, "the alias SALES@local.test is given twice"},
		{"an alias that hides an account", func(c *Config) {
			c.Aliases = append(c.Aliases, alias(t, "Bob@local.test", "alice@local.test"))
		}, "Bob@local.test is an alias and also an account"},
		{"an alias to nothing", func(c *Config) {
			c.Aliases = append(c.Aliases, alias(t, "x@local.test"))
		}, "the alias x@local.test leads nowhere"},
		{"an alias to no address", func(c *Config) {
			c.Aliases = append(c.Aliases, Alias{Address: address(t, "x@local.test"), Targets: make([]mail.Address, 1), Posting: PostingAnyone})
		}, "the alias x@local.test has a target without an address"},
		{"a foreign postmaster", func(c *Config) { c.Postmaster = address(t, "x@remote.test") }, "the postmaster, x@remote.test, is of no domain of ours"},
		{"a foreign postmaster of a domain", func(c *Config) {
			c.Domains[0].Postmaster = address(t, "x@remote.test")
		}, "the postmaster of local.test, x@remote.test, is of no domain of ours"},
		{"a route for our domain", func(c *Config) { c.Routes[0].Domain = c.Domains[0].Name }, "the route for local.test leads our own domain away"},
		{"a route for our host", func(c *Config) { c.Routes[0].Domain = c.Hostname }, "the route for mx.local.test leads our own domain away"},
		{"a route twice", func(c *Config) { c.Routes = append(c.Routes, c.Routes[1]) }, "the route for * is given twice"},
		{"a route without port", func(c *Config) { c.Routes[0].Port = 0 }, "the route for remote.test has no host"},
		{"a route without host", func(c *Config) { c.Routes[0].Host = "" }, "the route for remote.test has no host"},
		{"a route with odd TLS", func(c *Config) { c.Routes[0].TLS = 9 }, "no known TLS mode"},
		{"an odd separator", func(c *Config) { c.Detail = 'a' }, `the detail separator "a"`},
		{"a separator that quotes", func(c *Config) { c.Detail = '@' }, `the detail separator "@"`},
		{"a negative expansion", func(c *Config) { c.MaxExpansion = -1 }, "the expansion bound -1"},
		{"an endless expansion", func(c *Config) { c.MaxExpansion = MaxExpansionCeiling + 1 }, "the expansion bound"},
		{"a negative depth", func(c *Config) { c.MaxDepth = -1 }, "the alias depth -1"},
		{"an endless depth", func(c *Config) { c.MaxDepth = MaxDepthCeiling + 1 }, "the alias depth"},
		{"a literal that is none", func(c *Config) { c.Literals = append(c.Literals, netip.Addr{}) }, "the address literal"},
	} {
		cfg, accounts := site(t)
		c.edit(&cfg)
		if s, err := NewSnapshot(cfg, accounts); s != nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.what, err, c.want)
		}
	}
	cfg, accounts := site(t)
	if s, err := NewSnapshot(cfg, append(accounts, mail.Address{})); s != nil || !errors.Is(err, ErrConfig) {
		t.Errorf("an account without address: %v", err)
	}
	cfg.Hostname, cfg.Detail = mail.Domain{}, '@'
	if _, err := Unavailable(cfg); err == nil || !strings.Contains(err.Error(), "host name") || !strings.Contains(err.Error(), "separator") {
		t.Errorf("two faults at once: %v", err)
	}
}

// A snapshot is what its accounts are, whichever way it was come by, and those
// before it stay what they were.
func TestSnapshotsAreValues(t *testing.T) {
	cfg, _ := site(t)
	cfg.Aliases = nil
	names := addresses(t, "a@local.test", "b@local.test", "c@local.test", "A@local.test", "d+x@local.test", "d@local.test", "a@second.test")
	rapid.Check(t, func(r *rapid.T) {
		s, err := NewSnapshot(cfg, nil)
		if err != nil {
			r.Fatal(err)
		}
		model := map[string]bool{}
		for range rapid.IntRange(0, 12).Draw(r, "steps") {
			a := rapid.SampledFrom(names).Draw(r, "name")
			before, was := s, s.Classify(a)
			if rapid.Bool().Draw(r, "add") {
				s, model[a.Key()] = s.after(added(a)), true
			} else {
				s = s.after(removed(a))
				delete(model, a.Key())
			}
			if now := before.Classify(a); shown(now) != shown(was) {
				r.Fatalf("an old snapshot changed: %q became %q", shown(was), shown(now))
			}
		}
		for _, a := range names {
			c := s.Classify(a)
			has := c.Rule == RuleAccount
			if has != model[a.Key()] {
				r.Fatalf("%v is %q by %s; the model says %v", a, shown(c), c.Rule, model[a.Key()])
			}
		}
	})
}

// Whatever the address: only accounts and roles of ours receive, only foreign
// domains are foreign, and nobody owns what is not his alone.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{"alice@local.test", "team+x@local.test", "postmaster@[192.0.2.25]", "alice@[127.0.0.1]", "loop-a@local.test",
		"a%b@local.test", `"alice@local.test"@remote.test`, "abuse@mx.local.test", "+@local.test", "\u212aelvin@local.test", "ünï@second.test"} {
		f.Add(s)
	}
	s := snapshot(f)
	alice, bob := address(f, "alice@local.test"), address(f, "bob@local.test")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := mail.ParseAddress(text, mail.UTF8)
		if err != nil {
			return
		}
		c := s.Classify(a)
		deliverable := c.Destination == gate.DestinationMailbox || c.Destination == gate.DestinationPostmaster
		if deliverable != (len(c.Mailboxes) > 0) || c.Destination == gate.DestinationUnknown || c.Destination == gate.DestinationUnavailable {
			t.Fatalf("%s is %q", a, shown(c))
		}
		for _, m := range c.Mailboxes {
			if _, ours := s.Domain(m.Account.Domain()); !ours {
				t.Fatalf("%s delivers to %s", a, m.Account)
			}
		}
		if _, literal := a.Literal(); !literal && (c.Destination == gate.DestinationForeign) == s.IsOurs(a.Domain()) {
			t.Fatalf("%s is %q", a, shown(c))
		}
		if s.Owner(alice).Owns(a) && s.Owner(bob).Owns(a) {
			t.Fatalf("%s has two owners", a)
		}
		if c.Destination == gate.DestinationForeign && s.Ownership(alice, mail.PathOf(a)) != gate.OwnershipForeign {
			t.Fatalf("%s is foreign, and somebody's", a)
		}
	})
}

func large(b *testing.B) *Snapshot {
	cfg, _ := site(b)
	cfg.Aliases = nil
	var accounts []mail.Address
	for i := range 100_000 {
		accounts = append(accounts, address(b, fmt.Sprintf("user%d@local.test", i)))
	}
	s, err := NewSnapshot(cfg, accounts)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkClassify(b *testing.B) {
	s := large(b)
	for _, addr := range []string{"user77777@local.test", "nobody@local.test", "user5+x@local.test", "victim@remote.test"} {
		a := address(b, addr)
		b.Run(addr, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s.Classify(a).Destination == gate.DestinationUnknown {
					b.Fatal("unknown")
				}
			}
		})
	}
}

func BenchmarkAnAccountAmong100000(b *testing.B) {
	s, a := large(b), address(b, "new@local.test")
	b.ReportAllocs()
	for b.Loop() {
		if s.after(added(a)).after(removed(a)) == s {
			b.Fatal("nothing changed")
		}
	}
}
