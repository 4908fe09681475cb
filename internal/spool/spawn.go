package spool

import (
	"fmt"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// maxSpawnOctets bounds the records and small bodies of all that one settlement
// spawns: with the settled entry, its precondition and the facts, they fit into one
// transaction.
const maxSpawnOctets = 4 << 20

// Forward says what a message is to the account that answers for it. The zero value
// is no forward.
type Forward uint8

const (
	ForwardNone Forward = iota
	ForwardSent         // mail of the account that was sent on in its name; its mailbox has no copy
	ForwardKept         // the same, and its mailbox has a copy
)

// Spawned is a message that enters the queue together with a settlement: a
// notification about it, or mail sent on.
type Spawned struct {
	Message Message
	Body    *Body
}

// Room returns why no further message of that many octets could enter in the
// account's name, as ErrHeld or ErrFull; nil if one could at this moment.
func (s *Spool) Room(account mail.Address, octets int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal(summary{account: account.Key(), octets: octets})
}

// born is a message on its way into the queue.
type born struct {
	entry *Entry
	body  *Body
}

// bear judges what a settlement spawns and makes its entries.
func (s *Spool) bear(spawn []Spawned, now time.Time) ([]born, error) {
	if len(spawn) > s.limits.Load().Spawned {
		return nil, fmt.Errorf("%w: more than %d messages in one settlement", ErrTooLarge, s.limits.Load().Spawned)
	}
	out := make([]born, 0, len(spawn))
	for _, n := range spawn {
		if n.Body == nil {
			return nil, fmt.Errorf("%w: a message without a body", ErrInvalid)
		}
		e, err := s.newEntry(n.Message, n.Body, now)
		if err != nil {
			return nil, err
		}
		if n.Message.Hold != "" {
			hold(e, n.Message.Hold, now)
		}
		out = append(out, born{e, n.Body})
	}
	return out, nil
}

// insertions commits the files of large bodies and returns what else to write.
func (s *Spool) insertions(all []born) ([]store.Mutation, error) {
	var out []store.Mutation
	octets := 0
	for _, b := range all {
		_, ms, err := s.insertion(b.entry, b.body)
		if err != nil {
			return nil, err
		}
		for _, m := range ms {
			octets += len(m.Key) + len(m.Value)
		}
		out = append(out, ms...)
	}
	if octets > maxSpawnOctets {
		return nil, fmt.Errorf("%w: %d octets spawned in one settlement", ErrTooLarge, octets)
	}
	return out, nil
}

// admit counts in what a settlement spawns. What an account answers for is bound by
// the limits of the queue and of that account, as if it were submitted; a message
// of our own, which stands for one that leaves, is not.
func (s *Spool) admit(all []born) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, b := range all {
		var err error
		switch sum := outline(b.entry); {
		case s.claims[b.entry.ID] != nil || s.doubts[b.entry.ID] != nil:
			err = fmt.Errorf("%w: id %s is in use", ErrInvalid, b.entry.ID)
		case sum.account != "":
			err = s.refusal(sum)
		}
		if err != nil {
			s.dismiss(all[:i])
			return err
		}
		s.counts.add(b.entry, 1)
		s.fresh.enters(b.entry.ID) // the store is asked all the same: one settlement may be tried several times
		s.fresh.entered(b.entry.ID)
	}
	return nil
}

// dismiss counts out what was admitted and did not enter. The caller holds mu.
func (s *Spool) dismiss(all []born) {
	for _, b := range all {
		s.counts.add(b.entry, -1)
	}
}

// enter follows up the commit of what was admitted, whether it happened or not.
func (s *Spool) enter(all []born, happened bool) {
	if len(all) == 0 {
		return
	}
	if !happened {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dismiss(all)
		return
	}
	s.mu.Lock()
	for _, b := range all {
		b.body.taken = true
		s.waits.enter(summarise(b.entry))
	}
	s.mu.Unlock()
	s.signal()
}
