package intake_test

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

func (w *world) used(who string) int { return w.ledger.Use(ledger.Account(addr(w.t, who))).Hour }

// An account may write to so many and no more, to outsiders and colleagues alike, each
// mailbox behind an alias being one. Whoever is refused reads the rule, the limit and when
// to come again; the administrator has an alarm and a line in the log, once.
func TestRecipientsAreCapped(t *testing.T) {
	w := newWorld(t)
	w.most = budget.Limits{Hour: 5, Day: 50}
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@remote.test>"), 250)
	c.want(c.to("<a@remote.test>"), 250) // the same again is no more
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.to("<all@local.test>"), 250) // alice and bob, who has it already
	c.want(c.to("<b@remote.test>"), 250)
	c.want(c.to("<c@remote.test>"), 250)
	r := c.to("<d@remote.test>")
	c.want(r, 451)
	for _, want := range []string{"recipients-hour", "5 recipients an hour", "try again in 65 minutes"} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("%q says nothing of %q", r.Text, want)
		}
	}
	if r.Enhanced.String() != "4.7.1" {
		t.Errorf("answered %s", r)
	}
	c.want(c.to("<e@remote.test>"), 451)
	c.want(c.data(message), 250)
	if got := w.used("alice@local.test"); got != 5 {
		t.Errorf("%d are counted", got)
	}
	all := w.facts()
	refused, alarms := 0, 0
	var whom []string
	for _, e := range all {
		switch {
		case e.Kind == fact.KindRefuse && e.Rule == "recipients-hour":
			refused++
			whom = append(whom, e.Recipients...)
		case e.Kind == fact.KindAlarm && e.Rule == "recipients-hour" && e.Account == "alice@local.test":
			alarms++
		}
	}
	if refused != 1 || strings.Join(whom, " ") != "d@remote.test e@remote.test" || alarms != 1 || strings.Count(w.logged.String(), "reached its limit of recipients") != 1 {
		t.Errorf("%d refusals (%v) and %d alarms recorded\n%s", refused, whom, alarms, w.logged.String())
	}
	// Another account goes on, and so does this one when its time has come.
	b := w.signedIn("bob@local.test")
	b.want(b.from("<bob@local.test>"), 250)
	b.want(b.to("<a@remote.test>"), 250)
	b.want(b.data(strings.Replace(message, "alice@", "bob@", 1)), 250)
	w.now = w.now.Add(66 * time.Minute)
	c = w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<d@remote.test>"), 250)
	c.want(c.data(message), 250)
}

// What was not sent is charged to nobody: refused recipients, RSET, a lost connection, a
// message that is refused or cannot be stored, one delivered to us by a stranger.
func TestWhatWasNotSentIsNotCharged(t *testing.T) {
	w := newWorld(t)
	w.most = budget.Limits{Hour: 2, Day: 2}
	for range 5 {
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<nobody@local.test>"), 550)
		c.want(c.to("<a@remote.test>"), 250)
		c.want(c.to("<b@remote.test>"), 250)
		c.want(c.to("<c@remote.test>"), 451)
		c.t.Abort(t.Context()) // RSET, QUIT and the end of a connection
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<a@remote.test>"), 250)
		c.want(c.data(strings.Replace(message, "From: ", "From: carl@remote.test, ", 1)), 550)
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<a@remote.test>"), 250)
		c.stream(broken{io.ErrUnexpectedEOF})
		w.st.full = true
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<a@remote.test>"), 250)
		if r := c.data(message); r.OK() {
			t.Errorf("stored on a disk that fails: %s", r)
		}
		w.st.full = false
	}
	m := w.connect(server.KindMX)
	m.want(m.from("<x@remote.test>"), 250)
	m.want(m.to("<alice@local.test>"), 250)
	m.want(m.to("<bob@local.test>"), 250)
	m.want(m.data(message), 250)
	if got := w.used("alice@local.test") + w.used("bob@local.test"); got != 0 {
		t.Errorf("%d are counted", got)
	}
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@remote.test>"), 250)
	c.want(c.to("<b@remote.test>"), 250)
	c.want(c.data(message), 250)
}

// Both doors at which people send, submission and sendmail, count on one account, however
// many sessions there are at once.
func TestAllDoorsShareOneBudget(t *testing.T) {
	w := newWorld(t)
	w.most = budget.Limits{Hour: 40, Day: 100}
	var sessions []*client
	for range 10 {
		here, r := w.local(1000)
		if here == nil {
			t.Fatal(r)
		}
		for _, c := range []*client{w.signedIn("alice@local.test"), here} {
			c.want(c.from("<alice@local.test>"), 250)
			sessions = append(sessions, c)
		}
	}
	var all sync.WaitGroup
	taken := make([]int, len(sessions))
	for i, c := range sessions {
		all.Go(func() {
			for n := range 7 {
				if c.to("<x" + string(rune('a'+i)) + string(rune('a'+n)) + "@remote.test>").OK() {
					taken[i]++
				}
			}
		})
	}
	all.Wait()
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if sum != 40 {
		t.Errorf("%d recipients of 40 were accepted", sum)
	}
	// What was taken at one door is missing at the other.
	for _, c := range sessions[:2] {
		c.want(c.to("<more@remote.test>"), 451)
	}
}

// A new process on the same disk knows what was sent before.
func TestRestartGivesNoBudget(t *testing.T) {
	w := newWorld(t)
	w.most = budget.Limits{Hour: 2, Day: 2}
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@remote.test>"), 250)
	c.want(c.to("<b@remote.test>"), 250)
	c.want(c.data(message), 250)
	again, err := ledger.Open(t.Context(), w.st, ledger.Options{Now: w.clock, Logger: w.in.Logger})
	must(t, err)
	if v, _ := again.Charge(ledger.Account(addr(t, "alice@local.test"))).Take(1, w.most); v.OK {
		t.Errorf("after a restart: %+v", v)
	}
}

// What a server behind us takes while its sender waits enters no queue, and counts all the
// same, also for the next process; what it refuses does not.
func TestCutThroughCounts(t *testing.T) {
	g := &gateway{}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), recipients: g})
	w.most = budget.Limits{Hour: 2, Day: 2}
	send := func(answer mail.Reply, code int) {
		g.replies = map[string]mail.Reply{"a": answer}
		c := w.signedIn("alice@local.test")
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<a@cut.test>"), 250)
		c.want(c.data("From: alice@local.test\r\nSubject: x\r\n\r\nhello\r\n"), code)
	}
	for range 3 {
		send(mail.R(550, "5.7.1", "virus"), 554)
	}
	if got := w.used("alice@local.test"); got != 0 {
		t.Errorf("%d are counted of what was refused", got)
	}
	send(mail.R(250, "2.0.0", "saved"), 250)
	send(mail.R(250, "2.0.0", "saved"), 250)
	again, err := ledger.Open(t.Context(), w.st, ledger.Options{Now: w.clock, Logger: w.in.Logger})
	must(t, err)
	if got := again.Use(ledger.Account(addr(t, "alice@local.test"))).Hour; len(g.took) != 2 || w.used("alice@local.test") != 2 || got != 2 {
		t.Errorf("%d taken, %d counted, %d after a restart", len(g.took), w.used("alice@local.test"), got)
	}
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@cut.test>"), 451)
}
