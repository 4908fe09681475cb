package inflow

import (
	"context"
	"errors"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
)

// Moving plans that what a mailbox took, from whom, and what its account brought to others counts
// for another address of the account, as a share in the act that renames it. What is under way
// meanwhile counts for the new one.
func (b *Budget) Moving(from, to mail.Address) store.Planner {
	return func(context.Context) (s store.Share, err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		pairs := b.pairs(from, to)
		for old, k := range pairs {
			l := b.lines[old].with(b.lines[k])
			s.Mutations = append(s.Mutations, store.Mutation{Key: old.stored(), Delete: true},
				store.Mutation{Key: k.stored(), Value: l.encode()})
		}
		s.Done = func(err error) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			for old, k := range pairs {
				b.move(old, k, err)
			}
			return nil
		}
		return s, nil
	}
}

// pairs are the keys of an account and of its mailbox, each with what it is by another address; the
// lock is held.
func (b *Budget) pairs(from, to mail.Address) map[key]key {
	all := map[key]key{}
	for k := range b.lines {
		next := k
		switch k.of {
		case kindMailbox:
			if k.name == from.Key() {
				next.name = to.Key()
			}
		case kindShare:
			who, mailbox := "", k.name
			if rest, its := strings.CutPrefix(mailbox, Account(from).String()+" "); its {
				who, mailbox = Account(to).String()+" ", rest
			}
			if mailbox == from.Key() {
				mailbox = to.Key()
			} else if others, its := strings.CutSuffix(mailbox, " "+from.Key()); its {
				mailbox = others + " " + to.Key()
			}
			next.name = who + mailbox
		}
		if next != k {
			all[k] = next
		}
	}
	return all
}

// move carries it out. While it is in doubt both lines count; the lock is held.
func (b *Budget) move(old, k key, err error) {
	l := b.lines[old]
	if l == nil || err != nil && !errors.Is(err, store.ErrInDoubt) {
		return
	}
	l.written = true
	next := l
	if other := b.lines[k]; other != nil || err != nil {
		with := l.with(other)
		if other == nil {
			other = &line{}
		}
		other.messages, other.octets, other.further, other.written = with.messages, with.octets, with.further, true
		next = other
	}
	if b.lines[k] == nil {
		b.many[k.of]++
	}
	b.lines[k] = next
	if err == nil {
		delete(b.lines, old)
		b.many[old.of]--
	}
}

// with is a line that remembers what both do; the other may be nil.
func (l *line) with(other *line) line {
	if other == nil {
		return line{messages: l.messages, octets: l.octets, further: l.further}
	}
	later := func(x, y screen.Bucket) screen.Bucket {
		if x.Before(y) {
			return y
		}
		return x
	}
	return line{
		messages: later(l.messages, other.messages), octets: later(l.octets, other.octets),
		further: later(l.further, other.further),
	}
}
