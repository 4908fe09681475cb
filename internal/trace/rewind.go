package trace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/damage"
	"sallyport/internal/fact"
	"sallyport/internal/store"
)

// Lost returns what stands in the place of a fact that the disk has lost, so that the facts behind it keep their
// numbers. Its hash is not that of the fact: where the tree has that one, Verify tells the difference.
func Lost(seq uint64, at time.Time) []byte {
	told := fact.Alarm{At: at, Rule: RuleLost, Text: fmt.Sprintf("fact %d is lost: the disk has damaged the store", seq)}
	return fact.EncodeAll(told.Fact())[0]
}

// rewind goes back to the last size of which the whole tree can be read, so that what follows is made anew of the
// facts: the disk has lost a part of the tree, or where the sequencer was.
func (l *Log) rewind(ctx context.Context, why error) error {
	p := none()
	raw, err := l.st.Get(ctx, []byte(stateKey))
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	default:
		if p, err = readProgress(raw); err != nil {
			p = none() // all that is kept is filed anew
		}
	}
	p.raw = raw
	if int64(l.st.FactHead()) < p.size() {
		return why // facts are missing, and not the tree
	}
	oldest, err := l.oldestThere(ctx)
	if err != nil {
		return err
	}
	p.Oldest = max(p.Oldest, oldest)
	for size := max(p.size(), int64(p.Oldest)-1); size >= int64(p.Oldest)-1; size-- {
		t, err := loadTree(ctx, l.st, size)
		if err != nil {
			continue
		}
		if why == nil && size == 0 {
			return nil // a store that is new to the trace
		}
		l.o.Logger.ErrorContext(ctx, "a part of the trace's tree is lost and is made anew of the facts", "seq", size+1, "err", why)
		p.Next = uint64(size) + 1
		l.tree, l.stale = t, false
		l.at.Store(&p)
		if l.o.Damage != nil {
			l.o.Damage(damage.Found{Kind: damage.Trace, File: "the tree of the trace", What: fmt.Sprintf("a part of it was lost, and was made anew of the facts from %d on", p.Next)})
		}
		return nil
	}
	if why == nil {
		why = fmt.Errorf("%w: its progress is missing, and its tree before fact %d", ErrBroken, p.Oldest)
	}
	return why
}

// oldestThere returns the number of the first fact that is there; 1 if there is none.
func (l *Log) oldestThere(ctx context.Context) (uint64, error) {
	first := uint64(1)
	err := l.st.Facts(ctx, 1, l.st.FactHead()+1, func(seq uint64, _ []byte) (bool, error) {
		first = seq
		return false, nil
	})
	return first, err
}
