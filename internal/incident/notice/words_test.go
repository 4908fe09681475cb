package notice

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/store"
)

// wantAll reports what a text lacks, and what it has and should not.
func wantAll(t *testing.T, what, text string, want []string, not ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, text)
		}
	}
	for _, n := range not {
		if strings.Contains(text, n) {
			t.Errorf("%s has %q:\n%s", what, n, text)
		}
	}
}

// Where it is known what was misused, administrator and owner read that what is left reads on.
func TestWhatReadsOnIsSaid(t *testing.T) {
	w := newWorld(t)
	i := incident.Incident{Number: 7, State: incident.StateOpen, Account: w.addr("alice@local.test"), At: w.now, By: "the hijack detector", Rule: "hijack", Reason: "x"}
	wantAll(t, "not known, for the administrator", adminText([]incident.Incident{i}), []string{"It neither signs in nor sends, and what it has"}, "read on")
	wantAll(t, "not known, for the owner", ownerText(i), []string{"it cannot sign in or send. You still get mail.\n"}, "still read")
	i.Known = true
	wantAll(t, "known, for the administrator", adminText([]incident.Incident{i}), []string{"It sends nothing, what was used to sign in is revoked while its other programs read on, and what it has"}, "neither")
	wantAll(t, "known, for the owner", ownerText(i), []string{"it cannot send, and what was used to sign in opens nothing any more.", "programs that sign in with something else still read it."}, "cannot sign in")
	i.Rule = incident.RuleOperator
	wantAll(t, "a freeze by hand", ownerText(i), []string{"it cannot sign in or send."}, "still read")
}

// What the administrator reads of one incident has the evidence and what to do; of many it
// is a list.
func TestWhatTheAdministratorReads(t *testing.T) {
	w := newWorld(t)
	i := incident.Incident{
		Number: 7, State: incident.StateOpen, Account: w.addr("alice@local.test"), At: w.now, By: "the hijack detector", Rule: "hijack", Reason: "4 of 4 are new", Evidence: []string{"4 of 4 are new", "a new network"},
		Seen: []incident.Origin{{Peer: netip.MustParseAddr("192.0.2.7"), Door: "submission", Program: "bot", At: w.now}},
	}
	over := i
	over.Number, over.State, over.ClosedBy, over.ClosedFor = 6, incident.StateReleased, "uid 0", "she called"
	wantAll(t, "one incident", adminText([]incident.Incident{i}), []string{
		"Incident 7: alice@local.test was contained at 2026-11-28T09:00:00Z by the hijack detector.", "Why: 4 of 4 are new\n  a new network\n",
		"Seen: 2026-11-28T09:00:00Z from 192.0.2.7 at the door submission, program bot\n", "sallyport incident purge 7\n",
	}, "  4 of 4 are new\n", "paused")
	shy := i
	shy.Account = w.addr("o'brien@local.test")
	wantAll(t, "an address that a shell would not take", adminText([]incident.Incident{shy}), []string{`sallyport account passwd 'o'\''brien@local.test' --generate` + "\n"})
	wantAll(t, "a password kept here", adminText([]incident.Incident{i}), []string{"\n  sallyport account passwd alice@local.test --generate\n"})
	listed := i
	listed.Directory, listed.Seen = "people", []incident.Origin{{Door: "sendmail", At: w.now}}
	wantAll(t, "a password of a directory, and a program of this host", adminText([]incident.Incident{listed}), []string{
		"\n  sallyport account passwd alice@local.test --directory    takes its password again, once it was changed in the directory people\n",
		"Seen: 2026-11-28T09:00:00Z from this host at the door sendmail, program unknown\n",
	}, "--generate", "invalid")
	token := i
	token.Used = []string{"app-7", accounts.TokenID}
	wantAll(t, "a token", adminText([]incident.Incident{token}), []string{"\n  at the OpenID provider, first: end the sessions there", "\n  sallyport account passwd alice@local.test --generate\n"})
	token.Used = token.Used[:1]
	wantAll(t, "no token", adminText([]incident.Incident{token}), nil, "provider")
	wantAll(t, "the contact, of a program of this host", contactText(listed), []string{"It was used at 2026-11-28T09:00:00Z from this host, with the program unknown."}, "invalid")
	wantAll(t, "a digest", adminText([]incident.Incident{over, i}), []string{"Incident 6 of alice@local.test is released, by uid 0.\nshe called\n\nIncident 7: ", "Why: 4 of 4 are new\n\n"}, "a new network", "What next", "Seen")
	paused := incident.Incident{
		Number: 8, State: incident.StateOpen, Shared: incident.Shared{Kind: incident.KindNetwork, Text: "192.0.2.0/24"}, At: w.now, By: "the detector", Reason: "200 accounts", Evidence: []string{"30 each"},
	}
	wantAll(t, "a pause", adminText([]incident.Incident{paused}), []string{
		"Incident 8: the network 192.0.2.0/24 was paused at 2026-11-28T09:00:00Z by the detector.", "No account is stopped.", "Why: 200 accounts\n  30 each\n", "sallyport incident release 8 ",
	}, "contained")
	for want, about := range map[string][]incident.Incident{
		"Incident 7: alice@local.test is contained": {i}, "Incident 8: the network 192.0.2.0/24 is paused": {paused}, "Incident 6 is over: alice@local.test is released": {over}, "2 incidents: ": {i, over},
	} {
		if got := subject(about); !strings.HasPrefix(got, want) {
			t.Errorf("the subject %q, which should be %q", got, want)
		}
	}
}

// What the owner reads outside has whence the account was used, which the mailbox does not
// tell the thief; and the end of it does not ask for anything.
func TestWhatTheOwnerReads(t *testing.T) {
	w := newWorld(t)
	i := incident.Incident{State: incident.StateOpen, Account: w.addr("alice@local.test"), At: w.now, Rule: "hijack", Reason: "4 of 4"}
	outside := []string{"by telephone or in person", "This address was given as the one at which you are told"}
	wantAll(t, "nothing seen", contactText(i), outside, "If that was you", "It was used")
	i.Seen = []incident.Origin{{Peer: netip.MustParseAddr("192.0.2.7"), At: w.now}}
	wantAll(t, "one seen", contactText(i), append(outside, "\nIt was used at 2026-11-28T09:00:00Z from 192.0.2.7, with the program unknown.\nIf that was you"))
	wantAll(t, "the mailbox", ownerText(i), []string{"Somebody else seems to use your account alice@local.test", "You still get mail"}, "192.0.2.7", "This address")
	i.State = incident.StateReleased
	for what, text := range map[string]string{"the end outside": contactText(i), "the end": ownerText(i)} {
		wantAll(t, what, text, []string{"Your account alice@local.test may sign in and send again.\n"}, "telephone", "This address")
	}
	c, f := directory.Contact{Account: i.Account, Address: w.addr("next@private.test")}, directory.FormerContact{Until: w.now}
	wantAll(t, "replaced", replacedText(c, f), []string{"2026-11-28T09:00:00Z", "another address is told"}, "next@private.test", "no address")
}

// A pause is nobody's: the administrator alone hears of it.
func TestAPauseIsToldToTheAdministrator(t *testing.T) {
	w := newWorld(t)
	var i incident.Incident
	w.apply(w.o.Log.Raising(incident.Incident{Shared: incident.Shared{Kind: incident.KindText, Text: "5f3a"}, At: w.now, Since: w.now, Rule: "hijack", By: "x", Reason: "y"}, &i))
	must(t, w.look(t.Context()))
	if all, others := w.admin(); len(all) != 1 || others != 0 || !strings.Contains(all[0], "Subject: Incident 1: the text 5f3a is paused\r\n") {
		t.Errorf("%q, %d others", all, others)
	}
}

// Each notice is in the name of a domain that its reader knows, has a subject, and an id
// that no other has; one that cannot be signed goes out unsigned.
func TestTheHeaderOfANotice(t *testing.T) {
	w := newWorld(t)
	w.dir(directory.Contact{Account: w.addr("alice@local.test"), Address: w.addr("alice@private.test")})
	signed := 0
	w.o.Post.Sign = func(mail.Domain, message.Header, []byte) ([]byte, error) { signed++; return nil, errors.New("no key") }
	w.raise("alice@local.test")
	must(t, w.look(t.Context()))
	ids := map[string]bool{}
	all := w.queued()
	for _, q := range all {
		from := "mx.local.test"
		if strings.HasPrefix(q, "alice@private.test\n") {
			from = "local.test"
		}
		wantAll(t, "a notice", q, []string{"\nFrom: Mail server <postmaster@" + from + ">\r\n", "\r\nSubject: Incident 1: alice@local.test is contained\r\n", "\r\nAuto-Submitted: auto-generated\r\n"})
		_, id, _ := strings.Cut(q, "Message-ID: ")
		id, _, _ = strings.Cut(id, "\r\n")
		if ids[id] = true; !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, "@mx.local.test>") {
			t.Errorf("the id %q", id)
		}
	}
	if len(all) != 3 || len(ids) != 3 || signed != 1 {
		t.Errorf("%d notices with %d ids, %d signed", len(all), len(ids), signed)
	}
}

// What fails takes nothing of the bound of an hour, and a clock that was put back gives
// none of it away for ever.
func TestTheBoundOfAnHour(t *testing.T) {
	w := newWorld(t)
	w.fails = "postmaster@"
	for n := range 30 {
		w.raise(fmt.Sprintf("p%d@local.test", n))
		if err := w.look(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if w.room() != w.o.Limits.Hour {
		t.Errorf("%d of %d are left", w.room(), w.o.Limits.Hour)
	}
	w.fails = ""
	must(t, w.look(t.Context()))
	if w.room() != 0 {
		t.Errorf("%d are left", w.room())
	}
	w.now = w.now.Add(-24 * time.Hour)
	if w.room() != w.o.Limits.Hour {
		t.Errorf("%d are left on a clock that was put back", w.room())
	}
}
