package intake_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

// behind answers for the servers behind us, and notes who was asked.
type behind struct {
	answers map[string]callout.Answer // by local-part; others are unknown
	asked   []string
	onAsk   func()
}

func (b *behind) Ask(_ context.Context, _ netip.Addr, d directory.Domain, a mail.Address) callout.Answer {
	b.asked = append(b.asked, d.Server.String()+" "+a.String())
	if b.onAsk != nil {
		b.onAsk()
	}
	return b.answers[a.Local()]
}

func people() *behind {
	return &behind{answers: map[string]callout.Answer{
		"Zoe":  {Known: callout.Yes, Reply: mail.R(250, "2.1.5", "ok"), Remote: "inner", Age: time.Minute},
		"gone": {Known: callout.No, Reply: mail.R(550, "5.1.1", "who?"), Remote: "inner"},
		"full": {Known: callout.No, Reply: mail.R(552, "5.2.2", "no\nroom, sorry\x01ü"), Remote: "inner"},
		"late": {Why: "inner does not answer"},
		"odd":  {Known: 77, Reply: mail.R(250, "", "ok")},
	}}
}

// Promise of a shield: a recipient is let in on the word of the server behind, and
// while there is none, never.
func TestRecipientsBehindAreAskedFor(t *testing.T) {
	for _, row := range []struct {
		to       string
		code     int
		enhanced string
		rule     string
		evidence string
		asked    string
	}{
		{"<Zoe@behind.test>", 250, "2.1.5", "", "", "10.0.0.5:25 Zoe@behind.test"},
		{"<gone@behind.test>", 550, "5.1.1", "no-such-user", "gone@behind.test is refused; 550 5.1.1 who?; says inner", "10.0.0.5:25 gone@behind.test"},
		{"<full@behind.test>", 550, "5.2.2", "no-such-user", "full@behind.test is refused", "10.0.0.5:25 full@behind.test"},
		{"<late@behind.test>", 451, "4.3.0", "directory-unavailable", "late@behind.test is not known; inner does not answer", "10.0.0.5:25 late@behind.test"},
		{"<odd@behind.test>", 451, "4.3.0", "directory-unavailable", "is not known", "10.0.0.5:25 odd@behind.test"},
		{"<zoe@behind.test>", 451, "4.3.0", "directory-unavailable", "is not known", "10.0.0.5:25 zoe@behind.test"},
		{"<gone@cut.test>", 550, "5.1.1", "no-such-user", "gone@cut.test is refused", "/run/lmtp gone@cut.test"},
		{"<both@local.test>", 250, "2.1.5", "", "", "10.0.0.5:25 Zoe@behind.test"},
		// RFC 5321 §4.5.1
		{"<PostMaster@behind.test>", 250, "2.1.5", "", "", ""},
		{"<x@sub.behind.test>", 550, "5.7.1", "relay-denied", "", ""},
	} {
		t.Run(row.to, func(t *testing.T) {
			b := people()
			w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: b})
			c := w.connect(server.KindMX)
			c.want(c.from("<x@far.test>"), 250)
			r := c.to(row.to)
			if r.Code != row.code || r.Enhanced.String() != row.enhanced || strings.Join(b.asked, ",") != row.asked {
				t.Errorf("answered %v after asking %q, want %d %s", r, b.asked, row.code, row.enhanced)
			}
			if row.rule == "" {
				return
			}
			f := w.oneFact(row.rule)
			if found, _ := f.Find("server behind"); !strings.Contains(found, row.evidence) {
				t.Errorf("evidence %q, want %q", found, row.evidence)
			}
			if row.rule == "directory-unavailable" && !strings.Contains(f.Text, row.evidence) { // of a stranger's refusal the trace keeps no evidence
				t.Errorf("nothing says why nobody could tell: %q", f.Text)
			}
			if strings.ContainsFunc(r.Text, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
				t.Errorf("answered %q", r.Text)
			}
		})
	}
}

// A server behind that is this server under another name is told at once, and not when the time for an answer is over: who
// asks by our name, without a sender, about whom we are asking just now is nobody but us.
func TestAServerThatAsksItself(t *testing.T) {
	b := people()
	asking := "Zoe@behind.test"
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: b, asks: func(d directory.Domain, a mail.Address) bool {
		return d.Name.ASCII() == "behind.test" && a.String() == asking
	}})
	for _, row := range []struct {
		hello, from, to string
		loop            bool
	}{
		{"MX.Local.Test", "<>", "<Zoe@behind.test>", true},
		{"mx.local.test", "<>", "<both@local.test>", true}, // which leads to Zoe
		{"mx.local.test", "<>", "<bob@local.test>", false},
		{"mx.local.test", "<>", "<gone@behind.test>", false},
		{"mx.local.test", "<x@far.test>", "<Zoe@behind.test>", false},
		{"mx.far.test", "<>", "<Zoe@behind.test>", false},
	} {
		b.asked = nil
		c := w.connect(server.KindMX)
		c.s.Hello(t.Context(), server.Hello{Name: row.hello})
		c.want(c.from(row.from), 250)
		r := c.to(row.to)
		if loop := r.Enhanced.String() == "4.4.6"; loop != row.loop || loop && (len(b.asked) > 0 || !strings.Contains(r.Text, "10.0.0.5:25")) {
			t.Errorf("%+v: %v after asking %q", row, r, b.asked)
		}
	}
	if len(w.journal.take()) == 0 {
		t.Error("nothing of it is in the trace")
	}
}

func TestNobodyIsAskedInVain(t *testing.T) {
	b := people()
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: b})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	for _, to := range []string{"<bob@local.test>", "<x@remote.test>", "<nobody@local.test>", "<round@local.test>"} {
		c.to(to)
	}
	if len(b.asked) > 0 {
		t.Errorf("asked %q", b.asked)
	}
	// Without anybody to ask, nothing is known.
	c = newWorld(t).connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<Zoe@behind.test>"), 451)
	c.want(c.to("<both@local.test>"), 451)
}

func TestWhatWasSaidStandsInTheTrace(t *testing.T) {
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: people()})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<both@local.test>"), 250)
	c.want(c.to("<Zoe@behind.test>"), 250)
	c.want(c.data("Subject: x\r\n\r\n"), 250)
	f := w.oneFact("mx-local")
	if found, _ := f.Find("server behind"); found != "Zoe@behind.test is taken; 250 2.1.5 ok; says inner; 1m0s ago" {
		t.Errorf("%+v", f.Evidence)
	}
	claim, _ := w.only()
	var ways []string
	for _, r := range claim.Entry.Recipients {
		ways = append(ways, fmt.Sprint(r.Recipient.Address, " ", r.Mailbox, " ", r.Kind))
	}
	// Two addresses lead to Zoe, and of each it is to be known what became of it.
	if want := []string{"both@local.test bob@local.test 1", "both@local.test Zoe@behind.test 1", "Zoe@behind.test Zoe@behind.test 1"}; !slices.Equal(ways, want) {
		t.Errorf("%q, want %q", ways, want)
	}
}

// An account that was frozen while the server behind thought about it sends nothing.
func TestStandingIsAskedAfterTheAnswer(t *testing.T) {
	b := people()
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: b})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	b.onAsk = func() {
		_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "test", nil)
		must(t, err)
	}
	c.want(c.to("<Zoe@behind.test>"), 550)
}
