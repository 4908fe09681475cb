package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// prefix begins every key of ours.
const prefix = string(store.SpaceBudget)

const (
	// alarmEvery is how long one line is refused without another alarm.
	alarmEvery = time.Hour
	// sweepEvery is how often lines are dropped of which nothing counts any more.
	sweepEvery = time.Hour
)

// Line names what has a budget of its own. The zero Line is none.
type Line struct{ key string }

// Account is the line of what an account itself submits. It follows the account, not
// any name that was typed for it.
func Account(a mail.Address) Line { return Line{"account/" + a.Key()} }

// Forward is the line of what an account's forward sends to one target.
func Forward(account, target mail.Address) Line {
	// No key of an address holds a blank outside quotes; a quote ends it.
	return Line{"forward/" + account.Key() + " " + target.Key()}
}

// Options of a Ledger; all but Passed are needed.
type Options struct {
	Now func() time.Time
	// Passed is the time by which counts grow old, whatever the clock was set to; nil: Now.
	Passed func() time.Time
	Logger *slog.Logger
}

// Ledger holds the counts. All methods may be called concurrently.
type Ledger struct {
	st store.Store
	o  Options

	mu    sync.Mutex
	lines map[Line]*line
	swept time.Time
}

// line is one line's state, under its own lock.
type line struct {
	mu       sync.Mutex
	count    budget.Count
	underWay int       // taken, and neither counted nor given up
	number   uint64    // of what was last written, or is on its way
	places   []bool    // which of its keys are on their way to the disk
	written  int       // keys that were written since they were tidied
	refused  time.Time // last; zero: never
	alarmed  time.Time
	dropped  bool // it was swept out: look it up again
}

// Open reads the counts. One that cannot be read stands for a line that has used up all.
func Open(ctx context.Context, st store.Store, o Options) (*Ledger, error) {
	if o.Passed == nil {
		o.Passed = o.Now
	}
	l := &Ledger{st: st, o: o, lines: map[Line]*line{}, swept: o.Now()}
	var stale []store.Mutation
	at := map[Line][]byte{} // the key that counts
	err := st.Scan(ctx, store.Prefix([]byte(prefix)), func(k, v []byte) (bool, error) {
		k = append([]byte(nil), k...)
		name, ok := lineOf(k)
		if !ok {
			return true, nil
		}
		number, count, err := decode(v)
		if err != nil {
			o.Logger.Error("a count of recipients cannot be read; it counts as used up for a day",
				"key", mail.Printable(string(k), mail.ReplyShown), "err", err)
			number, count = math.MaxUint64>>1, budget.Count{}.Add(o.Passed(), math.MaxUint32)
		}
		ln := l.lines[name]
		switch {
		case ln == nil:
			l.lines[name], at[name] = &line{count: count, number: number}, k
		case number > ln.number:
			stale = append(stale, store.Mutation{Key: at[name], Delete: true})
			ln.count, ln.number, at[name] = count, number, k
		default:
			stale = append(stale, store.Mutation{Key: k, Delete: true})
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: reading the counts: %w", err)
	}
	return l, l.tidy(ctx, at, stale)
}

// tidy moves each count to its first key, before the others are removed in the same
// act.
func (l *Ledger) tidy(ctx context.Context, at map[Line][]byte, stale []store.Mutation) error {
	for name, k := range at {
		first, ln := name.place(0), l.lines[name]
		if string(k) == string(first) {
			continue
		}
		stale = append(stale, store.Mutation{Key: k, Delete: true}, store.Mutation{Key: first, Value: encode(ln.number, ln.count)})
	}
	if len(stale) == 0 {
		return nil
	}
	if _, err := l.st.Apply(ctx, store.Tx{Mutations: stale}, store.Lazy); err != nil {
		// They are read again next time, and come to the same.
		l.o.Logger.Warn("counts of recipients not tidied", "err", err)
	}
	return nil
}

// Use returns what counts of a line now, what is under way with it.
func (l *Ledger) Use(name Line) budget.Use {
	ln := l.lock(name, false)
	if ln == nil {
		return budget.Use{}
	}
	defer ln.mu.Unlock()
	u := ln.count.Used(l.o.Passed())
	u.Hour += ln.underWay
	u.Day += ln.underWay
	return u
}

// Refused returns when a line was last refused something; zero: not since the start.
func (l *Ledger) Refused(name Line) time.Time {
	ln := l.lock(name, false)
	if ln == nil {
		return time.Time{}
	}
	defer ln.mu.Unlock()
	return ln.refused
}

// lock returns a line with its lock held; nil if there is none and none is to be made.
func (l *Ledger) lock(name Line, make bool) *line {
	for {
		l.mu.Lock()
		ln := l.lines[name]
		if ln == nil && make {
			ln = &line{}
			l.lines[name] = ln
		}
		l.mu.Unlock()
		if ln == nil {
			return nil
		}
		ln.mu.Lock()
		if !ln.dropped {
			return ln
		}
		ln.mu.Unlock()
	}
}

// Tend sweeps the lines until ctx ends.
func (l *Ledger) Tend(ctx context.Context) {
	for {
		l.Sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepEvery):
		}
	}
}

// Sweep drops the lines of which nothing counts any more, at most once in an hour.
func (l *Ledger) Sweep(ctx context.Context) {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := now.Sub(l.swept); d >= 0 && d < sweepEvery {
		return
	}
	l.swept = now
	var gone []store.Mutation
	for name, ln := range l.lines {
		ln.mu.Lock()
		if ln.underWay == 0 && len(ln.places) == 0 && ln.count.Idle(l.o.Passed()) && now.Sub(ln.refused) >= alarmEvery {
			ln.dropped = true
			delete(l.lines, name)
			for i := range max(ln.written, 1) {
				gone = append(gone, store.Mutation{Key: name.place(i), Delete: true})
			}
		}
		ln.mu.Unlock()
	}
	if len(gone) == 0 {
		return
	}
	// Under the lock: a line that begins again is written after this.
	if _, err := l.st.Apply(ctx, store.Tx{Mutations: gone}, store.Lazy); err != nil {
		l.o.Logger.Warn("counts of recipients not tidied", "err", err)
	}
}

// place is one of the keys of a line.
func (n Line) place(i int) []byte {
	return append([]byte(prefix+n.key), 0, byte(i>>8), byte(i))
}

// placeOctets is the length of what place puts behind a name.
const placeOctets = 3

func lineOf(k []byte) (Line, bool) {
	end := len(k) - placeOctets
	if end <= len(prefix) || k[end] != 0 {
		return Line{}, false
	}
	return Line{string(k[len(prefix):end])}, true
}

// encode writes a count with its number, by which the latest of several is known.
func encode(number uint64, c budget.Count) []byte {
	return append(binary.BigEndian.AppendUint64(nil, number), c.Encode()...)
}

func decode(v []byte) (uint64, budget.Count, error) {
	if len(v) < 8 {
		return 0, budget.Count{}, budget.ErrCount
	}
	c, err := budget.Decode(v[8:])
	return binary.BigEndian.Uint64(v), c, err
}
