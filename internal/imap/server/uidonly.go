package server

import (
	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

// byNumber refuses a command that speaks of sequence numbers, or that would be answered by them, of
// a client that has enabled UIDONLY. RFC 9586 §3.
func (c *conn) byNumber(cmd imapwire.Command) (res result, refused bool) {
	if !c.enabled.uidOnly {
		return res, false
	}
	numbered := false
	switch a := cmd.Args.(type) {
	case imapwire.Fetch, imapwire.Store, imapwire.Copy:
		numbered = !cmd.UID
	case imapwire.Search:
		numbered = !cmd.UID || a.Key.Numbered()
	case imapwire.Select:
		numbered = a.QResync != nil && len(a.QResync.Seqs) > 0
	}
	return uidRequired(), numbered
}

func uidRequired() result {
	return result{status: "BAD", code: "UIDREQUIRED", text: "messages are named by their UIDs alone"}
}

// head begins to tell of a message: by its sequence number, and its UID if that is asked, or by its
// UID alone. RFC 9586 §3.3.
func (c *conn) head(i int, uid bool) string {
	n := c.box.msgs[i].UID
	switch {
	case c.enabled.uidOnly:
		return "* " + decimal(n) + " UIDFETCH ("
	case uid:
		return "* " + decimal(i+1) + " FETCH (UID " + decimal(n) + " "
	}
	return "* " + decimal(i+1) + " FETCH ("
}

// leastBatch is how many messages a batch has at least that a client may ask for. RFC 10022.
const leastBatch = 500

// batches answers UIDBATCHES: ranges of UIDs, from the largest on, that hold so many messages each,
// and leave out no UID down to 1. RFC 10022.
func (c *conn) batches(a imapwire.Batches, tag string) result {
	switch {
	case a.From > a.To:
		return result{status: "BAD", code: "CLIENTBUG", text: "the first batch comes before the last"}
	case a.Size < leastBatch:
		return no("TOOFEW", "a batch has "+decimal(leastBatch)+" messages at least")
	}
	b := append(imapwire.AppendString([]byte("* UIDBATCHES (TAG "), tag, false), ')')
	mark := byte(' ')
	for _, r := range batchesOf(c.box.msgs, a) {
		b = append(append(b, mark), decimal(r.To)+":"+decimal(r.From)...)
		mark = ','
	}
	c.Write(append(b, "\r\n"...))
	return ok("those are the batches")
}

// batchesOf returns the batches that are asked for: the one of the largest UIDs is the first.
func batchesOf(msgs []mailbox.Message, a imapwire.Batches) (out []imapwire.Range) {
	size, end := int64(a.Size), int64(len(msgs))
	all := (end + size - 1) / size
	for n := int64(a.From); n <= min(int64(a.To), all); n++ {
		r := imapwire.Range{From: 1, To: uint32(msgs[end-1].UID)}
		if above := end - (n-1)*size; above < end {
			r.To = uint32(msgs[above].UID) - 1
		}
		if below := end - n*size; below > 0 {
			r.From = uint32(msgs[below].UID)
		}
		out = append(out, r)
	}
	return out
}
