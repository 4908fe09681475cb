package intake_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/budget"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/intake"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

// guard is a real watch that notes what was submitted.
type guard struct {
	*watch.Watch
	last watch.Submission
}

func (g *guard) Submitted(ctx context.Context, m watch.Submission) watch.Judged {
	g.last = m
	return g.Watch.Submitted(ctx, m)
}

// Whoever watches is told how a message ended: the recipients of one that is stored wait in the queue for
// their turn, and those of one that was not stored wait for nothing.
func TestWhoWatchesIsToldHowItEnded(t *testing.T) {
	for _, full := range []bool{false, true} {
		g := &guard{}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: g})
		key, err := hijack.NewKey(bytes.Repeat([]byte{7}, hijack.KeyOctets))
		must(t, err)
		g.Watch, err = watch.Open(t.Context(), watch.Options{
			Store: w.st, Key: key, Settings: watch.Settings{Params: hijack.DefaultParams()}, Limits: watch.DefaultLimits(), Account: w.identity.Lookup, Now: w.clock,
			Allowance: func(accounts.Account) budget.Limits { return w.most }, Queued: func(context.Context, mail.ID) bool { return true },
			Write: w.journal.Write, Logger: slog.New(slog.DiscardHandler),
		})
		must(t, err)
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		for n := range 15 {
			c.want(c.to(fmt.Sprintf("<x%d@remote%d.test>", n, n)), 250)
		}
		w.st.full = full
		if r := c.data(message); r.OK() == full {
			t.Fatalf("full %v: %v", full, r)
		}
		w.st.full = false
		if waits, _ := g.Waits(t.Context(), g.last.ID, g.last.Ways); (len(waits) > 0) == full {
			t.Errorf("full %v: %d recipients wait", full, len(waits))
		}
	}
}

// crowd is a directory with an alias of a dozen mailboxes behind us.
func (w *world) crowd() {
	w.t.Helper()
	var targets []mail.Address
	for n := range 12 {
		targets = append(targets, addr(w.t, fmt.Sprintf("p%d@behind.test", n)))
	}
	s, err := directory.NewSnapshot(directory.Config{
		Hostname: domain(w.t, "mx.local.test"), Domains: []directory.Domain{
			{Name: domain(w.t, "local.test"), Deliver: directory.DeliverMaildir},
			{Name: domain(w.t, "behind.test"), Deliver: directory.DeliverSMTP, Recipients: directory.RecipientsCallout, Server: directory.Server{Host: "10.0.0.5", Port: 25, TLS: mail.TLSNone}},
		},
		Aliases: []directory.Alias{{Address: addr(w.t, "team@local.test"), Targets: targets, Posting: directory.PostingAnyone}},
	}, []mail.Address{addr(w.t, "alice@local.test")})
	must(w.t, err)
	w.dir.Store(s)
}

// Of a dozen answers of servers behind us the trace tells ten, whether their recipient is refused or
// taken; and whom several refuse is refused in our own words.
func TestADozenAnswersAreTenInTheTrace(t *testing.T) {
	told := func(f entry) (n int) {
		for _, p := range f.Evidence {
			if p.Name == "server behind" {
				n++
			}
		}
		return n
	}
	for known, code := range map[callout.Knowledge]int{callout.No: 550, callout.Yes: 250} {
		b := &behind{answers: map[string]callout.Answer{}}
		for n := range 12 {
			b.answers[fmt.Sprintf("p%d", n)] = callout.Answer{Known: known, Reply: mail.R(code, "", "their words"), Remote: "inner"}
		}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: b})
		w.crowd()
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		r := c.to("<team@local.test>")
		c.want(r, code)
		rule := "no-such-user"
		if r.OK() {
			c.want(c.data(message), 250)
			rule = "submission-local"
		}
		if f := w.oneFact(rule); len(b.asked) != 12 || told(f) != 10 || strings.Contains(r.Text, "their words") {
			t.Errorf("%d: asked %d, told %d: %v", code, len(b.asked), told(f), r)
		}
	}
}

// What sender binding noted of a header stands in the fact of its message, also where the message is
// refused for another name.
func TestWhatBindingNotedOfARefusal(t *testing.T) {
	for fields, rule := range map[string]string{
		"From: \"ceo@bank.test\" <bob@local.test>\r\n":   "author-not-owned",
		"From: \"ceo@bank.test\" <alice@local.test>\r\n": "submission-relay",
	} {
		w := newWorld(t)
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<x@remote.test>"), 250)
		c.data(headed(fields))
		if said, _ := w.oneFact(rule).Find("note"); !strings.Contains(said, "ceo@bank.test") {
			t.Errorf("%s: noted %q", rule, said)
		}
	}
}

// Where nobody keeps the names that are not an account's, they are taken and refused as else.
func TestNobodyKeepsNames(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), binding: bind.Report, recipients: g})
	w.in.Findings = nil
	c := w.signedIn("alice@local.test")
	c.want(c.from("<ceo@bank.test>"), 553)
	for to, text := range map[string]string{"<x@remote.test>": message, "<a@cut.test>": headed("From: bob@local.test\r\n")} {
		c.want(c.from("<bob@local.test>"), 250)
		c.want(c.to(to), 250)
		c.want(c.data(text), 250)
	}
	if len(w.handed) != 1 || len(g.took) != 1 {
		t.Errorf("%d queued, %q passed on", len(w.handed), g.took)
	}
}

// Only a name that is claimed is told to who watches: none where the account stopped, where the header
// is refused for something else, or where its author is the account's.
func TestWhatIsNoClaim(t *testing.T) {
	seen := &watcher{}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen})
	c := w.signedIn("alice@local.test")
	for _, text := range []string{"Sender: ceo@bank.test\r\n" + message, headed(""), strings.Repeat("Received: by x; Sun, 1 Mar 2026 12:00:00 +0000\r\n", 200) + message} {
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<x@remote.test>"), 250)
		if r := c.data(text); r.Code/100 != 5 {
			t.Errorf("%v", r)
		}
	}
	_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "incident", nil)
	must(t, err)
	c.want(c.from("<bob@local.test>"), 550)
	seen.want(t)
}

// A message that came without a Message-ID is known by the one that it was given.
func TestTheNameThatAMessageIsGiven(t *testing.T) {
	w := newWorld(t)
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.data("From: alice@local.test\r\n\r\nx\r\n"), 250)
	claim, text := w.only()
	want := "<" + claim.Entry.ID.String() + "@mx.local.test>"
	if f := w.oneFact("submission-relay"); f.MessageID != want || !strings.Contains(text, "Message-ID: "+want+"\r\n") {
		t.Errorf("the fact says %q of\n%s", f.MessageID, text)
	}
}

// A stranger's message that cannot be counted is not offered either; nor does one whose mailbox is
// full need an account to be charged.
func TestAStrangersMessageThatCannotBeCounted(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
	limits := inflow.DefaultLimits()
	limits.MailboxMessages = 1
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g, inflow: limits})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<a@cut.test>"), 250)
	w.st.full = true
	if r := c.data("From: x@far.test\r\n\r\nx\r\n"); r.Code/100 != 4 || len(g.took) != 0 || g.text != "" {
		t.Errorf("%v, and the server has %q", r, g.took)
	}
	w = newWorldOf(t, setup{limits: intake.DefaultLimits(), room: &shelves{}})
	c = w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	if r := c.to("<bob@local.test>"); r.Code/100 != 4 && r.Code/100 != 5 {
		t.Errorf("a full mailbox: %v", r)
	}
}

// asks notes how servers behind us are asked.
type asks struct {
	all []context.Context
}

func (a *asks) note(ctx context.Context) { a.all = append(a.all, ctx) }

func (a *asks) International(ctx context.Context, _ directory.Domain, _ mail.Address) (bool, bool) {
	a.note(ctx)
	return true, true
}

// A server behind us is asked about an address in a header once, however many recipients it has, and
// waited for within a bound that ends with the question; where nobody can be asked the message is taken.
func TestHowServersAreAskedForUTF8(t *testing.T) {
	a := &asks{}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: &gateway{}})
	for _, nobody := range []bool{false, true} {
		w.in.International = a
		if nobody {
			w.in.International = nil
		}
		c := w.connect(server.KindMX)
		from, err := mail.ParseReversePath("<jürgen@far.test>", mail.UTF8)
		must(t, err)
		c.want(c.mail(mail.Envelope{From: from, SMTPUTF8: true}), 250)
		for _, to := range []string{"<y@behind.test>", "<z@behind.test>"} {
			c.want(c.to(to), 250)
		}
		c.want(c.data("Cc: jürgen@far.test\r\n\r\nx\r\n"), 250)
	}
	if len(a.all) != 3 { // each recipient, and the header
		t.Fatalf("asked %d times", len(a.all))
	}
	for _, ctx := range a.all {
		if _, bound := ctx.Deadline(); !bound || ctx.Err() == nil {
			t.Errorf("bound %v, ended %v", bound, ctx.Err())
		}
	}
}

// A message that a server behind us took is one of its connection's, and each sign-in that was refused
// is one of its refusals.
func TestWhatAConnectionSums(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
	c := w.connect(server.KindSubmissions)
	c.want(c.signIn("alice@local.test", "wrong"), 535)
	c.want(c.from("<alice@local.test>"), 530)
	c.want(c.signIn("alice@local.test", password), 235)
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@cut.test>"), 250)
	c.want(c.data(message), 250)
	w.facts()
	c.s.Close(t.Context(), server.EndQuit)
	f := w.oneFact("connection-ended")
	if refused, _ := f.Find("refused"); f.Count != 1 || refused != "2" || f.Kind != fact.KindDisconnect {
		t.Errorf("%d accepted, %s refused", f.Count, refused)
	}
}

// peek looks at a budget when a message has come to its end.
type peek struct {
	io.Reader
	of  *allowance.Budget
	saw []int64
}

func (p *peek) Read(b []byte) (int, error) {
	p.saw = append(p.saw, p.of.Use().Used)
	return p.Reader.Read(b[:min(len(b), 512)])
}

// What a body takes of memory is counted while it comes, once, and is free at its end; and nobody's
// message is held for inspectors that there are not.
func TestABodysMemoryIsCountedOnce(t *testing.T) {
	memory := allowance.New(100 << 10) // an inspection takes more
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), memory: memory})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	const line, lines = "a line of a message\r\n", 1000
	p := &peek{of: memory, Reader: strings.NewReader("From: x@far.test\r\n\r\n" + strings.Repeat(line, lines))}
	c.want(c.t.Data(t.Context(), p), 250)
	if took := slices.Max(p.saw) - p.saw[0]; took < len64(line)*lines/2 || took > 4*len64(line)*lines {
		t.Errorf("a body of %d octets takes %d: %v", len(line)*lines, took, p.saw)
	}
	if u := memory.Use().Used; u != 0 {
		t.Errorf("%d octets are held", u)
	}
}

func len64(s string) int64 { return int64(len(s)) }

// Each recipient that a limit kept out is one refusal, though all are one fact.
func TestEachRecipientOverTheLimitIsOneRefusal(t *testing.T) {
	w := newWorld(t)
	w.most.Hour = 1
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@remote.test>"), 250)
	for _, to := range []string{"<b@remote.test>", "<c@remote.test>", "<d@remote.test>"} {
		c.want(c.to(to), 451)
	}
	c.t.Abort(t.Context())
	w.facts()
	c.s.Close(t.Context(), server.EndQuit)
	if refused, _ := w.oneFact("connection-ended").Find("refused"); refused != "3" {
		t.Errorf("%s are refused", refused)
	}
}

// A connection that keeps no place and vouches for nobody may be signed in on.
func TestAConnectionThatNeedsNoWord(t *testing.T) {
	w := newWorld(t)
	s, _ := w.in.Connect(t.Context(), &server.Conn{ID: "c", Kind: server.KindSubmissions, Remote: w.remote(), Started: w.now, End: func() {}})
	c := &client{w: w, s: s}
	c.want(c.s.Hello(t.Context(), server.Hello{Name: "client.test", Extended: true, TLS: w.tls}), 250)
	c.want(c.signIn("alice@local.test", password), 235)
	c.want(c.from("<alice@local.test>"), 250)
}

// Where nobody inspects, what strangers write passes, and who watches hears of it; what it takes of
// the mailbox is known after a restart.
func TestWhatNobodyInspectsPasses(t *testing.T) {
	seen := &watcher{}
	limits := inflow.DefaultLimits()
	limits.MailboxMessages = 1
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen, inflow: limits})
	try := func() mail.Reply {
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		if r := c.to("<bob@local.test>"); !r.OK() {
			return r
		}
		return c.data("From: x@far.test\r\n\r\nx\r\n")
	}
	if r := try(); !r.OK() {
		t.Fatal(r)
	}
	seen.want(t, "heard  in bob@local.test")
	again, err := inflow.Open(t.Context(), w.st, inflow.Options{Limits: limits, Now: w.clock, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	w.in.Inflow = again
	if r := try(); r.Code != 452 {
		t.Errorf("after a restart: %v", r)
	}
}
