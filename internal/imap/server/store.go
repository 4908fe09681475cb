package server

import (
	"context"
	"errors"
	"strings"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

// store answers STORE. RFC 9051 §6.4.6, RFC 7162 §3.1.3.
func (c *conn) store(ctx context.Context, a imapwire.Store, uid bool) result {
	b := c.box
	places, res, good := c.places(a.Set, uid)
	switch {
	case !good:
		return res
	case b.readOnly:
		return no("READ-ONLY", "the mailbox is open for reading")
	}
	var since *mailbox.ModSeq
	if a.Conditional {
		c.condstore(ctx)
		m := mailbox.ModSeq(a.UnchangedSince)
		since = &m
	}
	before := make(map[mailbox.UID]mailbox.Flags, len(places))
	for _, i := range places {
		before[b.msgs[i].UID] = b.msgs[i].Flags
	}
	op := map[imapwire.StoreOp]mailbox.Op{
		imapwire.StoreSet: mailbox.Replace, imapwire.StoreAdd: mailbox.Add,
		imapwire.StoreRemove: mailbox.Remove,
	}[a.Op]
	flags := flagsOf(a.Flags)
	stored, err := b.mb.Store(ctx, b.uids(places), op, flags, since)
	c.tellStored(stored, before, a, uid)
	switch {
	case err != nil:
		return c.failed(err)
	case len(stored.Modified) > 0:
		return okCode("MODIFIED "+c.numbers(stored.Modified, uid), "some have changed since")
	case len(stored.Gone) > 0: // RFC 5530 §3, RFC 2180 §4.2: they have no flags that could differ from what is asked
		return okCode("EXPUNGEISSUED", "some messages no longer exist")
	}
	return ok("stored")
}

// tellStored tells what the flags are now. SILENT spares the client what it knows itself; what
// others did to the same message at the same time, it does not. RFC 9051 §6.4.6.
func (c *conn) tellStored(s mailbox.Stored, before map[mailbox.UID]mailbox.Flags, a imapwire.Store, uid bool) {
	b := c.box
	var changed []int
	for _, m := range s.Messages {
		if i, there := place(b.msgs, m.UID); there {
			b.set(i, m)
			changed = append(changed, i)
		}
	}
	c.tellKeywords(changed, 0)
	mine := flagsOf(a.Flags)
	for _, i := range changed {
		m := &b.msgs[i]
		switch {
		case !a.Silent || m.Flags != applied(before[m.UID], a.Op, mine):
			c.tellFlags(i, uid || c.enabled.qresync)
		case c.enabled.condstore && (m.Flags != before[m.UID] || a.Conditional): // RFC 7162 §3.1.3: the new mod-sequence is told all the same
			c.Line(c.head(i, uid || c.enabled.qresync), "MODSEQ (", decimal(m.ModSeq), "))")
		}
	}
}

// applied is what a client expects.
func applied(before mailbox.Flags, op imapwire.StoreOp, flags mailbox.Flags) mailbox.Flags {
	switch op {
	case imapwire.StoreAdd:
		return before.With(flags)
	case imapwire.StoreRemove:
		return before.Without(flags)
	}
	return flags
}

// numbers writes messages as a set of what the client speaks of.
func (c *conn) numbers(uids []mailbox.UID, uid bool) string {
	out := make([]uint32, 0, len(uids))
	for _, u := range uids {
		if uid {
			out = append(out, uint32(u))
		} else if i, there := place(c.box.msgs, u); there {
			out = append(out, uint32(i+1))
		}
	}
	return string(imapwire.AppendSet(nil, out))
}

// copies answers COPY and MOVE. RFC 9051 §6.4.7, §6.4.8.
func (c *conn) copies(ctx context.Context, a imapwire.Copy, cmd imapwire.Command) result {
	b := c.box
	places, res, good := c.places(a.Set, cmd.UID)
	move := cmd.Verb == "MOVE"
	switch {
	case !good:
		return res
	case move && b.readOnly:
		return no("READ-ONLY", "the mailbox is open for reading")
	case len(places) == 0:
		return ok("no messages")
	}
	to, err := c.user().Select(ctx, a.To, true)
	if errors.Is(err, mailbox.ErrNoSuchMailbox) {
		return no("TRYCREATE", "there is no such mailbox")
	} else if err != nil {
		return c.failed(err)
	}
	defer to.Close()
	var pairs []mailbox.Pair
	if move {
		pairs, err = b.mb.Move(ctx, b.uids(places), to)
	} else {
		pairs, err = b.mb.Copy(ctx, b.uids(places), to)
	}
	code := ""
	if len(pairs) > 0 {
		code = copyUID(to.UIDValidity(), pairs)
	}
	switch {
	case err != nil:
		return c.failed(err)
	case len(pairs) == 0:
		return no("EXPUNGEISSUED", "the messages no longer exist")
	case move:
		// RFC 6851 §4.3: before the EXPUNGE responses.
		c.Line("* OK [", code, "] moved")
		return ok("moved")
	}
	return okCode(code, "copied")
}

// copyUID writes COPYUID, whose two sets belong together in their order. RFC 4315 §3.
func copyUID(validity uint32, pairs []mailbox.Pair) string {
	var from, to []string
	for i := 0; i < len(pairs); {
		j := i + 1
		for j < len(pairs) && pairs[j].From == pairs[j-1].From+1 && pairs[j].To == pairs[j-1].To+1 {
			j++
		}
		from = append(from, run(pairs[i].From, pairs[j-1].From))
		to = append(to, run(pairs[i].To, pairs[j-1].To))
		i = j
	}
	return "COPYUID " + decimal(validity) + " " + strings.Join(from, ",") + " " + strings.Join(to, ",")
}

func run(first, last mailbox.UID) string {
	return string(imapwire.AppendRanges(nil, []imapwire.Range{{From: uint32(first), To: uint32(last)}}))
}
