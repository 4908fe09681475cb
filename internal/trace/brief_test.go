package trace

import (
	"net/netip"
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
		{Fact{Kind: KindAccount, Account: "a@local.test", Text: "frozen"}, "14:03:12  account    a@local.test frozen"},
		{Fact{Kind: KindDisconnect, Text: "quit"}, ""},
	} {
		c.fact.At = at
		if got := c.fact.Brief(); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.fact.Kind, got, c.want)
		}
	}
}
