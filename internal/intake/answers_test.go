package intake_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/directory"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/store"
)

// What the server behind says is passed on with its own code where that is of the class of the
// answer, and with a general one where it is not.
func TestTheWordsOfTheServerBehind(t *testing.T) {
	for want, reply := range map[string]mail.Reply{
		"554 5.7.1 the server of this domain says: virus": mail.R(550, "5.7.1", "virus"),
		"451 4.2.2 the server of this domain says: full":  mail.R(452, "4.2.2", "full"),
		"451 4.3.0 the server of this domain says: odd":   mail.R(451, "5.2.2", "odd"),
		"451 4.3.0 the server of this domain says: plain": mail.R(450, "", "plain"),
	} {
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: &gateway{replies: map[string]mail.Reply{"a": reply}}})
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<a@cut.test>"), 250)
		if r := c.data("Subject: x\r\n\r\nhello\r\n"); !strings.HasPrefix(r.String(), want) {
			t.Errorf("answered %s, want %s", r, want)
		}
	}
}

// A message that the server behind has, and the queue not, was sent: its recipients count, and are
// not given back.
func TestWhatTheServerBehindHasWasSent(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
	g.onTaken = func() { w.st.full = true }
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@cut.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	if r := c.data(message); r.Code/100 != 4 {
		t.Errorf("answered %s", r)
	}
	w.st.full = false
	c.t.Abort(t.Context())
	if n := w.used("alice@local.test"); n != 2 {
		t.Errorf("%d recipients are counted, and 2 were sent to", n)
	}
}

// keeper notes what it is given to keep by itself.
type keeper struct {
	judge
	kept []string
}

func (k *keeper) Keep(_ context.Context, all []store.Mutation) {
	for _, m := range all {
		k.kept = append(k.kept, string(m.Key))
	}
}

// What is learnt of a message that is offered at once is kept before it is offered, since it may
// never come into the queue; where nothing is learnt, nothing is kept.
func TestWhatIsLearntIsKeptBeforeItIsOffered(t *testing.T) {
	for _, learnt := range []bool{true, false} {
		seen := &keeper{}
		if learnt {
			seen.says = watch.Judged{Also: []store.Mutation{{Key: []byte("hijack/pair/test"), Value: []byte("x")}}}
		}
		g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
		var before []string
		g.onOffer = func() { before = slices.Clone(seen.kept) }
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g, watch: seen})
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<a@cut.test>"), 250)
		c.want(c.data(message), 250)
		if (len(before) == 1) != learnt || learnt && before[0] != "hijack/pair/test" {
			t.Errorf("learnt %v: kept %q", learnt, before)
		}
	}
}

// A recipient whose mail is forwarded is not offered to the server behind at once: the message is
// queued, and leaves from there.
func TestWhoForwardsIsNotCutThrough(t *testing.T) {
	for _, forwards := range []bool{true, false} {
		g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
		a := addr(t, "a@cut.test")
		cfg := directory.Config{Hostname: domain(t, "mx.local.test"), ForwardExternal: true, Domains: []directory.Domain{
			{Name: domain(t, "cut.test"), Deliver: directory.DeliverLMTP, Recipients: directory.RecipientsCallout, CutThrough: true, Server: directory.Server{LMTP: true, Path: "/run/lmtp", TLS: mail.TLSNone}},
		}}
		if forwards {
			cfg.Forwards = []directory.Forward{{Account: a, Targets: []mail.Address{addr(t, "x@remote.test")}, Keep: true}}
		}
		s, err := directory.NewSnapshot(cfg, []mail.Address{a})
		must(t, err)
		w.dir.Store(s)
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<a@cut.test>"), 250)
		c.want(c.data("Subject: x\r\n\r\nhello\r\n"), 250)
		if (len(w.handed) == 1) != forwards || (len(g.took) == 0) != forwards {
			t.Errorf("forwards %v: %d queued, the server has %q", forwards, len(w.handed), g.took)
		}
	}
}

// A message asks every hop for SMTPUTF8 only where its client did and an address in its header needs
// it.
func TestWhoNeedsSMTPUTF8(t *testing.T) {
	for _, row := range []struct {
		asked bool
		text  string
		needs bool
	}{
		{true, "From: jürgen@far.test\r\n\r\nx\r\n", true}, {false, "From: jürgen@far.test\r\n\r\nx\r\n", false},
		{true, "From: x@far.test\r\nSubject: grüße\r\n\r\nx\r\n", false}, {true, "From: x@far.test\r\n\r\ngrüße\r\n", false},
	} {
		w := newWorld(t)
		c := w.connect(server.KindMX)
		from, err := mail.ParseReversePath("<x@far.test>", mail.UTF8)
		must(t, err)
		c.want(c.mail(mail.Envelope{From: from, SMTPUTF8: row.asked}), 250)
		c.want(c.to("<bob@local.test>"), 250)
		c.want(c.data(row.text), 250)
		if claim, _ := w.only(); claim.Entry.Envelope.SMTPUTF8 != row.needs {
			t.Errorf("asked %v, %q: %v", row.asked, row.text, claim.Entry.Envelope.SMTPUTF8)
		}
	}
}

// gist notes the gist of what is submitted.
type gist struct {
	judge
	of []string
}

func (g *gist) Submitted(ctx context.Context, m watch.Submission) watch.Judged {
	g.of = append(g.of, m.Gist)
	return g.judge.Submitted(ctx, m)
}

// Whoever watches is told the gist of what our people submit: the same for the same text, another for
// another one.
func TestTheGistIsTold(t *testing.T) {
	seen := &gist{}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen})
	for _, body := range []string{strings.Repeat("cheap pills are here today ", 20), strings.Repeat("cheap pills are here today ", 20), strings.Repeat("minutes of the last meeting ", 20)} {
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<x@remote.test>"), 250)
		c.want(c.data(strings.Replace(message, "Hello", body, 1)), 250)
	}
	if len(seen.of) != 3 || seen.of[0] == "" || seen.of[0] != seen.of[1] || seen.of[0] == seen.of[2] {
		t.Errorf("told %q", seen.of)
	}
}

// An account whose own name is beyond ASCII cannot be named as the sender of what is another's, so
// that binding refuses for it where it only reports for others.
func TestBindingIsStrictForNamesBeyondASCII(t *testing.T) {
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), binding: bind.Report})
	_, err := w.identity.Add(t.Context(), addr(t, "jürgen@local.test"), password, accounts.Sending{Role: accounts.RolePerson}, nil)
	must(t, err)
	w.publish("alice@local.test", "bob@local.test", "jürgen@local.test")
	for who, code := range map[string]int{"alice@local.test": 250, "jürgen@local.test": 553} {
		c := w.signedIn(who)
		c.want(c.from("<bob@local.test>"), code)
	}
}

// What cannot be counted is not offered to the server behind: it would have a message that the
// account was never charged for.
func TestNothingIsOfferedThatCannotBeCounted(t *testing.T) {
	g := &gateway{replies: map[string]mail.Reply{"a": mail.R(250, "2.0.0", "saved")}}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@cut.test>"), 250)
	w.st.full = true
	if r := c.data(message); r.Code/100 != 4 {
		t.Errorf("answered %s", r)
	}
	if len(g.took) != 0 || g.text != "" {
		t.Errorf("the server has %q", g.took)
	}
	w.st.full = false
	c.t.Abort(t.Context())
	if n := w.used("alice@local.test"); n != 0 {
		t.Errorf("%d recipients are counted", n)
	}
}

// Where there is no notice nothing stands behind a refusal.
func TestNoNoticeIsNone(t *testing.T) {
	w := newWorld(t)
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	if r := c.to("<y@remote.test>"); strings.Contains(r.Text, ";") || strings.HasSuffix(r.Text, " ") {
		t.Errorf("answered %q", r.Text)
	}
}

// A message that could not be stored keeps no place in its mailbox: the same one is taken as soon as
// it can be.
func TestWhatWasNotStoredKeepsNoPlace(t *testing.T) {
	limits := inflow.DefaultLimits()
	limits.MailboxMessages = 1
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), inflow: limits})
	for n, full := range []bool{true, true, false} {
		w.st.full = full
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<bob@local.test>"), 250)
		if r := c.data("From: x@far.test\r\n\r\nx\r\n"); r.OK() == full {
			t.Errorf("try %d: %s", n, r)
		}
		c.t.Abort(t.Context())
	}
}
