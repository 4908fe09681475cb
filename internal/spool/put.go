package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Put stores a message with its body and the facts about it. It is durable when
// Put returns nil, and the caller then holds the claim of the first attempt,
// which is already recorded. When Put fails, the message will not be delivered.
// Put ends the body in either case.
//
// A message with a Hold is stored held, and in a paused Spool every other one is stored as due: there
// is no attempt to record, and the claim is the zero Claim. So is that of a message whose account was held
// while it was committed.
//
// Errors: ErrNoGrant for an outbound delivery that m.Grant does not cover, and for a
// Grant of another account than m.Account; ErrHeld for an account whose queue is held, ErrFull and ErrUnavailable for what
// passes by itself, ErrTooLarge and ErrInvalid for what does not.
func (s *Spool) Put(ctx context.Context, m Message, body *Body, facts [][]byte) (Claim, error) {
	if body == nil {
		return Claim{}, fmt.Errorf("%w: no body", ErrInvalid)
	}
	now, passed := s.now(), s.passed()
	e, err := s.newEntry(m, body, now)
	if err != nil {
		_ = body.Abort()
		return Claim{}, err
	}
	claimed := m.Hold == "" && !s.paused
	if m.Hold != "" {
		hold(e, m.Hold, now)
	}
	if claimed {
		e.Attempts, e.leased, e.NextTry = 1, true, wall(s.policy.Load().Next(m.ID, 1, passed))
	}
	c, isNew, err := s.reserve(e, passed)
	if err != nil {
		_ = body.Abort()
		return Claim{}, err
	}
	record, err := s.insert(ctx, e, isNew, body, facts, m.Also)
	if err != nil {
		s.drop(c)
		s.putFailed(e, body, err)
		return Claim{}, err
	}
	body.taken = true
	sum := summarise(e)
	if _, held := s.AccountHeld(m.Account); held || !claimed { // held while this was committed: set aside when its turn comes
		s.drop(c)
		s.mu.Lock()
		s.fresh.entered(e.ID)
		s.waits.enter(sum)
		s.mu.Unlock()
		return Claim{}, nil
	}
	return s.claimNew(c, e, sum, m.Grant, record, body.inline()), nil
}

// newEntry judges m and returns its entry, due at once and not attempted yet.
func (s *Spool) newEntry(m Message, body *Body, now time.Time) (*Entry, error) {
	if err := s.judge(m); err != nil {
		return nil, err
	}
	if err := body.finish(); err != nil {
		return nil, err
	}
	passed := wall(s.passed())
	e := &Entry{
		ID: m.ID, Envelope: m.Envelope, Account: m.Account, MessageID: cut(m.MessageID, maxReplyText),
		Prefix: m.Prefix, Received: wall(now), Since: passed, Size: body.size, SHA256: body.sum, NextTry: passed,
		Junk: m.Junk, Forward: m.Forward,
		grant: m.Grant.Seal(s.key), file: body.name, place: placeDue,
	}
	for _, d := range m.Deliveries {
		e.Recipients = append(e.Recipients, RecipientState{Delivery: d, State: StatePending})
	}
	return e, nil
}

// judge refuses a message that must not enter.
func (s *Spool) judge(m Message) error {
	switch {
	case m.Forward > ForwardKept || m.Forward != ForwardNone && m.Account.IsZero():
		return fmt.Errorf("%w: a forward that no account answers for", ErrInvalid)
	case !m.Grant.IsZero() && m.Grant.Answers() != m.Account:
		return fmt.Errorf("%w: the grant is of %s, the message of another account", ErrNoGrant, m.Grant.Account())
	case m.ID.IsZero() || m.Envelope.From.IsZero() || len(m.Deliveries) == 0:
		return fmt.Errorf("%w: a message needs an id, a reverse-path and a delivery", ErrInvalid)
	case len(m.Deliveries) > s.limits.Load().Recipients || len(m.Envelope.To) > s.limits.Load().Recipients:
		return fmt.Errorf("%w: more than %d deliveries", ErrTooLarge, s.limits.Load().Recipients)
	case len(m.Prefix) > s.limits.Load().PrefixOctets:
		return fmt.Errorf("%w: a prefix of %d octets", ErrTooLarge, len(m.Prefix))
	}
	for _, d := range m.Deliveries {
		if err := judgeDelivery(m, d); err != nil {
			return err
		}
	}
	return nil
}

// judgeDelivery is the lock on the way out: a delivery to another host enters
// with a Grant that covers exactly this message, sender and recipient, and a
// delivery of unknown kind enters never.
func judgeDelivery(m Message, d Delivery) error {
	switch {
	case d.Recipient.Address.IsZero():
		return fmt.Errorf("%w: a delivery to nobody", ErrInvalid)
	case d.Kind == KindLocal && d.Mailbox.IsZero():
		return fmt.Errorf("%w: a local delivery without a mailbox", ErrInvalid)
	case d.Kind == KindLocal:
		return nil
	case d.Kind != KindOutbound:
		return fmt.Errorf("%w: a delivery of unknown kind", ErrInvalid)
	case !m.Grant.Covers(m.ID, m.Envelope.From, d.Recipient.Address):
		return fmt.Errorf("%w: %s", ErrNoGrant, d.Recipient.Address)
	}
	return nil
}

// reserve counts e in, unless a limit or a hold speaks against it, and registers the claim of its first attempt: between
// the commit and the return of Put, nobody else whose command makes the message due gets one. isNew: the store has no
// entry of this ID.
func (s *Spool) reserve(e *Entry, passed time.Time) (c *claim, isNew bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[e.ID] != nil || s.doubts[e.ID] != nil || s.fresh.ids[e.ID] {
		return nil, false, fmt.Errorf("%w: id %s is in use", ErrInvalid, e.ID)
	}
	if err := s.refusal(outline(e)); err != nil {
		return nil, false, err
	}
	if s.fullOfClaims() {
		return nil, false, fmt.Errorf("%w: %d deliveries under way", ErrFull, len(s.claims))
	}
	s.counts.add(e, 1)
	c = &claim{token: s.nextToken(e.ID), expires: passed.Add(s.limits.Load().ClaimTime)}
	s.claims[e.ID] = c
	return c, s.fresh.enters(e.ID), nil
}

// refusal returns why a limit or a hold keeps a message out; nil for nothing. The
// caller holds mu.
func (s *Spool) refusal(sum summary) error {
	c := &s.counts
	_, held := s.accounts[sum.account]
	switch {
	case held && sum.account != "":
		return fmt.Errorf("%w: the queue of %s", ErrHeld, sum.account)
	case c.entries >= s.limits.Load().Entries:
		return fmt.Errorf("%w: %d messages", ErrFull, c.entries)
	case c.octets+sum.octets > s.limits.Load().Octets:
		return fmt.Errorf("%w: %d octets", ErrFull, c.octets)
	case sum.account != "" && c.accounts[sum.account] >= s.limits.Load().EntriesPerAccount:
		return fmt.Errorf("%w: %d messages of %s", ErrFull, c.accounts[sum.account], sum.account)
	}
	return nil
}

// insert makes e durable: first a large body, then entry, index, small body and
// facts in one act.
func (s *Spool) insert(ctx context.Context, e *Entry, isNew bool, body *Body, facts [][]byte, also []store.Mutation) ([]byte, error) {
	record, mutations, err := s.insertion(e, body)
	if err != nil {
		return nil, err
	}
	err = s.apply(ctx, store.Tx{
		Preconditions: unused(e.ID, isNew),
		Mutations:     append(mutations, also...),
		Facts:         facts,
		Bulk:          true,
	}, store.Durable, e)
	if errors.Is(err, store.ErrConflict) {
		err = fmt.Errorf("%w: id %s is in use", ErrInvalid, e.ID)
	}
	return record, err
}

// insertion commits the file of a large body and returns what else to write.
func (s *Spool) insertion(e *Entry, body *Body) (record []byte, ms []store.Mutation, err error) {
	if err := body.commit(); err != nil {
		return nil, nil, err
	}
	record = appendEntry(nil, e)
	if len(record) > maxRecordOctets {
		return nil, nil, fmt.Errorf("%w: a record of %d octets", ErrTooLarge, len(record))
	}
	ms = []store.Mutation{
		{Key: entryKey(e.ID), Value: record},
		{Key: indexKey(e), Value: summarise(e).encode()},
	}
	if e.file == "" {
		return record, append(ms, store.Mutation{Key: bodyKey(e.ID), Value: body.buf}), nil
	}
	return record, append(ms, store.Mutation{Key: fileKey(e.file), Value: e.ID.Bytes()}), nil
}

// putFailed undoes a Put. What may have happened in spite of the error is kept in
// mind, so that it is neither delivered nor kept: the client was told to come
// again.
func (s *Spool) putFailed(e *Entry, body *Body, err error) {
	if errors.Is(err, store.ErrInDoubt) {
		body.taken = true
		sum := summarise(e)
		s.mu.Lock()
		s.fresh.entered(e.ID)
		s.waits.enter(sum)
		s.doubts[e.ID] = e
		s.mu.Unlock()
		s.signal() // who asks for what is due may sleep for long, and settles this
		s.log.Warn("message in doubt", "queue", e.ID.String(), "err", err)
		return
	}
	s.mu.Lock()
	s.fresh.entered(e.ID)
	s.counts.add(e, -1)
	s.mu.Unlock()
	body.discard(s.log)
}

// settleDoubts removes what failed Puts may have left. It does nothing as long as
// the store does not answer.
func (s *Spool) settleDoubts(ctx context.Context) {
	s.mu.Lock()
	var doubts []*Entry
	for _, e := range s.doubts {
		doubts = append(doubts, e)
	}
	s.mu.Unlock()
	for _, e := range doubts {
		if _, err := s.st.Apply(ctx, store.Tx{Mutations: removal(e)}, store.Durable); err != nil {
			return
		}
		s.removeFile(e)
		s.mu.Lock()
		if s.doubts[e.ID] != nil {
			delete(s.doubts, e.ID)
			s.counts.add(e, -1)
			s.waits.change(e.ID, summarise(e), summary{})
		}
		s.mu.Unlock()
		s.log.Info("message in doubt removed", "queue", e.ID.String())
	}
}

// removal is what takes e out of the queue.
func removal(e *Entry) []store.Mutation {
	ms := []store.Mutation{{Key: entryKey(e.ID), Delete: true}, {Key: indexKey(e), Delete: true}}
	if e.file == "" {
		return append(ms, store.Mutation{Key: bodyKey(e.ID), Delete: true})
	}
	return append(ms, store.Mutation{Key: fileKey(e.file), Delete: true})
}

// removeFile removes the blob of an entry whose removal is durable. What fails
// here is an orphan, which the next Open removes.
func (s *Spool) removeFile(e *Entry) {
	if e.file == "" {
		return
	}
	if err := s.st.Blobs().Remove(e.file); err != nil {
		s.log.Warn("body not removed", "queue", e.ID.String(), "blob", e.file, "err", err)
	}
}

// claimNew gives away the claim of a message's first attempt. From now on the message waits: until then whoever brings it
// has what it takes of a mailbox.
func (s *Spool) claimNew(c *claim, e *Entry, sum summary, g gate.Grant, record, body []byte) Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry, c.record, c.waits = e, record, sum
	s.fresh.entered(e.ID)
	s.waits.enter(sum)
	return Claim{Token: c.token, Entry: *e, Grant: g, Body: body, Expires: c.expires}
}

func (s *Spool) nextToken(id mail.ID) Token {
	s.fence++
	return Token{ID: id, Fence: s.fence}
}
