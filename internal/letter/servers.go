package letter

import (
	"context"
	"net/netip"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// Servers asks the servers behind us.
type Servers interface {
	// Ask returns what is known of an address at the server that a domain of ours has
	// behind us, to which a client writes; the zero client is this server itself. It waits
	// for a bounded time.
	Ask(ctx context.Context, client netip.Addr, d directory.Domain, a mail.Address) callout.Answer
}

// Heard is what a server behind us said of an address.
type Heard struct {
	About  mail.Address
	Answer callout.Answer
}

// Asking returns what Judge asks the servers behind us with, and where what they said is
// found afterwards. A nil s is asked nothing.
func Asking(ctx context.Context, s Servers, dir *directory.Snapshot,
	client netip.Addr) (ask func(directory.Mailbox) directory.Answer, heard *[]Heard) {
	heard = new([]Heard)
	if s == nil {
		return nil, heard
	}
	return func(m directory.Mailbox) directory.Answer {
		d, ok := dir.Domain(m.Behind.Domain())
		if !ok {
			return directory.AnswerUnknown
		}
		a := s.Ask(ctx, client, d, m.Behind)
		*heard = append(*heard, Heard{m.Behind, a})
		switch a.Known {
		case callout.Yes:
			return directory.AnswerYes
		case callout.No:
			return directory.AnswerNo
		}
		return directory.AnswerUnknown
	}, heard
}
