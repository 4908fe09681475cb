package intake_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/screen/greylist"
	"sallyport/internal/smtp/server"
)

// A stranger whom nobody knows is put off at a recipient who exists, and taken when he comes again
// in time; whom the recipient knows, who writes to a role or to nobody, and who signed in, never waits.
func TestStrangersArePutOffOnce(t *testing.T) {
	w := newWorld(t)
	limits := greylist.DefaultLimits()
	limits.Wait = time.Minute
	g, err := greylist.Open(t.Context(), w.st, greylist.Options{Limits: limits, Now: w.clock, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	w.in.Greylist = g
	known := map[string]string{"bob@local.test": "friend@far.test"}
	w.in.Acquainted = func(_ context.Context, account, sender mail.Address) bool {
		if sender.IsZero() {
			t.Error("somebody is asked whether he knows nobody")
		}
		return known[account.String()] == sender.String()
	}
	try := func(from, to string, code int) {
		t.Helper()
		c := w.connect(server.KindMX)
		c.want(c.from(from), 250)
		r := c.to(to)
		c.want(r, code)
		if all := w.facts(); code/100 == 4 && (len(all) != 1 || all[0].Rule != greylist.Rule || all[0].Reply != r || all[0].Recipients[0] != to[1:len(to)-1]) {
			t.Errorf("the facts are %+v", all)
		}
		c.t.Abort(t.Context())
	}
	try("<x@far.test>", "<nobody@local.test>", 550)
	try("<x@far.test>", "<alice@local.test>", 450)
	try("<x@far.test>", "<alice@local.test>", 450)
	try("<friend@far.test>", "<bob@local.test>", 250)
	try("<friend@far.test>", "<alice@local.test>", 450) // she does not know him
	try("<>", "<bob@local.test>", 450)
	w.publish("alice@local.test", "bob@local.test", "postmaster@local.test")
	try("<y@far.test>", "<postmaster@local.test>", 250)
	w.in.Acquainted = nil
	try("<friend@far.test>", "<bob@local.test>", 450)
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250)
	w.now = w.now.Add(2 * time.Minute)
	try("<x@far.test>", "<alice@local.test>", 250)

	// Whom the administrator's list exempts does not wait either.
	w.in.Screen = screenOf(t, "exempt network 198.51.100.0/24", 1)
	try("<new@far.test>", "<bob@local.test>", 250)
}
