package callout

import (
	"net/netip"
	"time"

	"sallyport/internal/screen"
)

// network is what clients of one network do at one server.
type network struct {
	waiting int
	rate    screen.Bucket // of questions
	wrong   screen.Bucket // of wrong guesses; empty: it is a guesser
}

// idle reports whether nothing would be lost with it.
func (n *network) idle(now time.Time) bool {
	return n.waiting == 0 && n.rate.IsFull(now) && n.wrong.IsFull(now)
}

// network returns what is known of a network, and begins to. Where there are too many,
// those that do nothing are forgotten; if none is, the rest counts as one. v.mu is held.
func (v *Asker) network(at *state, from netip.Prefix) *network {
	if n := at.networks[from]; n != nil {
		return n
	}
	if now := v.o.Now(); len(at.networks) >= v.o.Limits.Networks && from.IsValid() {
		if !at.swept.Before(now.Add(-sweepEvery)) || !at.sweep(now) {
			return v.network(at, netip.Prefix{})
		}
	}
	n := &network{}
	at.networks[from] = n
	return n
}

// sweepEvery is how often idle networks are looked for where there is no place left.
const sweepEvery = time.Second

// sweep forgets the networks that do nothing; true when there were some.
func (at *state) sweep(now time.Time) bool {
	before := len(at.networks)
	at.swept = now
	for p, n := range at.networks {
		if n.idle(now) {
			delete(at.networks, p)
		}
	}
	return len(at.networks) < before
}

// part is the share of a bound that one network has; at least one.
func (v *Asker) part(of int) int { return max(1, of/v.o.Limits.Share) }

// allow takes one question from the server's rate; "", or why not. While half of the
// rate is used, the network must have some left of its own share, and if it guesses, of
// what all have who do. v.mu is held.
func (v *Asker) allow(at *state, n *network) (refusal string) {
	now, whole := v.o.Now(), screen.AtMost(v.o.Limits.Rate, time.Second)
	scarce := at.rate.Wait(screen.Rate{Burst: max(1, whole.Burst/2), Every: whole.Every}, now) > 0
	rate, guessers, ok := n.rate, at.guessers, true
	if scarce {
		part := screen.AtMost(v.part(v.o.Limits.Rate), time.Second)
		own := part
		if n.wrong.Wait(v.wrong(), now) > 0 {
			own = screen.AtMost(v.part(v.part(v.o.Limits.Rate)), time.Second)
			if guessers, ok = guessers.Take(part, now); !ok {
				at.guessers = guessers
				return "too many questions to the server behind from networks that guess recipients"
			}
		}
		if rate, ok = rate.Take(own, now); !ok {
			n.rate = rate
			return "too many questions from the client's network to the server behind"
		}
	}
	if !v.spend(at) {
		return "too many questions to the server behind"
	}
	n.rate, at.guessers = rate, guessers
	return ""
}

func (v *Asker) wrong() screen.Rate {
	return screen.AtMost(v.o.Limits.Guesses, v.o.Limits.GuessTime)
}

// guessed notes whether a recipient of a network's question exists: what is right makes
// good for what was wrong. v.mu is held.
func (v *Asker) guessed(at *state, from netip.Prefix, k Knowledge) {
	n, now := v.network(at, from), v.o.Now()
	switch k {
	case No:
		n.wrong, _ = n.wrong.Take(v.wrong(), now)
	case Yes:
		n.wrong = n.wrong.GiveBack(v.wrong(), now)
	}
}
