package replay

import (
	"time"

	"sallyport/internal/hijack"
)

// A crowd is many accounts that do a little each, from one network.
const (
	crowdAccounts = 200
	crowdEach     = 30
)

// crowd is what thieves got who had many accounts.
type crowd struct {
	accounts int
	alone    int // recipients handed over where each account is judged by itself
	paused   int // where the network is judged too
	touched  int // accounts that were used before it was paused
	took     time.Duration
}

// crowd lets a thief into many accounts at once, who writes to a stranger from each in
// turn.
func (r *raid) crowd(names []string, colleagues []hijack.Fingerprint, at time.Time) crowd {
	n := min(crowdAccounts, len(names))
	out := crowd{accounts: n}
	for _, judged := range []bool{false, true} {
		victims := make([]*victim, n)
		for i := range victims {
			victims[i] = r.victim(names[i], colleagues, at)
		}
		handed, touched, took := r.crowdRun(victims, at, judged)
		if judged {
			out.paused, out.touched, out.took = handed, touched, took
		} else {
			out.alone = handed
		}
	}
	return out
}

// crowdRun runs it, with the network judged or not.
func (r *raid) crowdRun(victims []*victim, at time.Time, judged bool) (handed, touched int, took time.Duration) {
	s := r.server
	book, priors := newBook(s.book), s.site.Priors(s.params)
	var network hijack.Attribute
	now := at
	caught := make([]bool, len(victims))
	for round := range crowdEach {
		for i, v := range victims {
			if caught[i] {
				continue
			}
			now = now.Add(quick)
			to := v.strangers(1)
			if judged {
				var p hijack.Pause
				rcpt := hijack.Classify(book, v.who, to, now, s.params)
				network, p = hijack.Share(network, hijack.Use{At: now, Account: v.who, Recipients: rcpt}, priors, hijack.DefaultSharedParams())
				if p.Now {
					return handed, touched, now.Sub(at)
				}
			}
			if round == 0 {
				touched++
			}
			res := s.submit(&v.account, book, to, 0, now, priors)
			caught[i] = res.verdict.Contain
			handed += res.now
		}
	}
	return handed, touched, now.Sub(at)
}
