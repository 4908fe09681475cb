package queue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/spool"
)

// Redirector gives queued messages other recipients: package dispatch.
type Redirector interface {
	Redirect(ctx context.Context, r dispatch.Redirection) (dispatch.Redirected, error)
}

// QueueRead asks for what a message in the queue says.
type QueueRead struct {
	ID string `json:"id"`
	// Headers asks for the header section alone, with what we put before it.
	Headers bool `json:"headers,omitempty"`
}

// readPiece is how many octets of a message one item of the answer holds at most.
const readPiece = 32 << 10

// QueueRead calls fn with the message as it would leave, octet for octet, in pieces. That
// it was read, by whom, is in the trace before the first of them.
func (op *Actions) QueueRead(ctx context.Context, by call.Caller, r QueueRead, fn func([]byte) error) error {
	e, err := op.queued(ctx, r.ID)
	if err != nil {
		return err
	}
	body, err := op.o.Queue.OpenBody(ctx, e.ID)
	if err != nil {
		return err
	}
	defer body.Close()
	f := fact.Asked{At: op.o.Now(), Rule: fact.RuleOperator, Message: queuedMessage(e), What: "the message was read", Evidence: call.DoneBy(by)}
	if r.Headers {
		f.What = "its header was read"
	}
	if err := op.o.Write(ctx, f.Fact()); err != nil {
		return err
	}
	whole := io.MultiReader(bytes.NewReader(e.Prefix), body)
	piece, seen := make([]byte, readPiece), headerEnd{}
	for {
		n, err := whole.Read(piece)
		part := piece[:n]
		ended := false
		if r.Headers {
			part, ended = seen.upTo(part)
		}
		if len(part) > 0 {
			if err := fn(part); err != nil {
				return err
			}
		}
		switch {
		case ended || errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// headerEnd finds the empty line behind a header section that comes in pieces.
type headerEnd struct{ line int }

// upTo returns what of a piece belongs to the header section, and whether it ended there.
func (h *headerEnd) upTo(piece []byte) (part []byte, ended bool) {
	for i, c := range piece {
		switch {
		case c == '\n' && h.line == 0:
			return piece[:i+1], true
		case c == '\n':
			h.line = 0
		case c != '\r':
			h.line++
		}
	}
	return piece, false
}

// QueueRedirect asks that a message goes to another address than those who do not have it.
type QueueRedirect struct {
	ID string `json:"id"`
	To string `json:"to"`
	// ForwardOf is the account as whose forward it leaves; "" for an address of ours.
	ForwardOf string `json:"forward_of,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// QueueRedirected says as which message it waits now.
type QueueRedirected struct {
	ID      string   `json:"id"`
	Instead []string `json:"instead"` // who does not get it any more
}

// QueueRedirect gives a message in the queue another recipient, as dispatch.Redirect says:
// an operator cannot make mail leave that no account answers for.
func (op *Actions) QueueRedirect(ctx context.Context, by call.Caller, r QueueRedirect) (QueueRedirected, error) {
	id, err := mail.ParseID(r.ID)
	if err != nil {
		return QueueRedirected{}, call.Invalid(err)
	}
	ask := dispatch.Redirection{ID: id, Evidence: call.DoneBy(by)}
	if r.Reason != "" {
		ask.Evidence = append(ask.Evidence, call.Because(r.Reason))
	}
	if ask.To, err = mail.ParseAddress(r.To, mail.UTF8); err != nil {
		return QueueRedirected{}, call.Invalid(err)
	}
	if r.ForwardOf != "" {
		if ask.Account, err = call.ParseAccount(r.ForwardOf); err != nil {
			return QueueRedirected{}, err
		}
	}
	if op.o.Redirects == nil {
		return QueueRedirected{}, call.Refused("nothing can be redirected here")
	}
	done, err := op.o.Redirects.Redirect(ctx, ask)
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return QueueRedirected{}, notQueued(r.ID)
	case errors.Is(err, dispatch.ErrRedirect):
		return QueueRedirected{}, call.Invalid(op.withForwards(err, ask))
	case errors.Is(err, spool.ErrClaimed), errors.Is(err, spool.ErrStale):
		return QueueRedirected{}, call.Unavailable(call.Words(err) + "; try again in a moment, or hold it first: sallyport queue hold " + r.ID)
	case err != nil:
		return QueueRedirected{}, err
	}
	return QueueRedirected{ID: done.ID.String(), Instead: call.Texts(done.Instead)}, nil
}

// maxOwnersTold is how many of those who forward to an address a refusal names.
const maxOwnersTold = 3

// withForwards adds to a refusal as whose forward the message could leave, or how somebody
// gets one.
func (op *Actions) withForwards(err error, r dispatch.Redirection) error {
	ours, forwarding := op.o.Forwarding(r.To)
	if ours {
		return err
	}
	var owners []string
	for _, account := range forwarding {
		if account != r.Account {
			owners = append(owners, account.String())
		}
	}
	if len(owners) > 0 {
		return errors.New(err.Error() + "; who forwards there: " + strings.Join(owners[:min(len(owners), maxOwnersTold)], ", ") + " (--forward-of)")
	}
	return errors.New(err.Error() + "; 'sallyport forward add ACCOUNT " + r.To.String() + "' makes a forward, and --forward-of names its account")
}

// queued returns a message in the queue.
func (op *Actions) queued(ctx context.Context, text string) (spool.Entry, error) {
	id, err := mail.ParseID(text)
	if err != nil {
		return spool.Entry{}, call.Invalid(err)
	}
	e, err := op.o.Queue.Get(ctx, id)
	if errors.Is(err, spool.ErrNotFound) {
		return spool.Entry{}, notQueued(text)
	}
	return e, err
}

func notQueued(id string) *call.Error {
	return call.NotFound("no message " + id + " is in the queue; its trace tells what became of it")
}

func queuedMessage(e spool.Entry) fact.Message {
	return fact.Message{Queue: e.ID, MessageID: e.MessageID, Account: e.Account.String(), Sender: e.Envelope.From.String(), Size: e.Size}
}

// QueueRead calls Actions.QueueRead.
func (c Client) QueueRead(ctx context.Context, r QueueRead, fn func([]byte) error) error {
	return call.Stream(ctx, c.Client, "queue.read", r, fn)
}

// QueueRedirect calls Actions.QueueRedirect.
func (c Client) QueueRedirect(ctx context.Context, r QueueRedirect) (QueueRedirected, error) {
	return call.Do[QueueRedirected](ctx, c.Client, "queue.redirect", r)
}
