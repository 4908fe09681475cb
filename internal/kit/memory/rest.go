package memory

const (
	// many is how many connections must have come, and be there still, for what they left behind when they
	// came to be worth a collection.
	many = 256
	// workOctets is what must have been allocated at work since the last collection of this kind for what
	// it left behind to be worth one.
	workOctets = 64 << 20
	// restLooks is how many looks one behind the other must find that nothing is done.
	restLooks = 2
	// restOctets is what is allocated from one look to the next by a process that does nothing.
	restOctets = 256 << 10
	// betweenRests is how many looks there are from one such collection to the next at least, half
	// a minute: whoever comes and goes all the time has us collect no more often.
	betweenRests = 120
)

// rest finds out when the process has come to rest once it has started, with many connections
// more than when it did so last, and after work. What the start, their arrival and work left behind, garbage and stacks
// that have grown, would stay for minutes then, since the collector comes when something is
// allocated.
type rest struct {
	began     bool   // the start has left nothing behind any more
	open      int    // least connections since the last collection of this kind
	allocated uint64 // octets ever, at the last look
	worked    uint64 // octets that looks which found something done found, since the last collection of this kind
	looks     int    // that found nothing done
	pause     int    // looks for which there is none
}

// look judges one look, and reports whether there should be a collection that gives back to the system
// what is free.
func (r *rest) look(open int, allocated uint64) (collect bool) {
	since := allocated - r.allocated
	quiet := since < restOctets
	r.allocated, r.open, r.pause = allocated, min(r.open, open), max(r.pause-1, 0)
	if r.looks++; !quiet {
		r.looks = 0
		r.worked += since
	}
	switch {
	case r.looks < restLooks:
		return false
	case !r.began:
		r.began, r.open, r.worked = true, open, 0
		return true
	case r.pause > 0 || open-r.open < many && r.worked < workOctets:
		return false
	}
	r.open, r.worked, r.pause = open, 0, betweenRests
	return true
}
