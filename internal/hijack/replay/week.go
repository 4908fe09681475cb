package replay

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"sallyport/internal/hijack"
)

// What is made up for a first week: so many sites of so many people, whom thieves visit at so
// many moments.
const (
	weekSites   = 20
	weekPeople  = 50
	weekDays    = 7
	weekVictims = 2
	weekWaves   = 5
)

// Week is the first week of sites without any history.
type Week struct {
	Sites, People         int
	Messages, Accounts    int
	Contained             int
	Per1000, Low, High    float64 // false containments in 1000 account-weeks
	Delayed, Held         int     // messages that waited for the bucket, and for the hold window
	NewToSite, Deliveries int
	Thefts                []Theft
}

// FirstWeek makes up sites and replays the first week of each, with thieves in it.
func FirstWeek(p hijack.Params, seed uint64) Week {
	out := Week{Sites: weekSites, People: weekPeople}
	all := &raid{took: map[[2]string][]loot{}, fixed: map[[2]string][][]int{}}
	for i := range uint64(weekSites) {
		made := Made{People: weekPeople, Days: weekDays, Seed: seed + i}
		r, thieves := run(made.Make(), Options{
			Params: p, Seed: seed + i, Victims: weekVictims, Waves: weekWaves, Only: "blast-1,blast-50,20-an-hour,2-an-hour,colleagues",
		})
		h := r.Honest
		out.Messages, out.Accounts, out.Contained = out.Messages+h.Messages, out.Accounts+h.Accounts, out.Contained+len(h.Contained)
		out.Delayed, out.Held = out.Delayed+h.Delayed, out.Held+h.Held
		out.NewToSite, out.Deliveries = out.NewToSite+h.NewToSite, out.Deliveries+h.Deliveries
		for key, took := range thieves.took {
			all.took[key] = append(all.took[key], took...)
			all.fixed[key] = append(all.fixed[key], thieves.fixed[key]...)
		}
	}
	low, high := poisson(out.Contained)
	weeks := max(1, float64(out.Accounts))
	out.Per1000, out.Low, out.High = 1000*float64(out.Contained)/weeks, 1000*low/weeks, 1000*high/weeks
	out.Thefts = all.thefts()
	return out
}

// print writes it for people.
func (w Week) print(b *strings.Builder) {
	fmt.Fprintf(b,
		"\nfirst week of %d made-up sites of %d people without history: %d messages, %d accounts\n", w.Sites,
		w.People, w.Messages, w.Accounts)
	fmt.Fprintf(b, "  contained falsely  %d: %.2f in 1000 account-weeks (95 %%: %.2f to %.2f)\n", w.Contained, w.Per1000, w.Low, w.High)
	fmt.Fprintf(b,
		"  wait for bucket    %.3f %% of messages; for the window %.2f %%; new to the site %.1f %% of deliveries\n",
		share(w.Delayed, w.Messages), share(w.Held, w.Messages), share(w.NewToSite, w.Deliveries))
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, f := range w.Thefts {
		fmt.Fprintf(t, "  %s\t%s\t%d accounts\t%d missed\thanded over %s\twith window %s\n", f.Class,
			f.Scenario, f.Accounts, f.Missed, three(f.Handed), three(f.WithWindow))
	}
	_ = t.Flush()
}
