package memory

const (
	// many is how many connections must have come, and be there still, for what they left behind when they
	// came to be worth a collection.
	many = 256
	// restLooks is how many looks one behind the other must find that nothing is done.
	restLooks = 2
	// restOctets is what is allocated from one look to the next by a process that does nothing.
	restOctets = 256 << 10
	// betweenRests is how many looks there are from one such collection to the next at least, half
	// a minute: whoever comes and goes all the time has us collect no more often.
	betweenRests = 120
)

// rest finds out when the process has come to rest once it has started, and with many connections
// more than when it did so last. What the start and their arrival left behind, garbage and stacks
// that have grown, would stay for minutes then, since the collector comes when something is
// allocated.
type rest struct {
	began     bool   // the start has left nothing behind any more
	open      int    // least connections since the last collection of this kind
	allocated uint64 // octets ever, at the last look
	looks     int    // that found nothing done
	pause     int    // looks for which there is none
}

// look judges one look, and reports whether there should be a collection that gives back to the system
// what is free.
func (r *rest) look(open int, allocated uint64) (collect bool) {
	quiet := allocated-r.allocated < restOctets
	r.allocated, r.open, r.pause = allocated, min(r.open, open), max(r.pause-1, 0)
	if r.looks++; !quiet {
		r.looks = 0
	}
	switch {
	case r.looks < restLooks:
		return false
	case !r.began:
		r.began, r.open = true, open
		return true
	case r.pause > 0 || open-r.open < many:
		return false
	}
	r.open, r.pause = open, betweenRests
	return true
}
