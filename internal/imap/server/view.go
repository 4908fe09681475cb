package server

import (
	"slices"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

// view is a mailbox as a client knows it: sequence number n is msgs[n-1]. Only that client's session
// uses it.
type view struct {
	msgs []mailbox.Message
	// shared: others have msgs as well, and own comes before a change of it.
	shared bool
	told   mailbox.ModSeq // all changes up to it are in msgs
	gone   []mailbox.UID  // in order: those of msgs that are gone, and the client was not told yet
	// packed are the UIDs of msgs while there are no msgs, of a client that idles: what else is known
	// of the messages stands in the mailbox as well.
	packed []imapwire.Range
}

// own makes msgs those of this view alone.
func (v *view) own() {
	if v.shared {
		v.msgs, v.shared = slices.Clone(v.msgs), false
	}
}

// set notes what a message is by now.
func (v *view) set(i int, m mailbox.Message) {
	v.own()
	v.msgs[i] = m
}

// pack lets the memory of the messages go.
func (v *view) pack() {
	if len(v.msgs) == 0 {
		return
	}
	uids := make([]uint32, 0, len(v.msgs))
	for i := range v.msgs {
		uids = append(uids, uint32(v.msgs[i].UID))
	}
	v.packed, v.msgs, v.shared = slices.Clip(imapwire.RangesOf(uids)), nil, false
}

// unpack makes the messages again. Of what has changed since it was told, only the UID is known
// until it is told.
func (v *view) unpack(state func() mailbox.State) {
	if v.packed == nil {
		return
	}
	now, j, count := state(), 0, 0
	for _, r := range v.packed {
		count += int(r.To-r.From) + 1
	}
	if now.HighestModSeq == v.told && len(v.gone) == 0 && count == len(now.Messages) { // nothing has happened
		v.msgs, v.shared, v.packed = now.Messages, true, nil
		return
	}
	for _, r := range v.packed {
		for u := r.From; u <= r.To && u != 0; u++ {
			m := mailbox.Message{UID: mailbox.UID(u)}
			for j < len(now.Messages) && now.Messages[j].UID < m.UID {
				j++
			}
			if j < len(now.Messages) && now.Messages[j].UID == m.UID && now.Messages[j].ModSeq <= v.told {
				m = now.Messages[j]
			}
			v.msgs = append(v.msgs, m)
		}
	}
	v.packed = nil
}

// take brings the view up to date with what happened since told, and returns which messages
// changed and how many came. What is gone stays in the view until drop.
func (v *view) take(c mailbox.Changes) (changed []mailbox.UID, added int) {
	for _, m := range c.Messages {
		switch i, there := place(v.msgs, m.UID); {
		case there && v.msgs[i] == m: // this session did it
		case there:
			v.set(i, m)
			changed = append(changed, m.UID)
		case i == len(v.msgs):
			v.own()
			v.msgs = append(v.msgs, m)
			added++
		}
		// What came before the others and was never seen has no number that the client could know.
	}
	for _, u := range c.Gone {
		if _, there := place(v.msgs, u); there {
			v.gone = append(v.gone, u)
		}
	}
	slices.Sort(v.gone)
	v.gone = slices.Compact(v.gone)
	v.told = c.HighestModSeq
	return changed, added
}

// drop takes what is gone out of the view, and returns the places where it stood.
func (v *view) drop() (places []int, uids []mailbox.UID) {
	if len(v.gone) == 0 {
		return nil, nil
	}
	for _, u := range v.gone {
		i, _ := place(v.msgs, u)
		places = append(places, i)
	}
	v.own()
	out := v.msgs[:0]
	next := 0
	for i := range v.msgs {
		if next < len(places) && places[next] == i {
			next++
			continue
		}
		out = append(out, v.msgs[i])
	}
	clear(v.msgs[len(out):])
	v.msgs, uids, v.gone = out, v.gone, nil
	return places, uids
}

// difference is what must have happened between two moments of a mailbox, where nobody
// remembers it.
func difference(known []mailbox.Message, now mailbox.State) mailbox.Changes {
	c := mailbox.Changes{UIDNext: now.UIDNext, HighestModSeq: now.HighestModSeq}
	for _, m := range now.Messages {
		if i, there := place(known, m.UID); !there || known[i].ModSeq != m.ModSeq || known[i].Flags != m.Flags {
			c.Messages = append(c.Messages, m)
		}
	}
	for _, m := range known {
		if _, there := place(now.Messages, m.UID); !there {
			c.Gone = append(c.Gone, m.UID)
		}
	}
	return c
}

// place returns where a UID stands, or would.
func place(msgs []mailbox.Message, uid mailbox.UID) (int, bool) {
	return slices.BinarySearchFunc(msgs, uid, func(m mailbox.Message, u mailbox.UID) int {
		switch {
		case m.UID < u:
			return -1
		case m.UID > u:
			return 1
		}
		return 0
	})
}

// numbered returns the places of ranges of sequence numbers, or of UIDs, in order.
func numbered(msgs []mailbox.Message, ranges []imapwire.Range, uid bool) (places []int) {
	for _, r := range ranges {
		from, to := int(r.From)-1, int(r.To)
		if uid {
			from, _ = place(msgs, mailbox.UID(r.From))
			var there bool
			if to, there = place(msgs, mailbox.UID(r.To)); there {
				to++
			}
		}
		for i := max(from, 0); i < min(to, len(msgs)); i++ {
			places = append(places, i)
		}
	}
	return places
}

// largest returns what "*" stands for.
func largest(msgs []mailbox.Message, uid bool) uint32 {
	if n := len(msgs); n > 0 && uid {
		return uint32(msgs[n-1].UID)
	}
	return uint32(len(msgs))
}
