package server

import (
	"context"
	"slices"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

// selects answers SELECT and EXAMINE. RFC 9051 §6.3.2, RFC 7162 §3.2.5.
func (c *conn) selects(ctx context.Context, a imapwire.Select, readOnly bool) result {
	if a.QResync != nil && !c.enabled.qresync {
		return bad("QRESYNC must be enabled first")
	}
	if c.box != nil {
		c.leave()
		// RFC 9051 §7.1: what follows is about the new one.
		c.Line("* OK [CLOSED] the former mailbox is closed")
	}
	mb, err := c.user().Select(ctx, a.Name, readOnly)
	if err != nil {
		return c.failed(err)
	}
	c.enabled.condstore = c.enabled.condstore || a.CondStore
	state := mb.State()
	c.box = &box{
		view: view{msgs: state.Messages, shared: true, told: state.HighestModSeq}, mb: mb, readOnly: readOnly,
		keywords: map[string]bool{},
	}
	c.greetMailbox(a.Name, state)
	if q := a.QResync; q != nil && q.Validity == state.UIDValidity {
		c.resync(q)
	}
	code, text := "READ-WRITE", "selected"
	if readOnly {
		code, text = "READ-ONLY", "open for reading"
	}
	r := okCode(code, text)
	r.quiet = true
	return r
}

// greetMailbox tells what there is. RFC 9051 §6.3.2; RECENT and UNSEEN are of RFC 3501 alone.
func (c *conn) greetMailbox(name string, state mailbox.State) {
	for i := range state.Messages {
		c.box.learn(state.Messages[i].Flags)
	}
	c.tellMailboxFlags()
	c.tellAdded()
	if !c.enabled.rev2 && !c.enabled.uidOnly {
		for i := range state.Messages {
			if !state.Messages[i].Flags.Has(mailbox.Seen) {
				c.Line("* OK [UNSEEN ", decimal(i+1), "] the first that was not read")
				break
			}
		}
	}
	c.Line("* OK [UIDVALIDITY ", decimal(state.UIDValidity), "] UIDs are valid")
	c.Line("* OK [UIDNEXT ", decimal(state.UIDNext), "] the next UID")
	c.Line("* OK [HIGHESTMODSEQ ", decimal(state.HighestModSeq), "] the latest change")
	c.Line("* OK [MAILBOXID (", mailboxID(state.UIDValidity), ")] the mailbox")
	if c.enabled.rev2 { // RFC 9051 §6.3.2: its name, as LIST would tell it
		c.Write(append(imapwire.AppendMailbox([]byte(`* LIST () "/" `), name, c.enabled.utf8), "\r\n"...))
	}
}

// mailboxID names a mailbox, by what no two have in common: it stays when one is renamed.
// RFC 8474 §4.
func mailboxID(validity uint32) string { return "V" + decimal(validity) }

// resync tells what has changed since the client was here. RFC 7162 §3.2.5.
func (c *conn) resync(q *imapwire.QResync) {
	known := q.Known
	if known == nil {
		known = []imapwire.Range{{From: 1, To: imapwire.Star}}
	}
	c.tellSince(mailbox.ModSeq(q.ModSeq), imapwire.Set{Ranges: known}.Within(1<<32-1), q)
}

// tellSince tells, of the UIDs of ranges, which are gone and which have changed since a
// mod-sequence.
func (c *conn) tellSince(since mailbox.ModSeq, ranges []imapwire.Range, q *imapwire.QResync) {
	c.tellEarlier(since, ranges, q)
	for _, i := range numbered(c.box.msgs, ranges, true) {
		if c.box.msgs[i].ModSeq > since {
			c.tellFlags(i, true)
		}
	}
}

// tellEarlier tells which UIDs of ranges are gone since a mod-sequence: where that is not
// known any more, all that are not there. RFC 7162 §3.2.6.
func (c *conn) tellEarlier(since mailbox.ModSeq, ranges []imapwire.Range, q *imapwire.QResync) {
	gone := c.box.mb.Since(since)
	var out []imapwire.Range
	if !gone.Forgotten {
		var uids []uint32
		for _, u := range gone.Gone {
			_, in := within(ranges, uint32(u))
			// What went this moment is still in the view, and is told when the view drops it.
			if _, known := place(c.box.msgs, u); in && !known {
				uids = append(uids, uint32(u))
			}
		}
		slices.Sort(uids)
		out = imapwire.RangesOf(uids)
	} else {
		out = absent(c.box.msgs, ranges, q, uint32(gone.UIDNext))
	}
	if len(out) > 0 {
		c.Write(append(imapwire.AppendRanges([]byte("* VANISHED (EARLIER) "), out), "\r\n"...))
	}
}

// within finds the range that a number is in.
func within(ranges []imapwire.Range, n uint32) (int, bool) {
	return slices.BinarySearchFunc(ranges, n, func(r imapwire.Range, n uint32) int {
		switch {
		case r.To < n:
			return -1
		case r.From > n:
			return 1
		}
		return 0
	})
}

// absent returns the UIDs of ranges below next that no message has. Up to the last pair of a
// sequence number and a UID that the client remembers and that is still so, it knows everything
// already. RFC 7162 §3.2.5.2.
func absent(msgs []mailbox.Message, ranges []imapwire.Range, q *imapwire.QResync, next uint32) (out []imapwire.Range) {
	least := uint32(1)
	if q != nil {
		least = agreed(msgs, q) + 1
	}
	for _, r := range ranges {
		from, to := max(r.From, least), min(r.To, next-1)
		at, _ := place(msgs, mailbox.UID(from))
		for from <= to && from > 0 {
			if at == len(msgs) || uint32(msgs[at].UID) > to {
				out = append(out, imapwire.Range{From: from, To: to})
				break
			}
			here := uint32(msgs[at].UID)
			if here > from {
				out = append(out, imapwire.Range{From: from, To: here - 1})
			}
			from, at = here+1, at+1
		}
	}
	return out
}

// agreed returns the largest UID up to which the client's messages are ours.
func agreed(msgs []mailbox.Message, q *imapwire.QResync) (uid uint32) {
	seqs, uids := flat(q.Seqs, len(msgs)), flat(q.UIDs, len(msgs))
	for i := range min(len(seqs), len(uids)) {
		n := int(seqs[i])
		if n == 0 || n > len(msgs) || uint32(msgs[n-1].UID) != uids[i] {
			break
		}
		uid = uids[i]
	}
	return uid
}

// flat returns the numbers of ranges, at most so many.
func flat(ranges []imapwire.Range, most int) (out []uint32) {
	for _, r := range ranges {
		for n := r.From; n <= r.To && n != 0 && len(out) < most; n++ {
			out = append(out, n)
		}
	}
	return out
}

// heed tells the state that mod-sequences begin from, when CONDSTORE begins to count within a
// mailbox that is open. RFC 7162 §3.1.
func (c *conn) heed(context.Context) {
	if c.box != nil && c.enabled.condstore {
		c.Line("* OK [HIGHESTMODSEQ ", decimal(c.box.told), "] the latest change")
	}
}

// condstore notes that the client keeps mod-sequences. RFC 7162 §3.1.
func (c *conn) condstore(ctx context.Context) {
	if !c.enabled.condstore {
		c.enabled.condstore = true
		c.heed(ctx)
	}
}

// closes answers CLOSE and UNSELECT. RFC 9051 §6.4.1, §6.4.2.
func (c *conn) closes(ctx context.Context, expunge bool) result {
	if expunge && !c.box.readOnly {
		if _, err := c.box.mb.Expunge(ctx, nil); err != nil {
			return c.failed(err)
		}
	}
	c.leave()
	return ok("closed")
}

// expunge answers EXPUNGE and UID EXPUNGE. RFC 9051 §6.4.3, §6.4.9.
func (c *conn) expunge(ctx context.Context, cmd imapwire.Command) result {
	if c.box.readOnly {
		return no("READ-ONLY", "the mailbox is open for reading")
	}
	var uids []mailbox.UID // nil: all
	if a, named := cmd.Args.(imapwire.Expunge); named {
		places, _, _ := c.places(a.Set, true)
		if uids = c.box.uids(places); len(uids) == 0 {
			return ok("nothing to remove")
		}
	}
	if _, err := c.box.mb.Expunge(ctx, uids); err != nil {
		return c.failed(err)
	}
	if !c.enabled.condstore {
		return ok("removed")
	}
	// RFC 7162 §3.2.7: the client need not ask for it.
	c.tell(ctx, true)
	return okCode("HIGHESTMODSEQ "+decimal(c.box.told), "removed")
}
