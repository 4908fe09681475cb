package queue

import (
	"context"
	"sync"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/spool"
)

// changesAtOnce is how many messages one action changes at a time: they share the
// sync of the disk, so that a hundred thousand take minutes and not an hour.
const changesAtOnce = 16

// changing is a change of many messages under way.
type changing struct {
	mu      sync.Mutex
	done    QueueChanged
	err     error // the first
	told    time.Time
	slots   chan struct{}
	running sync.WaitGroup
}

// change applies act to each chosen message, each with a fact of its own, so that the
// trace of a message tells what was done to it. Each message is changed durably or not
// at all: what an error or the end of ctx leaves undone is as it was, and the answer
// says how many were done.
func (op *Actions) change(ctx context.Context, by call.Caller, r QueueChange, tell tellMessage,
	act func(context.Context, spool.Filter, [][]byte) (int, error)) (QueueChanged, error) {
	f, err := op.filter(r.Select)
	if err != nil {
		return QueueChanged{}, err
	}
	if r.Chooses() == r.All {
		return QueueChanged{}, call.Refused("name messages, or choose them by account, sender, recipient, domain, hold or age, or take all of them; not several of these")
	}
	c := &changing{done: QueueChanged{DryRun: r.DryRun}, slots: make(chan struct{}, changesAtOnce), told: time.Now()}
	missing := map[mail.ID]bool{}
	for _, id := range f.IDs {
		missing[id] = true
	}
	err = op.o.Queue.List(ctx, f, func(e spool.Entry) (bool, error) {
		delete(missing, e.ID)
		if r.DryRun {
			c.done.Count++
			return true, nil
		}
		c.begin(func() (int, error) {
			return act(ctx, spool.Filter{IDs: []mail.ID{e.ID}}, fact.EncodeAll(op.messageFact(tell, by, e, r.Reason)))
		})
		return c.tell(r.Tell), nil
	})
	c.running.Wait()
	c.done.Missing = len(missing)
	if err == nil {
		err = c.err
	}
	return c.done, err
}

// begin changes one message when one of those before it has ended.
func (c *changing) begin(act func() (int, error)) {
	c.slots <- struct{}{}
	c.running.Go(func() {
		defer func() { <-c.slots }()
		n, err := act()
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case err == nil:
			c.done.Count += n
			c.done.Unchanged += 1 - n
		case c.err == nil:
			c.err = err
		}
	})
}

// tell says how far it came, if it is time to, and whether to go on.
func (c *changing) tell(fn func(QueueChanged)) (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fn != nil && time.Since(c.told) >= call.TellEvery {
		c.told = time.Now()
		fn(c.done)
	}
	return c.err == nil
}

// changes serves a change of messages: a listing of how far it came, whose last item is
// the answer.
func changes(routes *call.Routes, name string, act func(context.Context, call.Caller, QueueChange) (QueueChanged, error)) {
	call.Listing(routes, name, func(ctx context.Context, by call.Caller, r QueueChange, fn func(QueueChanged) error) error {
		// Whoever no longer listens has ended ctx.
		r.Tell = func(c QueueChanged) { _ = fn(c) }
		done, err := act(ctx, by, r)
		if err != nil {
			return err
		}
		return fn(done)
	})
}

// changed calls an action that changes messages. With an error it returns how far it
// came, as far as that is known.
func (c Client) changed(ctx context.Context, action string, r QueueChange) (done QueueChanged, err error) {
	err = call.Stream(ctx, c.Client, action, r, func(now QueueChanged) error {
		done = now
		if r.Tell != nil {
			r.Tell(now)
		}
		return nil
	})
	return done, err
}
