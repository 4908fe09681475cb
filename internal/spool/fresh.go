package spool

import (
	"bytes"
	"context"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// freshRemembered is how many of the IDs that entered last are known by themselves.
const freshRemembered = 4096

// fresh knows without reading which IDs no entry has. An ID begins with the time of its making: all that entered lie at or
// below a horizon, but those that are remembered. A method is called with Spool.mu held.
type fresh struct {
	horizon []byte           // of an ID as octets; none: nothing entered yet
	ids     map[mail.ID]bool // true: on its way into the store, which was not asked
	ring    []mail.ID        // in the order in which they came
	next    int              // the one that is forgotten next, when ring is full
}

// enters notes that an entry of this ID may be written from now on, and reports whether none can have been
// until now. What does not enter after all stays noted: then the store is asked.
func (f *fresh) enters(id mail.ID) bool {
	if _, known := f.ids[id]; known {
		return false
	}
	if f.ids == nil {
		f.ids, f.ring = make(map[mail.ID]bool), make([]mail.ID, 0, freshRemembered)
	}
	isNew := bytes.Compare(id.Bytes(), f.horizon) > 0
	f.ids[id] = isNew
	if len(f.ring) < cap(f.ring) {
		f.ring = append(f.ring, id)
		return isNew
	}
	oldest := f.ring[f.next]
	f.ring[f.next], f.next = id, (f.next+1)%len(f.ring)
	f.forget(oldest)
	return isNew
}

// entered notes that an ID is in the store, or will not come there any more.
func (f *fresh) entered(id mail.ID) {
	if _, known := f.ids[id]; known {
		f.ids[id] = false
	}
}

func (f *fresh) forget(id mail.ID) {
	delete(f.ids, id)
	if b := id.Bytes(); bytes.Compare(b, f.horizon) > 0 {
		f.horizon = b
	}
}

// loadHorizon finds the greatest ID in the queue.
func (s *Spool) loadHorizon(ctx context.Context, _ *Report) error {
	r := spaceRange(spaceEntry)
	r.Reverse, r.Limit = true, 1
	return s.st.Scan(ctx, r, func(k, _ []byte) (bool, error) {
		s.fresh.horizon = bytes.Clone(k[len(spaceEntry):])
		return false, nil
	})
}

// unused is the precondition that no entry has an ID, where that is not known.
func unused(id mail.ID, isNew bool) []store.Precondition {
	if isNew {
		return nil
	}
	return []store.Precondition{{Key: entryKey(id), Absent: true}}
}
