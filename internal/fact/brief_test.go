package fact

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

func TestBriefIsWhatAWatcherReads(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 3, 12, 0, time.UTC)
	id, err := mail.ParseID("06h0jc35q52e3pmd6t61nszx")
	if err != nil {
		t.Fatal(err)
	}
	peer := netip.MustParseAddr("192.0.2.7")
	for _, c := range []struct {
		fact Fact
		want string
	}{
		{Fact{Kind: KindAccept, Queue: id, Sender: "<a@local.test>", Recipients: []string{"b@remote.test"}, Size: 1200, Rule: "submission-relay"},
			"14:03:12  accepted   06h0jc35q52e3pmd6t61nszx from <a@local.test> to <b@remote.test> (1.2 KB)"},
		{Fact{Kind: KindOutcome, Rule: "delivered", Queue: id, Recipients: []string{"b@local.test"}, Remote: "maildir", Reply: mail.R(250, "2.0.0", "stored")},
			"14:03:12  delivered  06h0jc35q52e3pmd6t61nszx to <b@local.test> via maildir"},
		{Fact{Kind: KindOutcome, Rule: "deferred", Queue: id, Recipients: []string{"b@remote.test"}, Remote: "mx.remote.test", Reply: mail.R(451, "4.7.1", "later"), Text: "next try soon"},
			"14:03:12  deferred   06h0jc35q52e3pmd6t61nszx to <b@remote.test> by mx.remote.test 451 4.7.1 later (next try soon)"},
		{Fact{Kind: KindAuth, Rule: "signin-ok", Account: "a@local.test", Peer: peer, Reply: mail.R(235, "2.7.0", "signed in")}.Evidenced("mechanism", "PLAIN"),
			"14:03:12  signed in  a@local.test from 192.0.2.7 with PLAIN"},
		{Fact{Kind: KindRefuse, Rule: "relay-denied", Network: netip.MustParsePrefix("192.0.2.0/24"), Sender: "x@y.test", Recipients: []string{"v@z.test"}, Reply: mail.R(550, "5.7.1", "relaying denied"), Count: 3},
			"14:03:12  refused    from 192.0.2.0/24 from <x@y.test> to <v@z.test> 550 5.7.1 relaying denied (relay-denied) 3 times"},
		{Fact{Kind: KindRefuse, Rule: "proxy-header", Peer: peer, Door: "mx", Text: "it begins with no PROXY header"},
			"14:03:12  refused    from 192.0.2.7 it begins with no PROXY header (proxy-header)"},
		{Fact{Kind: KindAccount, Account: "a@local.test", Text: "frozen"}, "14:03:12  account    a@local.test frozen"},
		{Fact{Kind: KindDisconnect, Text: "quit"}, ""},
	} {
		c.fact.At = at
		if got := c.fact.Brief(); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.fact.Kind, got, c.want)
		}
	}
}

// What a stranger wrote never reads as a fact of ours, wherever it stands on the line.
func TestLinesHoldNoInventedFacts(t *testing.T) {
	const lie = `x@y.test> rule account-frozen account=root message-id <z`
	f := Fact{
		At: time.Date(2026, 11, 28, 14, 3, 12, 0, time.UTC), Kind: KindOutcome, Rule: "delivered", Account: lie, Sender: lie, Recipient: lie, MessageID: "<" + lie + ">",
		Remote: "mx.y.test [192.0.2.1]:25", Reply: mail.R(250, "2.0.0", "ok rule x\naccount=root"), Text: "said - rule x \x1b[2K\u202e", Hello: lie,
	}.Evidenced("saw", lie)
	refused := f
	refused.Kind, refused.Rule = KindRefuse, "syntax"
	for _, fact := range []Fact{f, refused} {
		for _, text := range []string{fact.Line(), fact.Brief()} {
			rest := regexp.MustCompile(`"(\\.|[^"\\])*"`).ReplaceAllString(text, "Q")
			for _, bad := range []string{"root", "account=", "account-frozen", `"`, "\x1b", "\u202e", "\n", "rule x"} {
				if strings.Contains(rest, bad) {
					t.Errorf("%q stands bare in\n%s", bad, text)
				}
			}
		}
	}
	if lines := strings.Split(Timeline([]Fact{f}, nil), "\n"); len(lines) != 4 {
		t.Errorf("%q", lines)
	}
}
