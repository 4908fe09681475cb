package named

import (
	"context"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// arrive delivers a message to a server of ours that stands behind us, for the mailboxes
// that the recipients lead to.
func arrive(ctx context.Context, server nexthop.Target, j nexthop.Job) []mail.Outcome {
	part := j
	// RFC 8689 §4.4: what a message demands of TLS ends at our own servers; how this one
	// is reached, the administrator decided.
	part.Envelope.TLS = mail.TLSAsUsual
	var of []int
	part.Recipients, of = merged(j.Recipients)
	said := server.Deliver(ctx, part)
	out := make([]mail.Outcome, len(j.Recipients))
	for i, to := range j.Recipients {
		out[i] = said[of[i]]
		out[i].Recipient = to.Address
		if full(out[i].Reply) {
			out[i].Reply = mail.R(452, "4.2.2", "the mailbox is full; the server behind says: "+out[i].Reply.String())
			out[i].Said = false // not in these words
		}
	}
	return out
}

// full reports whether a server refuses for good what will fit when somebody tidies up:
// RFC 3463 §3.3, X.2.2; RFC 5321 §4.2.3, 552, where it gives no such code (a message that
// is too large was not sent, RFC 1870). Dovecot says so after the message, so that it was
// accepted by then. Its mailbox is one of ours: the message waits like any other, its
// sender hears of the delay where that is allowed, and it ends when its time is over.
func full(r mail.Reply) bool {
	return r.Class() == mail.ClassPermanent &&
		(r.Enhanced == mail.Enhanced{Class: 5, Subject: 2, Detail: 2} || r.Code == 552 && r.Enhanced == mail.Enhanced{})
}

// merged returns the recipients as the server behind us knows them, each address once,
// so that nobody gets a message twice because two aliases lead to one mailbox; of says which of
// them stands for each.
func merged(all []nexthop.Recipient) (once []nexthop.Recipient, of []int) {
	at := map[mail.Address]int{}
	of = make([]int, len(all))
	for i, to := range all {
		// An alias of ours means nothing to that server.
		if !to.Mailbox.IsZero() {
			to.Address = to.Mailbox
		}
		n, known := at[to.Address]
		if !known {
			n = len(once)
			at[to.Address] = n
			once = append(once, to)
		} else {
			once[n].Notify = together(once[n].Notify, to.Notify)
		}
		of[i] = n
	}
	return once, of
}

// together asks for what either of two recipients asks to be told. Whoever said nothing is
// told of failures; NEVER stands alone. RFC 3461 §4.1.
func together(a, b mail.Notify) mail.Notify {
	if a == b {
		return a
	}
	var out mail.Notify
	for _, n := range []mail.Notify{a, b} {
		if n == 0 {
			n = mail.NotifyFailure
		}
		out |= n &^ mail.NotifyNever
	}
	return out
}
