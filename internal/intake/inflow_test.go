package intake_test

import (
	"strings"
	"testing"

	"sallyport/internal/budget"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/intake"
	"sallyport/internal/smtp/server"
)

// A recipient whose mailbox is full takes nothing of the sender's own budget, and refuses no
// other recipient; the fact names the bound.
func TestAFullMailboxIsOneRecipients(t *testing.T) {
	limits := inflow.DefaultLimits()
	limits.MailboxMessages = 2
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), inflow: limits})
	w.most = budget.Limits{Hour: 3, Day: 3}
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	c.want(c.data(message), 250)
	w.facts()
	c.want(c.from("<alice@local.test>"), 250)
	if r := c.to("<bob@local.test>"); !strings.HasPrefix(r.String(), "452 4.2.2 this mailbox has reached 2 messages within an hour (mailbox-messages); try again in 3") {
		t.Errorf("a full mailbox is told as %s", r)
	}
	if f := w.oneFact("mailbox-messages"); f.stranger || len(f.Recipients) != 1 || f.Recipients[0] != "bob@local.test" {
		t.Errorf("%+v", f)
	}
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.to("<y@remote.test>"), 250)
	c.want(c.to("<z@remote.test>"), 451)
	c.want(c.data(message), 250)
}

// A line of the administrator's list that exempts a network lifts its bounds, at the greeting
// and at the recipient, and no other does.
func TestTheExemptHaveNoBoundsOfTheirNetwork(t *testing.T) {
	limits := inflow.DefaultLimits()
	limits.Connections, limits.Recipients, limits.NetworkMessages, limits.ShareMessages = 2, 2, 2, 2
	for _, list := range []string{"", "slow network 198.51.100.0/24", "exempt network 198.51.100.0/24"} {
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), inflow: limits, screen: screenOf(t, list, 1)})
		taken := 0
		for range 3 {
			s, _ := w.in.Connect(t.Context(), &server.Conn{ID: "c", Kind: server.KindMX, Remote: w.remote(), Started: w.now, End: func() {}, Known: func() {}})
			if s == nil {
				continue
			}
			c := &client{w: w, s: s}
			c.want(c.from("<x@far.test>"), 250)
			if r := c.to("<alice@local.test>"); r.OK() {
				taken++
				c.want(c.data(strings.Replace(message, "alice@local.test", "x@far.test", 1)), 250)
			}
		}
		if want := map[bool]int{true: 3, false: 1}[strings.HasPrefix(list, "exempt")]; taken != want {
			t.Errorf("%q: %d messages are taken, want %d", list, taken, want)
		}
	}
}
