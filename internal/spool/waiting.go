package spool

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Waiting is what waits in the queue for a mailbox of ours, or for those of a domain: one copy
// for each mailbox, however often a message names it.
type Waiting struct {
	Messages int
	Octets   int64 // bodies and prefixes
}

// Waiting returns what waits for a mailbox, and for all mailboxes of its domain: what was accepted, held or
// not, and is not in the mailbox yet.
func (s *Spool) Waiting(mailbox mail.Address) (its, domain Waiting) {
	key := []byte(mailbox.Key())
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits.mailboxes.of(key), s.waits.domains.of(domainOf(key))
}

// Arrived is told by who delivers a claimed message that it is in a mailbox: it waits for that one no
// more, whenever it is settled.
func (s *Spool) Arrived(id mail.ID, mailbox mail.Address) {
	key := mailbox.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[id]
	if c == nil || !c.waits.names(key) || s.waits.isThere(id, key) {
		return
	}
	s.waits.add([]byte(key), c.waits.octets, -1)
	s.waits.there[id] = append(s.waits.there[id], key)
}

// waits is what waits for mailboxes of ours. It is a sum: what a message adds and what its end takes away may come in
// either order. A method is called with Spool.mu held.
type waits struct {
	mailboxes, domains amounts
	// there are the keys of mailboxes that a message is in already; its settlement is still to come.
	there map[mail.ID][]string
}

// amounts are Waiting by a key; what comes to nothing is in none.
type amounts map[string]*Waiting

func (a amounts) of(key []byte) Waiting {
	n := a[string(key)]
	if n == nil {
		return Waiting{}
	}
	return Waiting{Messages: max(n.Messages, 0), Octets: max(n.Octets, 0)}
}

func (a amounts) add(key []byte, octets int64, sign int) {
	n := a[string(key)]
	if n == nil {
		n = &Waiting{}
		a[string(key)] = n
	}
	n.Messages += sign
	n.Octets += int64(sign) * octets
	if *n == (Waiting{}) {
		delete(a, string(key))
	}
}

func newWaits() waits {
	return waits{mailboxes: amounts{}, domains: amounts{}, there: map[mail.ID][]string{}}
}

// domainOf returns what stands behind the last @ of a mailbox's key.
func domainOf(key []byte) []byte { return key[bytes.LastIndexByte(key, '@')+1:] }

// add counts one copy for one mailbox in, or out.
func (w *waits) add(key []byte, octets int64, sign int) {
	w.mailboxes.add(key, octets, sign)
	w.domains.add(domainOf(key), octets, sign)
}

// enter counts a message in for each of its mailboxes.
func (w *waits) enter(sum summary) {
	for _, key := range sum.keys() {
		w.add([]byte(key), sum.octets, 1)
	}
}

// load counts a message in for each mailbox of a list, as the queue is opened: the domains are added up once all are.
func (a amounts) load(mailboxes []byte, octets int64) {
	for end := bytes.IndexByte(mailboxes, mailboxEnd[0]); end >= 0; end = bytes.IndexByte(mailboxes, mailboxEnd[0]) {
		a.add(mailboxes[:end], octets, 1)
		mailboxes = mailboxes[end+1:]
	}
}

// take adds what was loaded of another part of the queue.
func (a amounts) take(more amounts) {
	for key, n := range more {
		if have := a[key]; have != nil {
			have.Messages += n.Messages
			have.Octets += n.Octets
		} else {
			a[key] = n
		}
	}
}

func (w *waits) loaded() {
	clear(w.domains)
	for key, n := range w.mailboxes {
		d := string(domainOf([]byte(key)))
		if w.domains[d] == nil {
			w.domains[d] = &Waiting{}
		}
		w.domains[d].Messages += n.Messages
		w.domains[d].Octets += n.Octets
	}
}

// change puts what one state of a message waits for in the place of what the one before did. What is in its mailbox
// already was counted out then.
func (w *waits) change(id mail.ID, from, to summary) {
	for _, key := range from.keys() {
		if !w.isThere(id, key) {
			w.add([]byte(key), from.octets, -1)
		}
	}
	for _, key := range to.keys() {
		if !w.isThere(id, key) {
			w.add([]byte(key), to.octets, 1)
		}
	}
	if keys := w.there[id]; keys != nil {
		if keys = slices.DeleteFunc(keys, func(key string) bool { return !to.names(key) }); len(keys) > 0 {
			w.there[id] = keys
		} else {
			delete(w.there, id)
		}
	}
}

func (w *waits) isThere(id mail.ID, key string) bool { return slices.Contains(w.there[id], key) }

// mailboxesOf lists the mailboxes of ours that an entry waits for: their keys in order, each once, and each with its end.
func mailboxesOf(e *Entry) string {
	var keys []string
	octets := 0
	for i := range e.Recipients {
		if r := &e.Recipients[i]; r.Kind == KindLocal && r.State == StatePending {
			keys = append(keys, r.Mailbox.Key())
			octets += len(keys[len(keys)-1]) + len(mailboxEnd)
		}
	}
	slices.Sort(keys)
	list := make([]byte, 0, octets)
	for _, key := range slices.Compact(keys) {
		list = append(append(list, key...), mailboxEnd...)
	}
	return string(list)
}

// summaryOf makes the summary of an entry again; false: there is none that reads, which is left to whoever verifies it.
func (s *Spool) summaryOf(ctx context.Context, id mail.ID) (summary, bool, error) {
	record, err := s.st.Get(ctx, entryKey(id))
	if err != nil {
		return summary{}, false, ctx.Err()
	}
	e, err := s.open(id, record)
	if err != nil {
		return summary{}, false, nil
	}
	return summarise(e), true, nil
}

// renewal writes summaries anew which did not read, or did not say what they say today.
type renewal struct {
	waiting []store.Mutation
	written int
}

// add notes one, and writes those that are noted when they are many.
func (n *renewal) add(ctx context.Context, s *Spool, index []byte, sum summary) error {
	n.waiting = append(n.waiting, store.Mutation{Key: bytes.Clone(index), Value: sum.encode()})
	if len(n.waiting) < s.limits.Load().Batch {
		return nil
	}
	return n.write(ctx, s)
}

// write need not be durable: what is lost is renewed at the next opening.
func (n *renewal) write(ctx context.Context, s *Spool) error {
	if len(n.waiting) == 0 {
		return nil
	}
	_, err := s.st.Apply(ctx, store.Tx{Mutations: n.waiting}, store.Lazy)
	if errors.Is(err, store.ErrInDoubt) {
		err = nil
	}
	n.written += len(n.waiting)
	n.waiting = n.waiting[:0]
	return err
}
