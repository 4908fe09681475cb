package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// world has one entry of each kind, an active, a frozen and no third account.
func world(t *testing.T) World {
	t.Helper()
	alice, bob := address(t, "alice@local.test"), address(t, "bob@local.test")
	cfg := directory.Config{
		Hostname: domain(t, "mx.local.test"), Detail: '+', ForwardExternal: true, Literals: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		Domains: []directory.Domain{
			{Name: domain(t, "local.test"), Deliver: directory.DeliverMaildir},
			{Name: domain(t, "caught.test"), Deliver: directory.DeliverMaildir},
			{Name: domain(t, "behind.test"), Deliver: directory.DeliverLMTP, Recipients: directory.RecipientsCallout, Server: directory.Server{LMTP: true, Host: "192.0.2.9", Port: 24, TLS: mail.TLSNone}},
		},
		Aliases: []directory.Alias{
			{Address: address(t, "sales@local.test"), Targets: []mail.Address{alice}, Posting: directory.PostingAnyone},
			{Address: address(t, "team@local.test"), Targets: []mail.Address{alice, bob, address(t, "gone@local.test")}, Posting: directory.PostingAccounts},
			{Address: address(t, "board@local.test"), Targets: []mail.Address{bob}, Posting: directory.PostingMembers},
			{CatchAll: domain(t, "caught.test"), Targets: []mail.Address{bob}, Posting: directory.PostingAnyone},
		},
		Delegates: []directory.Delegate{{Account: alice, Address: address(t, "team@local.test")}},
		Forwards:  []directory.Forward{{Account: bob, Targets: []mail.Address{address(t, "bob@far.test")}, Keep: true}},
		Routes:    []directory.Route{{Domain: domain(t, "far.test"), Host: "relay.test", Port: 25, TLS: mail.TLSOpportunistic}},
	}
	s, err := directory.NewSnapshot(cfg, []mail.Address{alice, bob})
	if err != nil {
		t.Fatal(err)
	}
	return World{
		Snapshot: s, Transport: "to its exchangers",
		Standing: func(a mail.Address) (gate.Standing, string) {
			switch a.Key() {
			case alice.Key():
				return gate.StandingActive, ""
			case bob.Key():
				return gate.StandingFrozen, "is frozen"
			}
			return gate.StandingNone, ""
		},
		Barred: func(_ mail.Address, by gate.Auth) string {
			return map[bool]string{true: "takes no tokens"}[by == gate.AuthToken]
		},
		Door: func(d gate.Door) string {
			return map[bool]string{true: "no such door"}[d == gate.DoorSendmail]
		},
		Form: func(a mail.Address, bounce bool) Form {
			switch a.Local() {
			case "srs":
				return Form{Class: directory.Class{Destination: gate.DestinationForwardReturn, Mailboxes: []directory.Mailbox{{Account: bob}}}, Says: "the way back"}
			case "signed":
				return Form{Stands: alice, Says: "signed"}
			case "bare":
				if bounce {
					return Form{Class: directory.Class{Destination: gate.DestinationUnmarked}, Says: "not signed"}
				}
			}
			return Form{}
		},
		Where: func(s directory.Subject) string { return "the " + s.Kind.String() + " " + s.Name },
		Network: func(a netip.Addr) (trust.Network, string, string, bool) {
			n, why := trust.Network{Name: "printers", Account: alice}, ""
			if a == netip.MustParseAddr("10.20.0.1") {
				why = "it is a gateway"
			}
			return n, "the network printers", why, netip.MustParsePrefix("10.20.0.0/24").Contains(a)
		},
		Client: func(a netip.Addr) string {
			return map[bool]string{true: "a balancer"}[a == netip.MustParseAddr("10.0.0.1")]
		},
	}
}

func walk(t *testing.T, w World, text string) Answer {
	t.Helper()
	q, err := Parse(text)
	if err != nil {
		t.Fatal(text, err)
	}
	return Walk(w, q)
}

// What is explained is what the maker of mail is told, for every door, account, sender and
// recipient.
func TestTheAnswerIsTheGates(t *testing.T) {
	w, tried := world(t), 0
	accounts := []string{"none", "alice@local.test", "bob@local.test", "carol@local.test"}
	senders := []string{"<>", "x@y.test", "alice@local.test", "alice+d@local.test", "team@local.test", "sales@local.test", "bob@local.test", "x@caught.test", "nobody@local.test"}
	recipients := append(senders[1:], "board@local.test", "x@far.test", "x@behind.test", "postmaster@local.test", "abuse@[192.0.2.1]", "x@[198.51.100.1]", "x@[127.0.0.1]", "a%b@local.test")
	for _, door := range []string{"mx", "submission", "sendmail"} {
		for _, account := range accounts {
			for _, from := range senders {
				for _, to := range recipients {
					q, err := Parse("door=" + door + " auth=" + account + " from=" + from + " to=" + to)
					if err != nil {
						t.Fatal(err)
					}
					tried++
					got, want := Walk(w, q), told(t, w, q)
					if got.Reply != want.Reply.String() || got.Rule != want.Rule || got.Action != want.Action.String() {
						t.Errorf("%s %s %s %s: explained %s %s, told %s %s", door, account, from, to, got.Rule, got.Reply, want.Rule, want.Reply)
					}
				}
			}
		}
	}
	if tried != 3*4*9*16 {
		t.Errorf("%d were tried", tried)
	}
}

// told is what letter says of the same transaction.
func told(t *testing.T, w World, q Question) gate.Verdict {
	t.Helper()
	f := gate.Facts{Door: q.Door, Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: gate.StandingNone}
	account := mail.Address{}
	if s, _ := w.Standing(q.Account); q.Door != gate.DoorMX && !q.Account.IsZero() && s != gate.StandingNone {
		account, f.Auth, f.Standing = q.Account, q.Auth, s
		if q.Door == gate.DoorSendmail {
			f.Auth = gate.AuthLocalUID
		}
	}
	id, err := mail.ParseID(strings.Repeat("0", mail.IDLength-1) + "2")
	if err != nil {
		t.Fatal(err)
	}
	d := letter.Draft{ID: id, Account: account, Envelope: mail.Envelope{From: q.From}, Ownership: w.Snapshot.Ownership(account, q.From), Session: func() gate.Facts { return f }}
	if v := d.Mail(); v.Action != gate.AcceptLocal {
		return v
	}
	yes := func(directory.Mailbox) directory.Answer { return directory.AnswerYes }
	return d.Judge(q.To, w.Snapshot.ClassifyFor(account, q.To), yes).Verdict
}

// Each step tells what was found and where it was made, and a no what would change it.
func TestTheWayIsTold(t *testing.T) {
	w := world(t)
	for _, c := range []struct {
		ask    string
		says   []string
		remedy string
	}{
		{"from=x@y.test to=sales@local.test", []string{"RCPT TO: sales@local.test is an alias of alice@local.test [the alias sales@local.test]", "RCPT TO:   alice@local.test is an account [the account alice@local.test]", "delivery: into the mailbox of alice@local.test"}, ""},
		{"from=x@y.test to=alice+x@local.test", []string{"alice+x@local.test is alice@local.test with a detail"}, ""},
		{"from=x@y.test to=bob@local.test", []string{"and on to bob@far.test by the forward of bob@local.test, which answers for it: it waits while the account may not send [the forward bob@local.test]"}, ""},
		{"from=x@y.test to=what@caught.test", []string{"nobody has what@caught.test, and the catch-all of its domain leads to bob@local.test [the alias @caught.test]"}, ""},
		{"from=x@y.test to=abuse@local.test", []string{"abuse@local.test is a role that always exists, and leads to postmaster@local.test", "  postmaster@local.test is a role that always exists, with a mailbox of its own"}, ""},
		{"client=192.0.2.7 from=x@y.test to=x@behind.test", []string{"who is kept out on port 25", "`sallyport screen test 192.0.2.7` tells"}, ""},
		{"from=x@y.test to=x@behind.test", []string{"`sallyport screen test ADDRESS` tells", "x@behind.test belongs to the server behind us", "asked whether x@behind.test exists", "to x@behind.test at the server behind us, 192.0.2.9:24 [the domain behind.test]"}, ""},
		{"from=x@y.test to=team@local.test", []string{"to which only signed-in accounts may write"}, "who sends signs in here"},
		{"from=alice@local.test auth=alice@local.test to=team@local.test", []string{"nobody gets what an alias leads to gone@local.test"}, ""},
		{"from=alice@local.test auth=alice@local.test to=board@local.test", []string{"to which only its members may write"}, "as a member of the group"},
		{"from=team@local.test auth=alice@local.test to=x@far.test", []string{"team@local.test is the account's to use: delegate alice@local.test team@local.test [the delegate alice@local.test team@local.test]", "to relay.test port 25 by the route of far.test [the route far.test]"}, ""},
		{"from=sales+x@local.test auth=alice@local.test to=x@else.test", []string{"is the account's to use: alias sales@local.test", "delivery: to its exchangers"}, ""},
		{"from=nobody@local.test auth=alice@local.test to=x@else.test", []string{"nobody@local.test is of a domain of ours, and not alice@local.test's to use"}, "sallyport delegate add alice@local.test nobody@local.test"},
		{"from=x@y.test auth=alice@local.test to=x@else.test", nil, "an account never sends as an address of another's domain"},
		{"from=bob@local.test auth=bob@local.test to=x@else.test", []string{"bob@local.test is frozen"}, "sallyport account show bob@local.test"},
		{"from=x@y.test auth=carol@local.test to=x@else.test", []string{"carol@local.test is no account"}, "signs in at the submission door"},
		{"from=alice@local.test to=x@else.test door=25 auth=alice@local.test", []string{"AUTH is not offered at this door"}, "signs in at the submission door"},
		{"from=x@y.test to=x@else.test client=[::ffff:10.0.0.1]", []string{"client: 10.0.0.1: a balancer", "its domain is none of ours"}, "sallyport domain add else.test"},
		{"from=x@y.test to=gone@local.test client=2001:db8::1", []string{"2001:db8::1: a stranger", "neither an account nor an alias has this name"}, "sallyport account add"},
		{"from=<> to=srs@local.test", []string{"srs@local.test: the way back", "into the mailbox of bob@local.test"}, ""},
		{"from=x@y.test to=srs@local.test", []string{"takes nothing but the null sender"}, ""},
		{"from=x@y.test to=signed@local.test", []string{"signed@local.test: signed", "alice@local.test is an account", "into the mailbox of alice@local.test"}, ""},
		{"from=<> to=bare@local.test", []string{"bare@local.test: not signed"}, "return_path.exempt"},
		{"from=x@y.test to=bare@local.test", []string{"neither an account nor an alias"}, "sallyport account add"},
		{"from=alice@local.test auth=alice@local.test by=token to=x@else.test", []string{"alice@local.test takes no tokens: it is answered like a wrong password"}, "signs in at the submission door"},
		{"door=sendmail from=alice@local.test auth=alice@local.test to=x@else.test", []string{"no such door: what follows"}, ""},
		{"door=sendmail from=alice@local.test to=x@else.test", []string{"without an account is turned away at once"}, "signs in at the submission door"},
		{"from=x@y.test to=x@[127.0.0.1]", []string{"a literal of this host or its link"}, ""},
	} {
		a := walk(t, w, c.ask)
		text := ""
		for _, s := range a.Steps {
			text += string(s.Stage) + ": " + s.Says
			if s.At != "" {
				text += " [" + s.At + "]"
			}
			text += "\n"
		}
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", c.ask, want, text)
			}
		}
		if (c.remedy == "") != (a.Remedy == "") || !strings.Contains(a.Remedy, c.remedy) {
			t.Errorf("%s: the remedy is %q, not %q", c.ask, a.Remedy, c.remedy)
		}
		if last := a.Steps[len(a.Steps)-1]; last.Stage != StageNotWalked {
			t.Errorf("%s does not end with what was not walked, but with %+v", c.ask, last)
		}
	}
}

// While sender binding only reports, another name of ours is taken as the account's own, and
// what is not ours is refused as ever.
func TestBindingThatOnlyReports(t *testing.T) {
	w := world(t)
	w.BindingReports = true
	for ask, want := range map[string]gate.Rule{
		"auth=alice@local.test from=bob@local.test to=x@far.test":               gate.RuleSubmissionRelay,
		"auth=alice@local.test from=x@y.test to=x@far.test":                     gate.RuleSenderNotOwned,
		"auth=bob@local.test from=alice@local.test to=x@far.test":               gate.RuleAccountFrozen,
		"auth=carol@local.test from=alice@local.test to=x@far.test":             gate.RuleSignInRequired,
		"door=sendmail auth=alice@local.test from=bob@local.test to=x@far.test": gate.RuleSendmailRelay,
		"from=alice@local.test to=bob@local.test":                               gate.RuleMXOwnSender,
	} {
		if a := walk(t, w, ask); a.Rule != want {
			t.Errorf("%s: %s, not %s", ask, a.Rule, want)
		}
	}
	a := walk(t, w, "auth=alice@local.test from=bob@local.test to=x@far.test")
	if text := fmt.Sprint(a.Steps); !strings.Contains(text, "it is noted, and taken with alice@local.test as its sender") {
		t.Errorf("it is not told: %s", text)
	}
}

func TestWhatIsNoTransaction(t *testing.T) {
	for text, want := range map[string]string{
		"":                                        "lacks from=",
		"from=a@b.test":                           "lacks to=",
		"from=a@b.test to=x@y.test to=z@y.z":      "each at most once",
		"from=a@b.test to=x@y.test ip=1":          `"ip=1" is not one of`,
		"from=a@b.test to=x@y.test word":          `"word" is not one of`,
		"from=a@b to=x@":                          `to="x@"`,
		"from=a@b.test to=":                       `to=""`,
		"from=@ to=x@y.test":                      `from="@"`,
		"client=999.1.1.1 from= to=x@y.test":      `client="999.1.1.1"`,
		"by=password from= to=x@y.test":           "with auth=",
		"by=luck auth=a@b.test from= to=x@y.test": `by="luck"`,
		"auth=alice from= to=x@y.test":            `auth="alice"`,
		"door=23 from= to=x@y.test":               `door="23"`,
		`from= to="x@y.test`:                      "a quote is not closed",
	} {
		if _, err := Parse(text); !errors.Is(err, ErrQuestion) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	q, err := Parse(`  from=<"a b"@y.test>  to=<"c \" d"@local.test> client=[2001:db8::1]`)
	if a, _ := q.From.Address(); err != nil || a.Local() != "a b" || q.To.Local() != `c " d` || q.Client != netip.MustParseAddr("2001:db8::1") {
		t.Errorf("%+v, %v", q, err)
	}
	if a := Walk(world(t), Question{}); a.Action != "refuse" {
		t.Errorf("the zero question: %+v", a)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`client=192.0.2.1 auth=alice@local.test by=token door=465 from=<"a b"@y.test> to=x@y.test`)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err == nil && (q.To.IsZero() != q.Postmaster || q.From.IsZero() || q.Door == gate.DoorUnknown || q.Auth == gate.AuthUnknown) {
			t.Errorf("%q is read as %+v", text, q)
		}
	})
}

// A client of a trusted network sends as its account at the submission door, with a sender of
// the account, while the network counts; each no says which of these lacks.
func TestNetworks(t *testing.T) {
	for text, want := range map[string][2]string{
		"client=10.20.0.7 door=submission from=alice@local.test to=x@far.test":     {"relay", "by the network printers"},
		"client=10.20.0.7 door=submission from=team@local.test to=x@far.test":      {"relay", "by the network printers"},
		"client=10.20.0.7 door=submission from=bob@local.test to=x@far.test":       {"refuse", "this is none"},
		"client=10.20.0.7 door=submission from=<> to=x@far.test":                   {"refuse", "this is none"},
		"client=10.20.0.1 door=submission from=alice@local.test to=x@far.test":     {"refuse", "does not count: it is a gateway"},
		"client=10.20.1.7 door=submission from=alice@local.test to=x@far.test":     {"refuse", "a stranger"},
		"client=10.20.0.7 door=mx from=x@far.test to=y@far.test":                   {"refuse", "gives no right elsewhere"},
		"client=10.20.0.7 auth=bob@local.test from=alice@local.test to=x@far.test": {"refuse", "is frozen"},
	} {
		a := walk(t, world(t), text)
		if said := fmt.Sprint(a.Steps); a.Action != want[0] || !strings.Contains(said, want[1]) {
			t.Errorf("%s: %s, and it says %s", text, a.Action, said)
		}
	}
	w := world(t)
	w.Standing = func(mail.Address) (gate.Standing, string) { return gate.StandingFrozen, "is frozen" }
	if a := walk(t, w, "client=10.20.0.7 door=submission from=alice@local.test to=x@far.test"); a.Action != "refuse" || !strings.Contains(fmt.Sprint(a.Steps), "no account that may act now") {
		t.Errorf("a frozen account: %+v", a)
	}
}
