package server

import "time"

// pace is how fast octets must come at least.
type pace struct {
	rate    int64         // octets a second; 0: any
	grace   time.Duration // of waiting, before the rate counts
	advance time.Duration // that octets which came fast earn for later at most
}

// messages is the pace of a message. What it earned by haste is worth one DataTimeout at
// most: else who sent much at once might let an octet drip now and then for hours.
func (l *Limits) messages() pace { return pace{l.MinDataRate, l.DataRateGrace, l.DataTimeout} }

// commands is the pace of commands.
func (l *Limits) commands() pace {
	return pace{l.MinCommandRate, l.CommandRateGrace, l.CommandRateGrace}
}

// meter measures how fast octets come, by the time spent waiting for them: time
// that the server takes for itself is not the client's.
type meter struct {
	waited  time.Duration
	advance time.Duration // what the octets were worth at the least rate beyond what was waited; negative: behind
}

func (m meter) add(n int, waited time.Duration, p pace) meter {
	if p.rate <= 0 {
		return meter{}
	}
	worth := time.Duration(float64(n) / float64(p.rate) * float64(time.Second))
	return meter{waited: m.waited + waited, advance: min(m.advance+worth-waited, p.advance)}
}

// moves reports whether a message comes at its pace; one that stood still must have caught up.
func (m meter) moves(p pace, still bool) bool {
	if p.rate > 0 && still {
		return m.advance >= min(moveAhead, p.advance)
	}
	return m.advance >= 0
}

func (m meter) tooSlow(p pace) bool {
	return m.waited > p.grace && m.advance < 0
}
