package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// claim is a live claim. Claims live in memory alone: after a restart nobody
// holds one, and what was under way is due again.
type claim struct {
	token   Token
	owner   string
	expires time.Time
	grant   gate.Grant // of the entry, verified

	ending sync.Mutex // one Settle, Postpone or HoldClaimed at a time
	waits  summary    // what the entry waited for when it was claimed; Spool.mu guards it
	entry  *Entry     // as last read or written
	record []byte     // entry, encoded
	doubt  bool       // an earlier settlement may have happened
}

// reasonGrant is why an entry is held whose Grant does not verify.
const reasonGrant = "grant does not verify"

// Claim takes the entry for one attempt by owner, which ends with Settle,
// Postpone, HoldClaimed, or ttl after now, which is by Options.Passed. The attempt and the next try are
// recorded before Claim returns, lazily: a crash may repeat them.
//
// Errors: ErrClaimed, ErrHeld, ErrNotFound, ErrFull (too many claims),
// ErrDamaged (the entry is in quarantine now), ErrNoGrant (the stored Grant does
// not verify, is another account's than the entry's, or does not cover what is
// pending; the entry is held now), or those of the store.
func (s *Spool) Claim(ctx context.Context, id mail.ID, owner string, ttl time.Duration, now time.Time) (Claim, error) {
	c, err := s.begin(id, owner, now.Add(ttl), now)
	if err != nil {
		return Claim{}, err
	}
	body, err := s.attempt(ctx, c, now)
	if err == nil {
		err = s.confirm(c)
	}
	if err != nil {
		s.drop(c)
		s.notFound(ctx, id, err)
		return Claim{}, err
	}
	return Claim{Token: c.token, Entry: *c.entry, Grant: c.grant, Body: body, Expires: c.expires}, nil
}

// begin registers a claim, so that nobody else begins one.
func (s *Spool) begin(id mail.ID, owner string, expires, now time.Time) (*claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubts[id] != nil {
		return nil, ErrNotFound
	}
	if c := s.claims[id]; c != nil && c.expires.After(now) {
		return nil, ErrClaimed
	}
	delete(s.claims, id)
	if s.fullOfClaims() {
		return nil, fmt.Errorf("%w: %d deliveries under way", ErrFull, len(s.claims))
	}
	c := &claim{token: s.nextToken(id), owner: owner, expires: expires}
	s.claims[id] = c
	return c, nil
}

// fullOfClaims reports whether no further claim may begin, after it has swept out
// the expired ones.
func (s *Spool) fullOfClaims() bool {
	if len(s.claims) < s.limits.Load().Claims {
		return false
	}
	now := s.passed()
	for id, c := range s.claims {
		if !c.expires.After(now) {
			delete(s.claims, id)
		}
	}
	return len(s.claims) >= s.limits.Load().Claims
}

// drop ends a claim, unless a later one has taken its place.
func (s *Spool) drop(c *claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[c.token.ID] == c {
		delete(s.claims, c.token.ID)
	}
}

// confirm refuses a claim on an account that was held while the claim was made, and notes which mailboxes
// the message may arrive in.
func (s *Spool) confirm(c *claim) error {
	sum := summarise(c.entry)
	s.mu.Lock()
	c.waits = sum
	s.mu.Unlock()
	if _, held := s.AccountHeld(c.entry.Account); held {
		return fmt.Errorf("%w: the queue of %s", ErrHeld, c.entry.Account)
	}
	return nil
}

// attempt reads and judges the entry, and records the attempt.
func (s *Spool) attempt(ctx context.Context, c *claim, now time.Time) (body []byte, err error) {
	for range casTries {
		e, record, err := s.read(ctx, c.token.ID)
		if err != nil {
			return nil, err
		}
		if c.grant, err = s.mayLeave(ctx, e, record); err != nil {
			return nil, err
		}
		if body == nil && e.file == "" {
			if body, err = s.smallBody(ctx, e, record); err != nil {
				return nil, err
			}
		}
		next := *e
		next.Attempts++
		next.NextTry = wall(s.policy.Load().Next(e.ID, next.Attempts, now))
		next.leased = true
		c.entry, c.record = &next, appendEntry(nil, &next)
		err = s.replace(ctx, e, record, &next, c.record, nil, store.Lazy)
		if !errors.Is(err, store.ErrConflict) {
			return body, err
		}
	}
	return nil, ErrClaimed
}

// mayLeave refuses what is held, and what has no right to leave; it returns the Grant
// of what has. Whose queue may hold the message is known only once the Grant is.
func (s *Spool) mayLeave(ctx context.Context, e *Entry, record []byte) (gate.Grant, error) {
	if e.place == placeHeld {
		return gate.Grant{}, fmt.Errorf("%w: %s", ErrHeld, e.Held)
	}
	g, ok := s.granted(e)
	if !ok {
		s.log.Error("stored grant does not verify: message held", "queue", e.ID.String())
		if err := s.holdOne(ctx, e, record, reasonGrant, nil); err != nil {
			return gate.Grant{}, err
		}
		return gate.Grant{}, fmt.Errorf("%w: %s", ErrNoGrant, reasonGrant)
	}
	if reason, held := s.AccountHeld(e.Account); held {
		if err := s.park(ctx, e, record); err != nil {
			return gate.Grant{}, err
		}
		return gate.Grant{}, fmt.Errorf("%w: the queue of %s: %s", ErrHeld, e.Account, reason)
	}
	return g, nil
}

// granted returns the stored Grant, which is zero where nothing was to leave. ok means
// that it verifies, is of the account that the entry names, and covers every pending
// outbound delivery. Nothing else lets a stored message out.
func (s *Spool) granted(e *Entry) (g gate.Grant, ok bool) {
	if len(e.grant) > 0 {
		var err error
		if g, err = gate.Restore(s.key, e.grant); err != nil || g.Answers() != e.Account {
			return gate.Grant{}, false
		}
	}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		if r.State == StatePending && r.Kind != KindLocal && !g.Covers(e.ID, e.Envelope.From, r.Recipient.Address) {
			return gate.Grant{}, false
		}
	}
	return g, true
}

// open reads the record of an entry. Where it names no account, who answers for the
// message is the account of its Grant: that alone is sealed, the record has a checksum.
func (s *Spool) open(id mail.ID, record []byte) (*Entry, error) {
	e, err := decodeEntry(id, record)
	if err != nil || !e.Account.IsZero() || len(e.grant) == 0 {
		return e, err
	}
	if g, err := gate.Restore(s.key, e.grant); err == nil {
		e.Account = g.Answers()
	}
	return e, nil // a Grant that does not verify lets nothing out
}

// smallBody reads a body that stands beside its entry, and verifies it.
func (s *Spool) smallBody(ctx context.Context, e *Entry, record []byte) ([]byte, error) {
	body, err := s.st.Get(ctx, bodyKey(e.ID))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if sum := sha256.Sum256(body); err != nil || int64(len(body)) != e.Size || !bytes.Equal(sum[:], e.SHA256[:]) {
		err := fmt.Errorf("%w: entry %s: the body does not match its hash", ErrDamaged, e.ID)
		s.quarantine(ctx, e.ID, record, indexKey(e), err)
		return nil, err
	}
	return body, nil
}

// read returns an entry with its record. A damaged one goes into quarantine.
func (s *Spool) read(ctx context.Context, id mail.ID) (*Entry, []byte, error) {
	record, err := s.st.Get(ctx, entryKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, ErrNotFound
	}
	if err != nil {
		return nil, nil, err
	}
	e, err := s.open(id, record)
	if err != nil {
		s.quarantine(ctx, id, record, nil, err)
		return nil, nil, err
	}
	return e, record, nil
}

// replace writes next in the place of e, if the store still holds e's record.
func (s *Spool) replace(ctx context.Context, e *Entry, record []byte, next *Entry, nextRecord []byte, facts [][]byte, d store.Durability) error {
	err := s.apply(ctx, store.Tx{
		Preconditions: []store.Precondition{{Key: entryKey(e.ID), Value: record}},
		Mutations:     replacement(e, next, nextRecord),
		Facts:         facts,
	}, d, next)
	if committed(err) {
		s.recount(e, next)
	}
	return err
}

// committed reports whether a transaction happened, or will as soon as the store
// recovers: the counts follow both, also when the caller is told of an error.
func committed(err error) bool { return err == nil || errors.Is(err, store.ErrInDoubt) }

// replacement moves an entry from one state to the next.
func replacement(e, next *Entry, nextRecord []byte) []store.Mutation {
	return []store.Mutation{
		{Key: indexKey(e), Delete: true},
		{Key: indexKey(next), Value: summarise(next).encode()},
		{Key: entryKey(next.ID), Value: nextRecord},
	}
}

// recount replaces e by next in the counts; a nil next was removed.
func (s *Spool) recount(e, next *Entry) {
	from, to := summarise(e), summary{}
	if next != nil {
		to = summarise(next)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.add(e, -1)
	if next != nil {
		s.counts.add(next, 1)
	}
	s.waits.change(e.ID, from, to)
}
