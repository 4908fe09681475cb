package proof_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// config has one of everything that a directory can hold.
func config(t testing.TB) (directory.Config, []mail.Address) {
	c := directory.Config{
		Hostname: domain(t, "mx.local.test"),
		Domains: []directory.Domain{
			{Name: domain(t, "local.test"), Deliver: directory.DeliverMaildir},
			{Name: domain(t, "behind.test"), Deliver: directory.DeliverSMTP, Recipients: directory.RecipientsCallout,
				Server: directory.Server{Host: "10.0.0.5", Port: 25, TLS: mail.TLSNone}},
		},
		Aliases: []directory.Alias{{Address: addr(t, "info@local.test"), Targets: []mail.Address{addr(t, "alice@local.test"), addr(t, "boss@behind.test")}, Posting: directory.PostingAnyone}},
		Routes: []directory.Route{
			{Domain: domain(t, "remote.test"), Host: "relay.test", Port: 25, TLS: mail.TLSRequired},
			{Host: "smart.test", Port: 25, TLS: mail.TLSRequired},
		},
		Forwards:        []directory.Forward{{Account: addr(t, "bob@local.test"), Targets: []mail.Address{addr(t, "bob@elsewhere.test")}}},
		Contacts:        []directory.Contact{{Account: addr(t, "alice@local.test"), Address: addr(t, "alice@private.test"), Former: []directory.FormerContact{{Address: addr(t, "old@private.test")}}}},
		ForwardExternal: true,
		Delegates:       []directory.Delegate{{Account: addr(t, "bob@local.test"), Address: addr(t, "info@local.test")}},
		Literals:        []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		Detail:          '+',
	}
	return c, []mail.Address{addr(t, "alice@local.test"), addr(t, "bob@local.test")}
}

func world(t testing.TB) proof.World {
	t.Helper()
	cfg, accounts := config(t)
	s, err := directory.NewSnapshot(cfg, accounts)
	if err != nil {
		t.Fatal(err)
	}
	return proof.Of(cfg, s, accounts)
}

// A directory with one of everything is closed, and the proof tried what matters.
func TestClosed(t *testing.T) {
	w := world(t)
	var asked []string
	destinations := map[gate.Destination]bool{}
	classify, notice, decide, relays := w.Classify, w.Notice, w.Decide, 0
	w.Notice = func(account, a mail.Address) directory.Class {
		c := notice(account, a)
		destinations[c.Destination] = true
		return c
	}
	w.Classify = func(account, a mail.Address) directory.Class {
		c := classify(account, a)
		asked = append(asked, a.String())
		destinations[c.Destination] = true
		return c
	}
	w.Decide = func(f gate.Facts, s gate.Subject) gate.Verdict {
		v := decide(f, s)
		if v.Action == gate.Relay {
			relays++
		}
		return v
	}
	r := proof.Prove(w)
	if !r.Closed() {
		t.Fatalf("open: %v", r.Witness)
	}
	for _, want := range []string{
		"victim%outside.invalid@local.test", "postmaster@[127.0.0.1]", "victim@[192.0.2.1]", "*@sub.remote.test",
		"postmaster@xlocal.test", "info@local.test", "info+victim@local.test", "bob@elsewhere.test", "postmaster@mx.local.test", "boss@behind.test",
	} {
		if !slices.Contains(asked, want) {
			t.Errorf("%s was not tried", want)
		}
	}
	for _, d := range []gate.Destination{gate.DestinationForeign, gate.DestinationMailbox, gate.DestinationPostmaster, gate.DestinationNoSuchUser, gate.DestinationOwnLiteral, gate.DestinationUnavailable, gate.DestinationContact} {
		if !destinations[d] {
			t.Errorf("no address was of the class %v", d)
		}
	}
	if relays == 0 {
		t.Error("nothing relays, not even for those who may")
	}
	t.Logf("%d addresses, %d classes", r.Addresses, r.Classes)
	if again := proof.Prove(world(t)); again != r {
		t.Errorf("proven twice, it is %+v and %+v", r, again)
	}
}

// An empty proof proves nothing.
func TestNothingTried(t *testing.T) {
	if (proof.Report{}).Closed() {
		t.Error("nothing was tried, and it is closed")
	}
}

// Each fault that opens a server is found, and told.
func TestWitness(t *testing.T) {
	foreign := func(f gate.Facts) bool { return f.Destination == gate.DestinationForeign }
	// relay gives the verdict of alice's own mail, with a grant for that recipient.
	relay := func(s gate.Subject) gate.Verdict {
		s.Account, s.Sender = addr(t, "alice@local.test"), mail.PathOf(addr(t, "alice@local.test"))
		return gate.Decide(gate.Facts{
			Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword, Standing: gate.StandingActive,
			Ownership: gate.OwnershipOwned, Destination: gate.DestinationForeign,
		}, s)
	}
	for name, c := range map[string]struct {
		decide   func(gate.Facts, gate.Subject) (gate.Verdict, bool)
		classify func(mail.Address) (directory.Class, bool)
		notice   func(account, a mail.Address) (directory.Class, bool)
		want     string
	}{
		"a percent sign routes": {
			classify: func(a mail.Address) (directory.Class, bool) {
				return directory.Class{Destination: gate.DestinationMailbox, Rule: "percent", Mailboxes: []directory.Mailbox{{Account: addr(t, "victim@outside.invalid")}}}, strings.Contains(a.Local(), "%")
			}, want: "not ours"},
		"a suffix counts as ours": {
			classify: func(a mail.Address) (directory.Class, bool) {
				return directory.Class{Destination: gate.DestinationMailbox, Rule: "suffix"}, strings.HasSuffix(a.Domain().ASCII(), "local.test") && a.Domain().ASCII() != "local.test" && a.Domain().ASCII() != "mx.local.test"
			}, want: "takes it for ours"},
		"a literal of the loopback counts as ours": {
			classify: func(a mail.Address) (directory.Class, bool) {
				ip, ok := a.Literal()
				return directory.Class{Destination: gate.DestinationPostmaster, Rule: "literal"}, ok && ip.IsLoopback()
			}, want: "takes it for ours"},
		"strangers relay": {
			decide: func(f gate.Facts, s gate.Subject) (gate.Verdict, bool) {
				return relay(s), f.Door == gate.DoorMX && foreign(f)
			}, want: "grant"},
		"a proven network relays": {
			decide: func(f gate.Facts, s gate.Subject) (gate.Verdict, bool) {
				return gate.Verdict{Action: gate.Relay}, f.Peer == gate.PeerProvenNetwork && foreign(f)
			}, want: "grant"},
		"a foreign recipient is taken in": {
			decide: func(f gate.Facts, s gate.Subject) (gate.Verdict, bool) {
				return gate.Verdict{Action: gate.AcceptLocal}, f.Auth == gate.AuthNone && foreign(f)
			}, want: "as if it were"},
		"frozen accounts relay": {
			decide: func(f gate.Facts, s gate.Subject) (gate.Verdict, bool) {
				frozen := f.Standing == gate.StandingFrozen && foreign(f)
				f.Standing = gate.StandingActive
				return gate.Decide(f, s), frozen
			}, want: "may not send"},
		"a sender is not asked for": {
			decide: func(f gate.Facts, s gate.Subject) (gate.Verdict, bool) {
				others := f.Ownership == gate.OwnershipOurs && foreign(f)
				f.Ownership = gate.OwnershipOwned
				return gate.Decide(f, s), others
			}, want: "another's name"},
		"a notice goes anywhere": {
			notice: func(_, a mail.Address) (directory.Class, bool) {
				return directory.Class{Destination: gate.DestinationContact, Rule: "anywhere"}, a.Domain().ASCII() == "outside.invalid"
			}, want: "where no administrator sent it"},
		"a notice goes to the contact of another account": {
			notice: func(account, a mail.Address) (directory.Class, bool) {
				return directory.Class{Destination: gate.DestinationContact, Rule: "another's"}, account.Local() == "bob" && a.Local() == "alice" && a.Domain().ASCII() == "private.test"
			}, want: "where no administrator sent it"},
		"a notice leaves as its account's mail": {
			decide: func(f gate.Facts, s gate.Subject) (gate.Verdict, bool) {
				notice := f.Destination == gate.DestinationContact && f.Door == gate.DoorNotice
				f.Door, f.Auth, f.Standing, f.Destination = gate.DoorSubmission, gate.AuthPassword, gate.StandingActive, gate.DestinationForeign
				return gate.Decide(f, s), notice
			}, want: "as the mail of an account"},
		"a contact is written to without signing in": {
			decide: func(f gate.Facts, s gate.Subject) (gate.Verdict, bool) {
				contact := f.Destination == gate.DestinationContact && f.Door == gate.DoorNotification
				f.Door, f.Auth, f.Standing, f.Destination = gate.DoorSubmission, gate.AuthPassword, gate.StandingActive, gate.DestinationForeign
				return gate.Decide(f, s), contact
			}, want: "not signed in"},
		"a foreign sender is not asked for": {
			decide: func(f gate.Facts, s gate.Subject) (gate.Verdict, bool) {
				others := f.Ownership == gate.OwnershipForeign && foreign(f)
				f.Ownership = gate.OwnershipOwned
				return gate.Decide(f, s), others
			}, want: "foreign name"},
	} {
		t.Run(name, func(t *testing.T) {
			w := world(t)
			decide, classify := w.Decide, w.Classify
			if c.decide != nil {
				w.Decide = func(f gate.Facts, s gate.Subject) gate.Verdict {
					if v, wrong := c.decide(f, s); wrong {
						return v
					}
					return decide(f, s)
				}
			}
			if c.classify != nil {
				w.Classify = func(account, a mail.Address) directory.Class {
					if k, wrong := c.classify(a); wrong {
						return k
					}
					return classify(account, a)
				}
			}
			notice := w.Notice
			if c.notice != nil {
				w.Notice = func(account, a mail.Address) directory.Class {
					if k, wrong := c.notice(account, a); wrong {
						return k
					}
					return notice(account, a)
				}
			}
			r := proof.Prove(w)
			if r.Witness == nil || r.Closed() {
				t.Fatal("it counts as closed")
			}
			if text := fmt.Sprint(r.Witness); !strings.Contains(text, c.want) {
				t.Errorf("the witness says %q, and nothing of %q", text, c.want)
			}
		})
	}
}
