package config

import (
	"time"

	"sallyport/internal/hijack"
)

// Hijack says how accounts are watched.
type Hijack struct {
	Mode   hijack.Mode
	Odds   int
	Hold   time.Duration
	Bounds hijack.Bounds
}

func hijackKeys() []entry[Hijack] {
	k := func(path, standard, doc string, at func(*Hijack) *int) entry[Hijack] {
		return count("hijack."+path, standard, "1", mostRecipients, doc, at)
	}
	return []entry[Hijack]{
		parsed(Key{Path: "hijack.mode", Type: TypeChoice, Default: "enforce",
			Doc: `What follows when an account behaves as if somebody else used it: "enforce" contains it: ` +
				`it sends nothing, what it has in the queue is held, the credential that was used is ` +
				`revoked, and an incident tells why; "observe" records what it would have done, as an alarm ` +
				`of the rule hijack-observed, and nobody waits; "off" neither judges nor remembers.`},
			parseHijacking, func(h *Hijack) *hijack.Mode { return &h.Mode }),
		count("hijack.odds", "10000", "100", "1000000000",
			"The evidence at which an account is contained. An honest one is at most once in so many "+
				"messages on average, as long as it does nothing less usual than its past says. A higher "+
				"figure takes longer for a thief: ten times as much is less than one recipient more in a "+
				"blast.",
			func(h *Hijack) *int { return &h.Odds }),
		duration("hijack.hold", "20s", "0s", "1h",
			"How long mail for recipients waits in the queue that nobody at this site ever wrote to "+
				"(about three of a hundred). When the account is contained within it, nothing of it leaves: "+
				"a blast takes seconds. 0s: nobody waits.",
			func(h *Hijack) *time.Duration { return &h.Hold }),
		k("new_at_once", "30",
			"The most recipients new to an account that may leave at once. More wait in the queue, and "+
				"none is bounced for it. So many leave at most when a thief does nothing that is unusual.",
			func(h *Hijack) *int { return &h.Bounds.Burst }),
		k("new_hour", "10", "How many more of them may leave within each hour. Accounts of the role bulk may have as many as their budget.",
			func(h *Hijack) *int { return &h.Bounds.Hour }),
		k("new_day", "100", "The most of them within any day.",
			func(h *Hijack) *int { return &h.Bounds.Day }),
		k("new_week", "300", "The most of them within any seven days.",
			func(h *Hijack) *int { return &h.Bounds.Week }),
	}
}

// Params are what an account of a person is judged by.
func (h Hijack) Params() hijack.Params {
	p := hijack.DefaultParams()
	p.Odds, p.Hold, p.Bounds = float64(h.Odds), h.Hold, h.Bounds
	return p
}

func parseHijacking(text string) (m hijack.Mode, message, hint string) {
	for _, m := range hijack.Modes() {
		if m.String() == text {
			return m, "", ""
		}
	}
	return hijack.Enforce, "this is no way of watching accounts", `write "enforce", "observe" or "off"`
}
