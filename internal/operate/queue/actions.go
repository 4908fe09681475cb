package queue

import (
	"context"
	"errors"
	"io"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/spool"
)

// Queue is what Actions need of package spool.
type Queue interface {
	Get(ctx context.Context, id mail.ID) (spool.Entry, error)
	List(ctx context.Context, f spool.Filter, fn func(spool.Entry) (more bool, err error)) error
	Hold(ctx context.Context, f spool.Filter, reason string, facts [][]byte) (int, error)
	Release(ctx context.Context, f spool.Filter, facts [][]byte) (int, error)
	Retry(ctx context.Context, f spool.Filter, facts [][]byte) (int, error)
	Remove(ctx context.Context, f spool.Filter, facts [][]byte) (int, error)
	OpenBody(ctx context.Context, id mail.ID) (io.ReadCloser, error)
	Shown(t time.Time) time.Time
	AccountHeld(account mail.Address) (reason string, held bool)
	Stats() spool.Stats
}

// WhyWaits says in words why a queued message may not be tried yet, since its account writes to new people, say; "": it may.
type WhyWaits func(mail.ID) string

// Options are what Actions act on. All are needed but Wake, Redirects and WhyWaits.
type Options struct {
	Queue Queue
	// Wake has what is retried try to connect, also to next hops that are left alone since they
	// could not be reached; nil: nobody delivers.
	Wake func()
	// Redirects gives queued messages other recipients; nil: nobody does.
	Redirects Redirector
	// WhyWaits says why a message waits beside its next hops; nil: nothing does.
	WhyWaits WhyWaits
	// Forwarding says whether an address is of a domain of ours, and which accounts forward to it.
	Forwarding func(to mail.Address) (ours bool, accounts []mail.Address)
	Write      call.Record
	Now        func() time.Time
}

// Actions are what an operator can do with the queue.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Explain says what kind of failure an error of the queue is; nil: it is none of its.
func Explain(err error) *call.Error {
	if errors.Is(err, spool.ErrNotFound) {
		return call.Of(call.CodeNotFound, err)
	}
	return nil
}

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Listing(routes, "queue.ls", op.QueueList)
	call.Answer(routes, "queue.show", op.QueueShow)
	call.Listing(routes, "queue.summary", op.QueueSummary)
	call.Listing(routes, "queue.read", op.QueueRead)
	call.Answer(routes, "queue.redirect", op.QueueRedirect)
	changes(routes, "queue.hold", op.QueueHold)
	changes(routes, "queue.release", op.QueueRelease)
	changes(routes, "queue.retry", op.QueueRetry)
	changes(routes, "queue.rm", op.QueueRemove)
}

// QueueStats is the queue in figures.
type QueueStats struct {
	Messages int   `json:"messages"`
	Held     int   `json:"held"`
	Octets   int64 `json:"octets"`
	// Why are the commonest reasons of what is held.
	Why []HeldReason `json:"why,omitempty"`
}

// QueueStats returns the queue in figures, without the reasons of what is held.
func (op *Actions) QueueStats() QueueStats {
	s := op.o.Queue.Stats()
	return QueueStats{Messages: s.Entries, Held: s.Held, Octets: s.Octets}
}

// Oldest returns when the oldest message that is not held was received; ok is false when
// there is none, or it is not known.
func (op *Actions) Oldest(ctx context.Context) (at time.Time, ok bool) {
	free := false
	err := op.o.Queue.List(ctx, spool.Filter{Held: &free, Limit: 1}, func(e spool.Entry) (bool, error) {
		at, ok = e.Received, true
		return false, nil
	})
	return at, ok && err == nil
}

// QueuedFor counts what is queued for a domain.
func (op *Actions) QueuedFor(ctx context.Context, d mail.Domain) (n int, err error) {
	err = op.o.Queue.List(ctx, spool.Filter{Domain: d}, func(spool.Entry) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

// HoldDomain holds what is queued for a domain that is about to go.
func (op *Actions) HoldDomain(ctx context.Context, by call.Caller, d mail.Domain) error {
	queued := false
	err := op.o.Queue.List(ctx, spool.Filter{Domain: d, Limit: 1}, func(spool.Entry) (bool, error) {
		queued = true
		return false, nil
	})
	if err != nil || !queued {
		return err
	}
	reason := "its domain " + d.String() + " was removed"
	f := HeldFact(op.o.Now(), "", "what is queued for "+d.String(), call.DoneBy(by, call.Because(reason)))
	_, err = op.o.Queue.Hold(ctx, spool.Filter{Domain: d}, reason, fact.EncodeAll(f))
	return err
}

// HeldFact says that more than one message is held: all of an account, or of a domain.
func HeldFact(at time.Time, account, what string, evidence []fact.Pair) fact.Fact {
	return fact.Held{At: at, Rule: fact.RuleOperator, Message: fact.Message{Account: account}, Reason: what, Evidence: evidence}.Fact()
}

// About are the words of a choice: what a question is about.
func (s Select) About() (words []string) {
	for _, w := range append([]string{s.Account, s.Sender, s.Recipient, s.Domain}, s.IDs...) {
		if w != "" {
			words = append(words, mail.Printable(w, mail.PieceShown))
		}
	}
	return words
}
