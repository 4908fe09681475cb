package ledger

import (
	"context"
	"errors"
	"strings"

	"sallyport/internal/budget"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Moving plans that what an account and its forward have used counts for another address of
// the account, as a share in the act that renames it. What is under way meanwhile still counts
// for the old one.
func (l *Ledger) Moving(from, to mail.Address) store.Planner {
	return func(context.Context) (store.Share, error) {
		var s store.Share
		var all []*move
		for _, names := range l.linesOf(from, to) {
			m := l.move(names[0], names[1])
			if m == nil {
				continue
			}
			all = append(all, m)
			s.Mutations = append(s.Mutations, m.mutations...)
		}
		s.Done = func(err error) error {
			for _, m := range all {
				m.end(err)
			}
			return nil
		}
		return s, nil
	}
}

// linesOf pairs the lines of an account with those of its other address.
func (l *Ledger) linesOf(from, to mail.Address) (pairs [][2]Line) {
	begins := Forward(from, mail.Address{}).key
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.lines {
		if target, ok := strings.CutPrefix(name.key, begins); ok {
			pairs = append(pairs, [2]Line{name, {Forward(to, mail.Address{}).key + target}})
		}
	}
	return append(pairs, [2]Line{Account(from), Account(to)})
}

// move is the count of one line on its way to another.
type move struct {
	from, to     *line
	place, other int // their keys on the way to the disk
	had          budget.Count
	mutations    []store.Mutation
}

// move takes the count of a line to another, which had none or that of somebody who is gone.
// It is nil where there is no such line.
func (l *Ledger) move(from, to Line) *move {
	src := l.lock(from, false)
	if src == nil {
		return nil
	}
	m := &move{from: src}
	count := src.count
	m.place = src.write(from, budget.Count{}, &m.mutations)
	src.mu.Unlock()
	m.to = l.lock(to, true)
	m.had, m.to.count = m.to.count, count
	m.other = m.to.write(to, count, &m.mutations)
	m.to.mu.Unlock()
	return m
}

// write adds what must be written of a line, whose lock is held, and returns the key that it
// takes.
func (ln *line) write(name Line, c budget.Count, all *[]store.Mutation) (place int) {
	place = ln.free()
	ln.written = max(ln.written, place+1)
	ln.number++
	*all = append(*all, store.Mutation{Key: name.place(place), Value: encode(ln.number, c)})
	return place
}

// end tells what became of the move. While that is in doubt both lines have the count.
func (m *move) end(err error) {
	m.from.mu.Lock()
	m.from.vacate(m.place)
	if err == nil {
		m.from.count = budget.Count{}
	}
	m.from.mu.Unlock()
	m.to.mu.Lock()
	m.to.vacate(m.other)
	if err != nil && !errors.Is(err, store.ErrInDoubt) {
		m.to.count = m.had
	}
	m.to.mu.Unlock()
}
