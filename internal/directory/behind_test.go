package directory

import (
	"errors"
	"strings"
	"testing"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// shieldSite is site with a domain of each kind behind it: asked.test by callout,
// named.test by list, known.test by accounts.
func shieldSite(t testing.TB) (Config, []mail.Address) {
	cfg, accounts := site(t)
	server := Server{Host: "10.0.0.5", Port: 25, TLS: mail.TLSOpportunistic}
	lmtp := Server{LMTP: true, Path: "/run/lmtp", TLS: mail.TLSNone}
	cfg.Domains = append(cfg.Domains,
		Domain{Name: domain(t, "asked.test"), Deliver: DeliverSMTP, Server: server, Recipients: RecipientsCallout},
		Domain{Name: domain(t, "named.test"), Deliver: DeliverLMTP, Server: lmtp, Recipients: RecipientsList, List: addresses(t, "Nina@named.test", "abuse@named.test", "o/p%q@named.test")},
		Domain{Name: domain(t, "known.test"), Deliver: DeliverLMTP, Server: lmtp, Recipients: RecipientsAccounts, Postmaster: address(t, "bob@local.test")},
	)
	cfg.Aliases = append(cfg.Aliases,
		alias(t, "desk@asked.test", "ada@asked.test"),
		alias(t, "mixed@local.test", "alice@local.test", "Eve@asked.test", "nina@named.test", "gone@named.test"),
		alias(t, "abuse@known.test", "ada@asked.test"),
		alias(t, "gate@local.test", "a%b@asked.test"),
	)
	return cfg, append(accounts, addresses(t, "ada@asked.test", "kim@known.test")...)
}

func shownBehind(c Class) string {
	words := []string{c.Destination.String()}
	for _, m := range c.Mailboxes {
		words = append(words, m.Place().String())
	}
	for _, m := range c.Ask {
		words = append(words, "ask "+m.Behind.String())
	}
	return strings.Join(words, " ")
}

func TestClassifyBehind(t *testing.T) {
	s, err := NewSnapshot(shieldSite(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ addr, want, rule string }{
		// By callout, whatever we know ourselves; capitals and details go as they came.
		{"Zoe@asked.test", "unavailable ask Zoe@asked.test", RuleBehind},
		{"zoe+lists@asked.test", "unavailable ask zoe+lists@asked.test", RuleBehind},
		{"ADA@asked.test", "unavailable ask ADA@asked.test", RuleAccount},
		{"Ada+x@asked.test", "unavailable ask Ada+x@asked.test", RuleDetail},
		{"desk@asked.test", "unavailable ask ada@asked.test", RuleAlias},
		{"desk+urgent@asked.test", "unavailable ask ada+urgent@asked.test", RuleDetail},
		{"mixed@local.test", "unavailable alice@local.test nina@named.test ask Eve@asked.test", RuleAlias},
		// The postmaster is never asked about; abuse is, where nobody is named for it.
		{"PostMaster@asked.test", "postmaster postmaster@asked.test", RuleRole},
		{"abuse@asked.test", "unavailable ask abuse@asked.test", RuleBehind},
		{"abuse@known.test", "postmaster ada@asked.test", RuleAlias},
		{"postmaster@known.test", "postmaster bob@local.test", RuleRole},
		// By list.
		{"NINA@named.test", "mailbox NINA@named.test", RuleBehind},
		{"nina+a@named.test", "mailbox nina+a@named.test", RuleBehind},
		{"noor@named.test", "no-such-user", RuleNoSuchUser},
		{"abuse@named.test", "mailbox abuse@named.test", RuleBehind},
		{"postmaster@named.test", "postmaster postmaster@named.test", RuleRole},
		// By accounts.
		{"Kim+x@known.test", "mailbox Kim+x@known.test", RuleDetail},
		{"ada@known.test", "no-such-user", RuleNoSuchUser},
		// A subdomain is not behind us.
		{"zoe@sub.asked.test", "foreign", RuleForeign},
		{"zoe%remote.test@named.test", "no-such-user", RuleNoSuchUser},
		// What that server might read as another place to send to is not given to it,
		// neither in a name, nor in a detail, nor by way of an alias.
		{"victim%remote.test@asked.test", "no-such-user", RuleNoSuchUser},
		{"remote.test!victim@asked.test", "no-such-user", RuleNoSuchUser},
		{`"victim@remote.test"@asked.test`, "no-such-user", RuleNoSuchUser},
		{`"@remote.test:victim"@asked.test`, "no-such-user", RuleNoSuchUser},
		{`"remote::victim"@asked.test`, "no-such-user", RuleNoSuchUser},
		{`"|prog"@asked.test`, "no-such-user", RuleNoSuchUser},
		{"/PRMD=x/S=victim@asked.test", "no-such-user", RuleNoSuchUser},
		{"ada+victim%remote.test@asked.test", "no-such-user", RuleNoSuchUser},
		{"desk+victim%remote.test@asked.test", "no-such-user", RuleAliasEmpty},
		{`"desk+victim@remote.test"@asked.test`, "no-such-user", RuleAliasEmpty},
		{"nina+victim%remote.test@named.test", "no-such-user", RuleNoSuchUser},
		{"remote.test!nina+x@named.test", "no-such-user", RuleNoSuchUser},
		{`"kim+victim@remote.test"@known.test`, "no-such-user", RuleNoSuchUser},
		{"jürg+ä.b#'=~@asked.test", "unavailable ask jürg+ä.b#'=~@asked.test", RuleBehind},
		// But a name that the operator wrote down is a name.
		{"o/p%q@named.test", "mailbox o/p%q@named.test", RuleBehind},
		{"o/p%q+x@named.test", "no-such-user", RuleNoSuchUser},
		{"gate@local.test", "unavailable ask a%b@asked.test", RuleAlias},
		{"gate+c@local.test", "no-such-user", RuleAliasEmpty},
	} {
		class := s.Classify(address(t, c.addr))
		if got := shownBehind(class); got != c.want || class.Rule != c.rule {
			t.Errorf("%s is %q by %q, want %q by %q", c.addr, got, class.Rule, c.want, c.rule)
		}
	}
}

func TestResolve(t *testing.T) {
	s, err := NewSnapshot(shieldSite(t))
	if err != nil {
		t.Fatal(err)
	}
	always := func(a Answer) func(Mailbox) Answer { return func(Mailbox) Answer { return a } }
	for _, c := range []struct {
		addr   string
		answer Answer
		want   string
	}{
		{"zoe@asked.test", AnswerYes, "mailbox zoe@asked.test"},
		{"zoe@asked.test", AnswerNo, "no-such-user"},
		{"zoe@asked.test", AnswerUnknown, "unavailable"},
		{"zoe@asked.test", 200, "unavailable"},
		{"mixed@local.test", AnswerYes, "mailbox alice@local.test nina@named.test Eve@asked.test"},
		{"mixed@local.test", AnswerNo, "mailbox alice@local.test nina@named.test"},
		{"mixed@local.test", AnswerUnknown, "unavailable"},
		{"alice@local.test", AnswerNo, "mailbox alice@local.test"},
		{"zoe@remote.test", AnswerYes, "foreign"},
		{"nobody@local.test", AnswerYes, "no-such-user"},
	} {
		if got := shownBehind(s.Classify(address(t, c.addr)).Resolve(always(c.answer))); got != c.want {
			t.Errorf("%s with the answer %d is %q, want %q", c.addr, c.answer, got, c.want)
		}
	}
	if got := (Class{}).Resolve(always(AnswerYes)); got.Destination != gate.DestinationUnknown {
		t.Errorf("what is unknown became %v", got.Destination)
	}
}

func TestAccountsBehindOwnTheirAddresses(t *testing.T) {
	s, err := NewSnapshot(shieldSite(t))
	if err != nil {
		t.Fatal(err)
	}
	ada := s.Owner(address(t, "ada@asked.test"))
	for addr, want := range map[string]bool{
		"ada@asked.test": true, "ADA+news@asked.test": true, "desk@asked.test": true,
		"zoe@asked.test": false, "mixed@local.test": false, "postmaster@asked.test": false, "abuse@asked.test": false,
	} {
		if got := ada.Owns(address(t, addr)); got != want {
			t.Errorf("ada owns %s: %v", addr, got)
		}
	}
	if s.Owner(address(t, "zoe@asked.test")).Owns(address(t, "zoe@asked.test")) {
		t.Error("one without an account owns an address")
	}
}

// Names have hyphens, and a hyphen may part details: whoever the server behind us has, or may have, is no
// detail of another account, neither as a sender nor as a member of a group.
func TestNamesWithASeparatorBehind(t *testing.T) {
	cfg, accounts := shieldSite(t)
	cfg.Detail = '-'
	for i := range cfg.Domains {
		if d := &cfg.Domains[i]; d.Name.ASCII() == "named.test" {
			d.List = append(d.List, addresses(t, "jean@named.test", "jean-pierre@named.test")...)
		}
	}
	cfg.Aliases = append(cfg.Aliases, Alias{Address: address(t, "board@local.test"), Targets: addresses(t, "jean-pierre@named.test"), Posting: PostingMembers})
	s, err := NewSnapshot(cfg, append(accounts, addresses(t, "jean@named.test")...))
	if err != nil {
		t.Fatal(err)
	}
	jean, ada := s.Owner(address(t, "jean@named.test")), s.Owner(address(t, "ada@asked.test"))
	for _, c := range []struct {
		owner Owner
		addr  string
		want  bool
	}{
		{jean, "jean@named.test", true}, {jean, "jean-lists@named.test", true},
		{jean, "jean-pierre@named.test", false}, {jean, "JEAN-Pierre@named.test", false},
		{ada, "ada@asked.test", true}, {ada, "ada-maria@asked.test", false}, {ada, "desk-x@asked.test", false},
		{s.Owner(address(t, "alice@local.test")), "alice-lists@local.test", true}, // whom we know ourselves
	} {
		if got := c.owner.Owns(address(t, c.addr)); got != c.want {
			t.Errorf("%s owns %s: %v", c.owner.key, c.addr, got)
		}
	}
	class := s.Classify(address(t, "Jean-Pierre@named.test"))
	if got := shownBehind(class); got != "mailbox Jean-Pierre@named.test" || class.Rule != RuleBehind || class.Mailboxes[0].Account.Key() != "jean-pierre@named.test" {
		t.Errorf("the mailbox is %q by %s, of %v", got, class.Rule, class.Mailboxes)
	}
	if got := s.ClassifyFor(address(t, "jean@named.test"), address(t, "board@local.test")).Destination; got != gate.DestinationNonMember {
		t.Errorf("to jean the group of jean-pierre is %v", got)
	}
}

func TestDomainsBehindThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		what string
		edit func(*Domain)
		want string
	}{
		{"nowhere", func(d *Domain) { d.Server.Host = "" }, "has no host and port"},
		{"without a port", func(d *Domain) { d.Server.Port = 0 }, "has no host and port"},
		{"at a socket too", func(d *Domain) { d.Server.Path = "/run/lmtp" }, "besides them a socket"},
		{"by unknown TLS", func(d *Domain) { d.Server.TLS = mail.TLSImplicit + 1 }, "no known TLS mode"},
		{"by undecided TLS", func(d *Domain) { d.Server.TLS = mail.TLSUndecided }, "no known TLS mode"},
		{"by LMTP and SMTP", func(d *Domain) { d.Server.LMTP = true }, "speaks another protocol"},
		{"whose recipients nobody knows", func(d *Domain) { d.Recipients = RecipientsUnknown }, "nobody knows the recipients of asked.test"},
		{"with others' recipients", func(d *Domain) { d.List = addresses(t, "a@local.test") }, "which is of another domain"},
		{"also in mailboxes", func(d *Domain) { d.Deliver = DeliverMaildir }, "and also to a server behind"},
	} {
		cfg, accounts := shieldSite(t)
		c.edit(&cfg.Domains[2])
		if s, err := NewSnapshot(cfg, accounts); s != nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a domain %s: %v; want %q", c.what, err, c.want)
		}
	}
}

// A copy of what goes to a server behind us: the server gets its mail, the account here a
// copy, and who is asked is the server.
func TestACopyBesideAServerBehind(t *testing.T) {
	s := built(t, func(c *Config) {
		c.Domains = append(c.Domains, Domain{Name: domain(t, "behind.test"), Deliver: DeliverLMTP, Server: Server{LMTP: true, Path: "/run/lmtp", TLS: mail.TLSNone}, Recipients: RecipientsCallout})
		c.Aliases = append(c.Aliases, alias(t, "bob@behind.test", "bob@behind.test", "alice@local.test"))
	})
	c := s.Classify(address(t, "bob@behind.test"))
	if len(c.Ask) != 1 || c.Ask[0].Behind.String() != "bob@behind.test" || len(c.Mailboxes) != 1 {
		t.Fatalf("%+v", c)
	}
	if err := s.Check(); err != nil && strings.Contains(err.Error(), "behind") {
		t.Error(err)
	}
}

// What stands before a detail is told, unless somebody has the whole name, or the server behind us may.
func TestBare(t *testing.T) {
	cfg, accounts := shieldSite(t)
	s, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Aliases = append(cfg.Aliases, alias(t, "zoe+club@asked.test", "zoe@asked.test"))
	named, err := NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Detail = '-'
	cfg.Domains[len(cfg.Domains)-2].List = addresses(t, "jean@named.test", "jean-pierre@named.test")
	hyphens, err := NewSnapshot(cfg, append(accounts, address(t, "alice-b@local.test")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s          *Snapshot
		addr, want string
	}{
		{s, "Alice+x@local.test", "Alice@local.test"}, {s, "alice@local.test", ""}, {s, "nobody+x@local.test", ""}, {s, "alice+x@far.test", ""},
		{s, "zoe+x@asked.test", "zoe@asked.test"}, {s, "zoe@asked.test", ""}, {s, "desk+x@asked.test", "desk@asked.test"}, {s, "nina+x@named.test", "nina@named.test"},
		{named, "zoe+club@asked.test", ""}, {named, "zoe+x@asked.test", "zoe@asked.test"}, {hyphens, "alice-x@local.test", "alice@local.test"}, {hyphens, "alice-b@local.test", ""}, {hyphens, "zoe-x@asked.test", ""},
		{hyphens, "jean-x@named.test", "jean@named.test"}, {hyphens, "jean-pierre@named.test", ""}, {hyphens, "postmaster@local.test", ""},
	} {
		if got := c.s.Bare(address(t, c.addr)); got.String() != c.want && !(got.IsZero() && c.want == "") {
			t.Errorf("%s: %s, want %s", c.addr, got, c.want)
		}
	}
	unread, err := Unavailable(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := unread.Bare(address(t, "alice-x@local.test")); !got.IsZero() {
		t.Errorf("without accounts: %s", got)
	}
}
