package intake_test

import (
	"log/slog"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
	"sallyport/internal/trace/query"
)

// A stolen password fills no disk with evidence: of an account the facts that accompany
// no message stand by themselves up to a number within an hour, whatever they are of and
// in however many sessions, and the rest is summed up. Others are not concerned, and
// what was accepted always stands by itself.
func TestAnAccountsFactsAreBounded(t *testing.T) {
	l := signin.DefaultLimits()
	l.Facts = 10
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), desk: l})
	tries := func() (single, many int) {
		c := w.signedIn("alice@local.test") // one fact, taken there
		for range 50 {
			c.want(c.from("<mallory@remote.test>"), 553)
		}
		c.s.Close(t.Context(), server.EndQuit)
		for _, f := range w.facts() {
			switch {
			case f.stranger || f.Account != "alice@local.test":
				t.Fatalf("a fact of alice's is another's: %+v", f)
			case f.many:
				many++
			default:
				single++
			}
		}
		return single, many
	}
	if single, many := tries(); single != 4 || single+many != 51 {
		t.Errorf("%d facts by themselves and %d summed up; half of 10 at once, of 51", single, many)
	}
	bob := w.signedIn("bob@local.test")
	bob.want(bob.from("<mallory@remote.test>"), 553)
	for _, f := range w.facts() {
		if f.many {
			t.Errorf("a fact of bob's was summed up: %+v", f)
		}
	}
	w.now = w.now.Add(2 * time.Hour)
	if single, many := tries(); single != 4 {
		t.Errorf("two hours later %d facts stand by themselves, and %d are summed up", single, many)
	}
	must(t, w.trace.Flush(t.Context()))
	read, err := query.New(query.Options{Store: w.st, Log: w.trace, Limits: query.DefaultLimits(), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	e, err := read.Query(t.Context(), query.Query{Terms: []query.Term{{Field: query.FieldAddress, Text: "alice@local.test"}}})
	must(t, err)
	summed := 0
	for _, x := range e.Entries {
		if x.Fact.Count > 5 && x.Fact.Kind == fact.KindRefuse {
			summed += x.Fact.Count
		}
	}
	if summed < 80 {
		t.Errorf("a question about alice finds %d of the refusals that were summed up", summed)
	}
}
