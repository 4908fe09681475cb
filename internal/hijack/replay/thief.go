package replay

import (
	"iter"
	"math/rand/v2"
	"time"

	"sallyport/internal/hijack"
)

// step is one thing that a thief does.
type step struct {
	after      time.Duration // since the step before
	to         []hijack.Fingerprint
	invalid    int           // recipients that are refused beside these
	newNetwork bool          // signs in from a network that the account never saw
	restart    bool          // the server is killed and started before
	clock      time.Duration // by how much the clock is set before
}

// victim is an account as a thief finds it.
type victim struct {
	account
	contacts   []hijack.Fingerprint // whom it wrote to, longest-known first
	colleagues []hijack.Fingerprint // whom somebody at the site wrote to
	perHour    float64              // recipients, over its life
	chance     *rand.Rand
	made       *uint64 // how many strangers there are by now
}

// stranger is somebody whom nobody at the site knows.
func (v *victim) stranger() hijack.Fingerprint {
	*v.made++
	return hijack.Fingerprint(1<<63 | *v.made)
}

func (v *victim) strangers(n int) []hijack.Fingerprint {
	out := make([]hijack.Fingerprint, n)
	for i := range out {
		out[i] = v.stranger()
	}
	return out
}

func (v *victim) contact() hijack.Fingerprint {
	return v.contacts[v.chance.IntN(len(v.contacts))]
}

func (v *victim) colleague() hijack.Fingerprint {
	return v.colleagues[v.chance.IntN(len(v.colleagues))]
}

// loot is what a thief got.
type loot struct {
	handed     int // recipients handed over before containment, without the hold window
	fresh      int // of these, those new to the account
	withWindow int // recipients handed over with it
	took       time.Duration
	caught     bool
}

// linger is how long what waits for the bucket is watched after the thief's last step.
const linger = 7 * 24 * time.Hour

// steal runs a thief's steps with a victim's account, from a moment on. Nothing of it
// stays with the server.
func (s *server) steal(v *victim, steps iter.Seq[step], at time.Time) loot {
	t := theft{server: s, account: v.account, book: newBook(s.book), priors: s.site.Priors(s.params), began: at, now: at, clock: at}
	t.saved = t.account.state
	for st := range steps {
		if t.step(st); t.caught {
			break
		}
	}
	if !t.caught {
		t.wait(t.clock.Add(linger))
	}
	t.release(t.now, !t.caught)
	t.took = t.now.Sub(t.began)
	return t.loot
}

// theft is one under way. now is the time that really passes, clock what the server
// believes.
type theft struct {
	loot
	server     *server
	account    account
	book       *Book
	priors     hijack.Priors
	began      time.Time
	now, clock time.Time
	saved      hijack.State // the last checkpoint
	since      int          // steps since
	held       []waiting    // for the hold window
}

// step does one.
func (t *theft) step(st step) {
	t.now = t.now.Add(st.after)
	t.clock = t.clock.Add(st.after + st.clock)
	t.release(t.now, false)
	if st.restart {
		t.restart()
	}
	t.wait(t.clock)
	if st.newNetwork {
		var v hijack.Verdict
		t.account.state, v = hijack.Advance(t.account.state, hijack.SignedIn{At: t.clock, NewNetwork: true, NewPlace: true}, t.priors, t.server.params)
		t.caught = v.Contain
	}
	if t.caught || len(st.to)+st.invalid == 0 {
		return
	}
	r := t.server.submit(&t.account, t.book, st.to, st.invalid, t.clock, t.priors)
	if r.verdict.Contain {
		t.caught = true
		return
	}
	t.server.answered(&t.account, 0, r.away, r.recipients.Total(), t.clock, t.priors)
	t.handed += r.now
	t.fresh += r.verdict.Leave
	t.withWindow += r.now - r.held
	if r.held > 0 {
		t.held = append(t.held, waiting{since: t.now.Add(t.server.params.Hold), n: r.held})
	}
}

// restart has the server killed: what is stored is a checkpoint of some steps ago, and
// what is rebuilt from the facts is merged with it.
func (t *theft) restart() {
	rebuilt, err := hijack.Restore(t.account.state.Append(nil))
	if err != nil {
		return
	}
	t.account.state = hijack.Merge(t.saved, rebuilt)
	if t.since++; t.since%3 == 0 {
		t.saved = t.account.state
	}
}

// release hands over what has waited for the hold window by then, or all of it.
func (t *theft) release(by time.Time, all bool) {
	for len(t.held) > 0 && (all || !t.held[0].since.After(by)) {
		t.withWindow += t.held[0].n
		t.held = t.held[1:]
	}
}

// wait hands over what the bucket lets go until then. What waited for the bucket has
// waited for the hold window too.
func (t *theft) wait(until time.Time) {
	t.server.drain(&t.account, until, t.priors, func(_ waiting, n int, _ time.Time) {
		t.handed += n
		t.fresh += n
		t.withWindow += n
	})
}
