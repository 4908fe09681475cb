package watch

import (
	"time"

	"sallyport/internal/hijack"
)

// Bounds of whom an account was judged for and has not written to yet.
const (
	againMost = 300            // of one account, as many as may leave within a week; who comes beyond is judged anew
	againFor  = hijack.Settled // after that, who is written to again is judged anew
)

// again are those for whom an account was judged and to whom it has not written yet, since they wait for room within
// the bounds, or since the message was not taken; and when that was, by Options.Passed. Who is written to once more,
// by a program that tries again or in an invitation that changes, says nothing new of the account. In memory alone:
// without it an account is judged no less strictly.
type again map[hijack.Fingerprint]time.Time

// add takes those among them; the account's lock is held.
func (g *again) add(all []hijack.Fingerprint, at time.Time) {
	if len(all) == 0 {
		return
	}
	if *g == nil {
		*g = again{}
	}
	for f, since := range *g {
		if at.Sub(since) >= againFor {
			delete(*g, f)
		}
	}
	for _, f := range all {
		if _, is := (*g)[f]; !is && len(*g) < againMost {
			(*g)[f] = at
		}
	}
}

// part parts whom a message is for: those by whom its account is judged, and how many others there are of whom it was
// judged for before.
func (g again) part(b *book, who hijack.Fingerprint, all []hijack.Fingerprint, at time.Time) (judged []hijack.Fingerprint, others int) {
	if len(g) == 0 {
		return all, 0
	}
	seen := map[hijack.Fingerprint]bool{}
	for _, f := range all {
		since, is := g[f]
		if _, known := b.Since(who, f); !is || known || f == who || at.Sub(since) >= againFor {
			judged = append(judged, f)
			continue
		}
		if !seen[f] {
			seen[f] = true
			others++
		}
	}
	return judged, others
}

// strangersOf are those to whom the account has not written, and who did not write to it.
func strangersOf(b *book, who hijack.Fingerprint, all []hijack.Fingerprint) (out []hijack.Fingerprint) {
	for _, f := range all {
		if _, known := b.Since(who, f); !known && f != who {
			out = append(out, f)
		}
	}
	return out
}

// judgedFor notes for whom an account was judged by a message and to whom it has not written with it.
func (w *Watch) judgedFor(a *account, b *book, wait *waiting, all []hijack.Fingerprint, taken bool) {
	not := w.askingOf(wait)
	if !taken {
		not = strangersOf(b, a.who, all)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.again.add(not, w.o.Passed())
}

// askingOf are those of a message who wait for room within the bounds.
func (w *Watch) askingOf(q *waiting) (out []hijack.Fingerprint) {
	if q == nil {
		return nil
	}
	for _, p := range q.Asking {
		out = append(out, w.printOf(Way(p)))
	}
	return out
}
