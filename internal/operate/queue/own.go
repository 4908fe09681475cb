package queue

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// Lister lists the queue, and has it tried again.
type Lister interface {
	QueueList(ctx context.Context, by call.Caller, r Select, fn func(Message) error) error
	QueueRetry(ctx context.Context, by call.Caller, r QueueChange) (QueueChanged, error)
}

// OwnQueue is what any user of this host may ask of the queue. All fields are required.
type OwnQueue struct {
	Operator Lister
	Owner    uint32 // the server's own user, who may do what root may
	// Account says whose account a user sends as, or why nobody's.
	Account func(uid uint32) (account mail.Address, why string)
	// Refused is told of each question that is not answered, and by which rule.
	Refused func(uid uint32, rule string)
}

// The rules by which users of this host learn nothing of the queue, and do nothing to it.
const (
	// RuleNoQueue: a user of this host who has no account asked for its queue.
	RuleNoQueue = "no-queue-of-his"
	// RuleNotOperator: a user of this host asked to run the queue, which only root and the server's own user may.
	RuleNotOperator = "not-operator"
)

// List lists the messages of the caller's account, one JSON object a line; for root and
// the owner, all.
func (q OwnQueue) List(ctx context.Context, uid uint32, w io.Writer) error {
	caller, choice := call.Caller{UID: uid, Known: true}, Select{}
	if call.MayAct(caller, q.Owner) != nil {
		account, why := q.Account(uid)
		if account.IsZero() {
			q.Refused(uid, RuleNoQueue)
			return errors.New(why)
		}
		choice.Account = account.String()
	}
	enc := json.NewEncoder(w)
	return q.Operator.QueueList(ctx, caller, choice, func(m Message) error { return enc.Encode(m) })
}

// Retry makes every message due now; root and the owner may.
func (q OwnQueue) Retry(ctx context.Context, uid uint32, w io.Writer) error {
	caller := call.Caller{UID: uid, Known: true}
	if call.MayAct(caller, q.Owner) != nil {
		q.Refused(uid, RuleNotOperator)
		return errors.New("only root and the server's own user may run the queue")
	}
	r := QueueChange{}
	r.All = true
	changed, err := q.Operator.QueueRetry(ctx, caller, r)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(changed)
}
