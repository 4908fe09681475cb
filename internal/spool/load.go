package spool

import (
	"bytes"
	"context"
	"sync"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// loadIndexes counts the queue, makes due what was under way when the last
// process ended, and what stands parked for an account that is not held.
func (s *Spool) loadIndexes(ctx context.Context, r *Report) error {
	under := interrupted{most: s.limits.Load().Claims}
	for _, space := range []store.Space{spaceDue, spaceHeld, spaceParked} {
		if err := s.loadIndex(ctx, space, &under); err != nil {
			return err
		}
	}
	s.waits.loaded()
	if err := s.resume(ctx, r, under); err != nil {
		return err
	}
	return s.unparkReleased(ctx)
}

// loadIndex counts one index. It is the one pass over everything that is queued before the
// queue is open, and the only thing of an opening that takes the longer the more is queued: every processor reads a part.
func (s *Spool) loadIndex(ctx context.Context, space store.Space, under *interrupted) error {
	var all sync.Mutex // guards what the parts are added to
	renewed := 0
	err := newSweep(s.st, s.readers, s.step, func() sweeper {
		p := &portion{s: s, ctx: ctx, at: placeOf(space.Key()), waits: amounts{}, under: interrupted{most: under.most}}
		p.done = func() {
			all.Lock()
			defer all.Unlock()
			s.counts.take(p.census, p.at)
			s.waits.mailboxes.take(p.waits)
			under.take(p.under)
			renewed += p.anew.written
		}
		return p
	}).run(ctx, spaceRange(space))
	if err == nil && renewed > 0 {
		s.log.Info("places of messages say anew what they wait for", "count", renewed)
	}
	return err
}

// portion is what a part of an index comes to. For each key it makes neither texts nor entries.
type portion struct {
	s    *Spool
	ctx  context.Context
	at   place
	done func()

	census census
	waits  amounts // by mailbox
	under  interrupted
	anew   renewal
}

func (p *portion) note(k, v []byte) error {
	sum, ok := readSummary(v)
	if p.at == placeDue && (sum.leased || !ok) {
		p.under.note(k)
	}
	if id, isID := keyID(k); isID && (!ok || sum.former) {
		// The summary can be made again from the entry; a damaged entry counts
		// with what the summary says until verification quarantines it.
		is, found, err := p.s.summaryOf(p.ctx, id)
		if err == nil && found {
			sum.octets, sum.account, sum.mailboxes = is.octets, []byte(is.account), []byte(is.mailboxes)
			err = p.anew.add(p.ctx, p.s, k, is)
		}
		if err != nil {
			return err
		}
	}
	p.census.add(sum.octets, sum.account)
	p.waits.load(sum.mailboxes, sum.octets)
	return nil
}

func (p *portion) end(ctx context.Context) error {
	if err := p.anew.write(ctx, p.s); err != nil {
		return err
	}
	p.done()
	return nil
}

// interrupted is what an opening found under way in the schedule.
type interrupted struct {
	most int // of ids: no more are under way at once, but for those whose claim expired
	ids  []mail.ID
	from []byte // the key from which the schedule is to be searched again; nil: ids are all
}

// note notes an entry that is under way. The keys may come in any order.
func (u *interrupted) note(k []byte) {
	id, ok := keyID(k)
	switch {
	case !ok:
	case len(u.ids) < u.most:
		u.ids = append(u.ids, id)
	case u.from == nil || bytes.Compare(k, u.from) < 0:
		u.from = bytes.Clone(k)
	}
}

// take adds what was found in another part. What of it lies behind from may be among ids all the same.
func (u *interrupted) take(o interrupted) {
	u.ids = append(u.ids, o.ids...)
	if o.from != nil && (u.from == nil || bytes.Compare(o.from, u.from) < 0) {
		u.from = o.from
	}
}
