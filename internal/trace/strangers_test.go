package trace

import (
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// Different verdicts under one rule keep what was said to whom, and about what.
func TestStrangersKeepEachVerdict(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for _, f := range []struct {
		door, text, client string
		reply              mail.Reply
	}{
		{"mx", "FOO", "192.0.2.1", mail.R(500, "5.5.2", "command not recognised")},
		{"mx", "RCPT TO:<x\x1b@y.test>", "192.0.2.2", mail.R(500, "5.5.2", "control characters are not allowed")},
		{"mx", "", "192.0.2.3", mail.R(554, "5.5.2", "lines must end with CRLF")},
		{"submission", "FOO", "192.0.2.3", mail.R(500, "5.5.2", "command not recognised")},
	} {
		l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Rule: "protocol", Door: f.door, Text: f.text, Reply: f.reply, Peer: netip.MustParseAddr(f.client)})
	}
	shown := fact.Timeline(h.ask(l, "192.0.2.0/24").Facts(), nil)
	for _, want := range []string{
		"refused 2 times until", "network 192.0.2.0/24 on mx 500 5.5.2 command not recognised",
		"answer: 500 5.5.2 command not recognised\n", "answer: 500 5.5.2 control characters are not allowed\n",
		"detail: FOO\n", "detail: RCPT TO:<x\\x1b@y.test>\n", "client: 192.0.2.1\n", "client: 192.0.2.2\n",
		"refused client 192.0.2.3 on mx 554 5.5.2 lines must end with CRLF",
		"refused client 192.0.2.3 on submission 500 5.5.2 command not recognised - FOO",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in:\n%s", want, shown)
		}
	}
	// A fact that stands for one client alone is no other client's.
	if got := kinds(h.ask(l, "192.0.2.3")); got != "refuse refuse refuse" {
		t.Errorf("192.0.2.3: %s", got)
	}
	if got := kinds(h.ask(l, "192.0.2.9")); got != "refuse" {
		t.Errorf("192.0.2.9: %s", got)
	}
	sync1(t, l)
	if after := fact.Timeline(h.ask(l, "192.0.2.0/24").Facts(), nil); after != shown {
		t.Errorf("written, it reads\n%sand before\n%s", after, shown)
	}
}
