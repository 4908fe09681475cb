package relayaudit

import (
	"bytes"
	"fmt"
	"slices"
)

// Stored is one message that carries the marker of a run, as it was found after
// the run by whoever can look into the mailboxes and at the foreign domain.
type Stored struct {
	Mailbox string // local-part of the mailbox; "" for the foreign domain
	Octets  []byte
	Dirty   string // fault of the octets on the wire to the foreign domain, if any
}

// Judge returns everything that is wrong with a run: the faults that the replies
// show, and those of what was delivered. It is a pure function; found holds every
// message with the run's marker. The row cannot be judged if it was not run.
func Judge(r Result, found []Stored) []string {
	if r.Err != nil {
		return []string{"not run: " + r.Err.Error()}
	}
	faults := slices.Clone(r.Faults)
	e := r.Case.Expect
	local, sink := 0, 0
	for _, s := range found {
		if s.Mailbox == "" {
			sink++
		} else {
			local++
		}
		faults = append(faults, judgeStored(e, s)...)
	}
	if !e.Messages.Holds(local) {
		faults = append(faults, fmt.Sprintf("wanted %s messages in local mailboxes, found %d", e.Messages, local))
	}
	if !e.Sink.Holds(sink) {
		faults = append(faults, fmt.Sprintf("wanted %s messages at the foreign domain, found %d", e.Sink, sink))
	}
	return append(faults, judgePromise(r, local+sink)...)
}

func judgeStored(e Expectation, s Stored) []string {
	var faults []string
	if e.Mailbox != "" && s.Mailbox != "" && s.Mailbox != e.Mailbox {
		faults = append(faults, fmt.Sprintf("a message is in the mailbox of %s, not of %s alone", s.Mailbox, e.Mailbox))
	}
	if s.Dirty != "" {
		faults = append(faults, "the outgoing octets hold "+s.Dirty)
	}
	for _, w := range e.Lacks {
		if bytes.Contains(s.Octets, []byte(w)) {
			faults = append(faults, fmt.Sprintf("the delivered message holds %q", w))
		}
	}
	for _, w := range e.Has {
		if !bytes.Contains(s.Octets, []byte(w)) {
			faults = append(faults, fmt.Sprintf("the delivered message lacks %q", w))
		}
	}
	return faults
}

// judgePromise holds the server to its replies, whatever the row expects: a 2xx to
// a message means that it is there, and no 2xx that it is not. A run in which a
// reply may have been lost with the connection proves neither.
func judgePromise(r Result, stored int) []string {
	accepted := 0
	for _, x := range r.Replies {
		switch {
		case x.Name == "end" && (x.Outcome == OutcomeClose || x.Outcome == OutcomeTimeout):
			return nil
		case x.Name == "end" && isReply(x.Outcome, 2):
			accepted++
		}
	}
	mute := slices.ContainsFunc(r.Case.steps, func(s step) bool { return s.act == actBodyMute })
	switch {
	case accepted > 0 && stored == 0:
		return []string{"the message was answered 2xx and is nowhere"}
	case accepted == 0 && stored > 0 && !mute && hasReply(r.Case.steps, "end") && !hasReply(r.Case.steps, "bdat"):
		return []string{"the message was not answered 2xx and is there"}
	}
	return nil
}
