package accounts

import "time"

// pace bounds the part of its time that hashing spends on wrong passwords of strangers: once they
// took some, others of theirs wait until it is no more than its share of the time that passed. What
// a right one took is not counted, so that the first sign-ins of a whole company are as fast as
// before. What goes ahead of strangers from a network that its account knows is counted when a
// stranger's would have been, so that nobody can tell by who waits how long.
//
// Time is what the clock says, and not what a processor spent: where the machine is busy with other
// work, a hash takes longer, and guesses take less of it. It is a value; the hasher locks it.
type pace struct {
	part  int           // one in so many
	spare time.Duration // that may be spent at once
	paid  time.Time     // until when what was spent is paid for; the zero time: long ago
}

// wait returns how long strangers have to wait.
func (p *pace) wait(now time.Time) time.Duration { return max(0, p.paid.Sub(now)) }

// charge counts what a wrong password took; less than nothing gives back.
func (p *pace) charge(now time.Time, took time.Duration) {
	if saved := now.Add(-p.spare * time.Duration(p.part)); p.paid.Before(saved) {
		p.paid = saved
	}
	p.paid = p.paid.Add(took * time.Duration(p.part))
}
