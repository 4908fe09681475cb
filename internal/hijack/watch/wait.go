package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// waitVersion is the version of records of who waits.
const waitVersion = 1

// askAgain is how long recipients wait who find no room within the bounds, before they ask
// again: one more has room every few minutes at most.
const askAgain = 2 * time.Minute

// waiting is who of a message may not leave yet.
type waiting struct {
	Version int          `json:"v"`
	Account mail.Address `json:"account"`
	At      time.Time    `json:"at"`
	Until   time.Time    `json:"until,omitzero"` // of Held; by Options.Passed
	Held    []place      `json:"held,omitempty"`
	Asking  []place      `json:"asking,omitempty"` // for room within the bounds
	// Bears is what the message bears in which its account is not at home: nobody leaves
	// while any of it is paused.
	Bears []incident.Shared `json:"bears,omitempty"`
}

// place is one delivery.
type place struct {
	Recipient mail.Address `json:"r"`
	Mailbox   mail.Address `json:"m,omitzero"`
}

func (p place) is(w Way) bool {
	return p.Recipient.Key() == w.Recipient.Key() && p.Mailbox.Key() == w.Mailbox.Key()
}

func (q *waiting) hold(w Way, until time.Time) {
	q.Held = append(q.Held, place(w))
	if until.After(q.Until) {
		q.Until = until
	}
}

func (q *waiting) ask(w Way) { q.Asking = append(q.Asking, place(w)) }

func waitKey(id mail.ID) []byte { return append([]byte(prefixWait), id.Bytes()...) }

// queue is who waits, of all messages in the queue.
type queue struct {
	mu  sync.Mutex
	all map[mail.ID]*waiting
}

func (q *queue) open(ctx context.Context, st store.Store) error {
	q.all = map[mail.ID]*waiting{}
	return st.Scan(ctx, store.Prefix([]byte(prefixWait)), func(k, v []byte) (bool, error) {
		id, err := mail.IDFromBytes(k[len(prefixWait):])
		var w waiting
		err = errors.Join(err, codec.Decode(v, &w), codec.Version(w.Version, waitVersion))
		if err != nil {
			return false, fmt.Errorf("watch: who waits of a message does not read: %w", err)
		}
		q.all[id] = &w
		return true, nil
	})
}

// strayFor is how old a record of who waits is at least that is looked at for its message.
const strayFor = 10 * time.Minute

// strays forgets who waited of messages that are gone: removed, or expired.
func (w *Watch) strays(ctx context.Context) {
	now := w.o.Now()
	w.queue.mu.Lock()
	var old []mail.ID
	for id, q := range w.queue.all {
		if now.Sub(q.At) > strayFor {
			old = append(old, id)
		}
	}
	w.queue.mu.Unlock()
	for _, id := range old {
		if q := w.queue.get(id); q != nil && !w.o.Queued(ctx, id) {
			w.settle(ctx, id, q, waiting{})
		}
	}
}

func (q *queue) put(id mail.ID, w *waiting) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all[id] = w
}

func (q *queue) drop(id mail.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.all, id)
}

func (q *queue) get(id mail.ID) *waiting {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all[id]
}

// mostLeft is the longest that a delivery may still have to wait: where it is longer, the clock was
// set back, and nobody waits for ever.
const mostLeft = time.Hour

// Waits says which deliveries of a queued message may not be tried yet, by place, and for
// how long; of those that ask for room within the bounds, as many as there is room for get
// it. A message has one attempt at a time.
func (w *Watch) Waits(ctx context.Context, id mail.ID, pending []Way) (waits map[int]bool, wait time.Duration) {
	q := w.queue.get(id)
	if q == nil || w.Mode() != hijack.Enforce {
		return nil, 0
	}
	ctx = context.WithoutCancel(ctx)
	now := w.o.Now()
	next := *q
	paused := !w.paused(q.Bears).IsZero()
	if left := q.Until.Sub(w.o.Passed()); paused {
		wait = askAgain
	} else if left <= 0 || left > mostLeft {
		next.Held = nil
	} else {
		wait = left
	}
	if len(next.Asking) > 0 && !paused {
		var err error
		if next.Asking, err = w.room(ctx, q, pending, now); err != nil {
			w.o.Logger.Warn("recipients wait on, since it is not known whether they may leave", "queue", id.String(), "err", err)
		}
		if len(next.Asking) > 0 && (wait == 0 || wait > askAgain) {
			wait = askAgain
		}
	}
	w.settle(ctx, id, q, next)
	waits = map[int]bool{}
	for i, way := range pending {
		is := func(p place) bool { return p.is(way) }
		if slices.ContainsFunc(next.Held, is) || slices.ContainsFunc(next.Asking, is) {
			waits[i] = true
		}
	}
	if len(waits) == 0 {
		return nil, 0
	}
	return waits, wait
}

// WhyWaits says in words why deliveries of a queued message may not be tried yet; "": none waits for what is known of its
// account. It changes nothing: who asks for room gets none by it.
func (w *Watch) WhyWaits(id mail.ID) string {
	q := w.queue.get(id)
	if q == nil || w.Mode() != hijack.Enforce {
		return ""
	}
	if of := w.paused(q.Bears); !of.IsZero() {
		return "it bears what is paused for all accounts: " + of.String() + " (see: sallyport incident ls)"
	}
	left := q.Until.Sub(w.o.Passed())
	switch {
	case len(q.Held) > 0 && left > 0 && left <= mostLeft:
		return "nobody here ever wrote to a recipient: the first message to one is handed over some seconds later"
	case len(q.Asking) > 0:
		return "the account has written to as many new people as it may at once: there is room for more by and by"
	}
	return ""
}

// room asks for recipients that found none, and returns those who still wait. Whoever gets it
// is written durably, with what is known of the account then.
func (w *Watch) room(ctx context.Context, q *waiting, pending []Way, now time.Time) ([]place, error) {
	a, err := w.enter(ctx, q.Account)
	if err != nil {
		return q.Asking, err
	}
	b := w.bookAt(ctx, now)
	var wanted []hijack.Fingerprint
	for _, p := range q.Asking {
		f := w.printOf(Way(p))
		if _, known := b.Since(a.who, f); !known && !slices.Contains(wanted, f) {
			wanted = append(wanted, f)
		}
	}
	p := w.params(q.Account)
	e := hijack.Waiting{At: w.o.Passed(), Recipients: len(wanted)}
	s, v := hijack.Advance(a.state, e, w.priors(now), p)
	gave := w.took(a, e, s, v, Act{}, now)
	state, place := a.mutation()
	a.mu.Unlock()
	defer w.unpin(a)
	defer a.vacate(place)
	if v.Leave == 0 && len(wanted) > 0 {
		if len(gave) > 0 {
			w.remember(ctx, gave...)
		}
		return q.Asking, nil
	}
	granted := wanted[:min(v.Leave, len(wanted))]
	tx := store.Tx{Mutations: append(append(b.learn(hijack.Wrote(a.who, granted, now)), state), gave...)}
	if _, err := w.o.Store.Apply(ctx, tx, store.Durable); err != nil {
		return q.Asking, err
	}
	rest := q.Asking[:0:0]
	for _, p := range q.Asking {
		if slices.Contains(wanted[len(granted):], w.printOf(Way(p))) {
			rest = append(rest, p)
		}
	}
	return rest, nil
}

// settle writes who still waits, where that has changed.
func (w *Watch) settle(ctx context.Context, id mail.ID, was *waiting, now waiting) {
	if len(was.Held) == len(now.Held) && len(was.Asking) == len(now.Asking) {
		return
	}
	m := store.Mutation{Key: waitKey(id), Delete: true}
	if len(now.Held)+len(now.Asking) > 0 {
		value, err := json.Marshal(now)
		if err != nil {
			w.o.Logger.Error("who waits of a message was not written", "queue", id.String(), "err", err)
			return
		}
		m = store.Mutation{Key: waitKey(id), Value: value}
		w.queue.put(id, &now)
	} else {
		w.queue.drop(id)
	}
	if _, err := w.o.Store.Apply(ctx, store.Tx{Mutations: []store.Mutation{m}}, store.Lazy); err != nil {
		w.o.Logger.Warn("who waits of a message is known in memory alone", "queue", id.String(), "err", err)
	}
}
