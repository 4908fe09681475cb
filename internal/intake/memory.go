package intake

import (
	"io"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/spool"
)

const (
	// RuleMemory refuses for want of memory for what is not judged yet.
	RuleMemory = "memory-crowded"
	// transactionOctets is what a transaction takes without recipients, about,
	// recipientOctets and wayOctets what a recipient and each way to it take beside
	// their addresses.
	transactionOctets = 2 << 10
	recipientOctets   = 512
	wayOctets         = 512
	// headerCopies is how often a header section is held beside the one that came, at
	// most: as it is stored, and twice by a check that hands it on.
	headerCopies = 3
	// fieldOctets is what it takes to know where a field lies.
	fieldOctets = 128
	// inspectionOctets is what it takes to read a message to a check.
	inspectionOctets = 128 << 10
)

// DefaultMemory is the budget of an Intake that was given none: 256 MiB.
const DefaultMemory = 256 << 20

// crowded is the answer to who finds no memory.
func crowded() mail.Reply {
	return mail.R(452, "4.3.1", "too much mail is on its way; try again later")
}

// memory is a hold for a transaction. Strangers of one network share a part, unless the
// administrator's list lets them in.
func (s *session) memory() *allowance.Hold {
	if s.exempt || !s.anonymous() {
		return s.in.Memory.Hold(!s.anonymous())
	}
	return s.in.Memory.Stranger(s.conn.Network)
}

func errCrowded() error { return &errRefused{rule: RuleMemory, reply: crowded()} }

// recipientCost is what a recipient takes while its message comes.
func recipientCost(r mail.Recipient, ways []spool.Delivery) int64 {
	n := recipientOctets + 4*r.Address.Octets() + len(r.ORcpt.Address)
	for _, w := range ways {
		n += wayOctets + 2*w.Mailbox.Octets()
	}
	return int64(n)
}

// headerCost is what a header section takes once it was read, beside its octets.
func headerCost(h message.Header) int64 {
	return headerCopies*int64(len(h.Raw())) + fieldOctets*int64(h.Len())
}

// kept is a body within a budget.
type kept struct {
	body *spool.Body
	hold *allowance.Hold
	held *int64
	flow *inflow.Charge
}

// Write implements io.Writer.
func (k kept) Write(p []byte) (int, error) {
	if v := k.flow.Came(len(p)); !v.OK {
		return 0, &errRefused{rule: string(v.Rule), reply: v.Reply(), found: v.Words()}
	}
	n, err := k.body.Write(p)
	if err != nil {
		return n, err
	}
	now := int64(k.body.Memory())
	if now > *k.held && !k.hold.Take(now-*k.held) {
		return n, errCrowded()
	}
	k.hold.Give(*k.held - now)
	*k.held = now
	return n, nil
}

var _ io.Writer = kept{}
