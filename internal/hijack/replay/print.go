package replay

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Print writes the report for people.
func (r Report) Print(out io.Writer) error {
	var b strings.Builder
	r.honest(&b)
	r.thieves(&b)
	if r.First != nil {
		r.First.print(&b)
	}
	fmt.Fprintf(&b, "\n%s in all\n", r.Elapsed.Round(10*time.Millisecond))
	_, err := io.WriteString(out, b.String())
	return err
}

func (r Report) honest(b *strings.Builder) {
	h := r.Honest
	fmt.Fprintf(b, "honest people: %d messages, %d deliveries, %d accounts, %d account-months\n", h.Messages,
		h.Deliveries, h.Accounts, h.AccountMonths)
	fmt.Fprintf(b, "  new to the account %.1f %% of deliveries, new to the site %.1f %%\n",
		share(h.NewToAccount+h.NewToSite, h.Deliveries), share(h.NewToSite, h.Deliveries))
	fmt.Fprintf(b, "  %s\n", h.Shape.words())
	fmt.Fprintf(b, "  contained falsely  %d: %.2f per 1000 account-months (95 %%: %.2f to %.2f), %.1f per million messages; theory allows %.1f\n",
		len(h.Contained), h.Per1000, h.Low, h.High, h.PerMillion, h.Promised)
	fmt.Fprintf(b, "  wait for bucket    %.3f %% of messages; median %s, p90 %s, longest %s\n",
		share(h.Delayed, h.Messages), span(h.Waits.Median), span(h.Waits.P90), span(h.Waits.Max))
	fmt.Fprintf(b, "  wait for window    %.2f %% of messages; %s each\n", share(h.Held, h.Messages), r.Params.Hold)
	fmt.Fprintf(b, "  cost               %d octets a state in memory, %d in the store, and %.0f acquaintances; %.0f ns of a processor a recipient\n",
		h.Heap, h.Stored, float64(h.BookPairs)/max(1, float64(h.Accounts)), h.NanosPerRecipient)
	fmt.Fprintf(b, "  in one network     paused %d times\n", h.Paused)
	for _, c := range h.Contained {
		fmt.Fprintf(b, "  contained: %s after %d messages: %s\n", c.Account, c.After, strings.Join(c.Evidence, "; "))
	}
}

func (r Report) thieves(b *strings.Builder) {
	if len(r.Thefts) == 0 {
		return
	}
	fmt.Fprint(b, "\nthieves: recipients handed over before containment (median/p90/max)\n")
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "class\tscenario\taccounts\tmissed\thanded over\tof them new\twith window\tseconds")
	for _, l := range limits() {
		fmt.Fprintf(w, "\t%d/h %d/d", l.hour, l.day)
	}
	fmt.Fprintln(w)
	for _, t := range r.Thefts {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%.4g/%.4g/%.4g", t.Class, t.Scenario, t.Accounts,
			t.Missed, three(t.Handed), three(t.New), three(t.WithWindow), t.Seconds.Median, t.Seconds.P90,
			t.Seconds.Max)
		for _, f := range t.Fixed {
			fmt.Fprintf(w, "\t%d", f.Median)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	for _, c := range r.Crowds {
		fmt.Fprintf(b, "%d accounts, %d recipients each, one network: %d handed over judged by account; %d when the network is judged too, from %d accounts, paused after %.1f s\n",
			c.Accounts, c.Each, c.Alone, c.Paused, c.Touched, c.Seconds)
	}
}

func three(q Quantiles[int]) string { return fmt.Sprintf("%d/%d/%d", q.Median, q.P90, q.Max) }

func share(n, of int) float64 { return 100 * float64(n) / max(1, float64(of)) }

func span(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Minute).String()
}
