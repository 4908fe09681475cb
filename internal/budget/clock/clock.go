// Package clock measures the time that passes for budgets, the queue and whatever else ages,
// whatever the wall clock is set to. It promises that
//
//   - while the machine runs, no more and no less time passes than did, also over restarts of the
//     program and while the machine sleeps: a clock that is set ahead gives nothing anew, and one
//     that is set back takes nothing for longer;
//   - over a restart of the machine as much time passes as the clock says between the last note and
//     the start, a day at most, and none where it was set back: a day without the server counts as
//     a day, and a clock that comes up years ahead makes nothing in the queue old;
//   - time never goes back.
//
// What it tells is a time as the clock would show it had nobody set it since the first start. It is
// for what grows old, not for people. Of a moment that was written down as the clock showed it, it
// tells how long ago that is, since it knows by how much the clock was set, and when.
package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/store"
)

// Reading is what a machine says about time at one moment.
type Reading struct {
	Boot  string        // which start of the machine Since counts from; "": that is not known
	Since time.Duration // the time since then, with that of sleep
	Wall  time.Time     // what the clock shows
}

// Options of a Clock; all are needed.
type Options struct {
	// Read reads the machine's clocks. A Reading without a Boot makes time pass as the clock shows.
	Read   func() Reading
	Logger *slog.Logger
}

// Clock tells the time that passes. All methods may be called concurrently.
type Clock struct {
	st store.Store
	o  Options

	mu    sync.Mutex
	base  mark      // what was known last
	last  time.Time // that was told last
	spans []span    // what the clock was set to, the latest last
	news  bool      // they are not stored so
}

// mark is a moment: what the machine said then, and the time that it was.
type mark struct {
	read Reading
	told time.Time
}

// at returns the time that a reading is, by what was known at the mark.
func (m mark) at(r Reading) time.Time {
	passed := min(r.Wall.Sub(m.read.Wall), OffMost+r.Since)
	if r.Boot == m.read.Boot && r.Since >= m.read.Since {
		passed = r.Since - m.read.Since
	}
	return m.told.Add(max(passed, 0))
}

// OffMost is how much time passes at most while the machine is off. Budgets are new after as much, and what
// waits in the queue longer than that is tried for as long as it had left.
const OffMost = 24 * time.Hour

// keepEvery is how often is noted what time it is.
const keepEvery = time.Minute

// sets is from which difference on somebody has set the clock.
const sets = time.Minute

// Open reads what time it was, and begins with what the clock shows where nobody knows.
func Open(ctx context.Context, st store.Store, o Options) (*Clock, error) {
	c := &Clock{st: st, o: o}
	r := o.read()
	if r.Boot == "" {
		return c, nil
	}
	v, err := st.Get(ctx, key())
	switch {
	case errors.Is(err, store.ErrNotFound):
		c.base = mark{r, r.Wall}
		return c, c.Keep(ctx)
	case err != nil:
		return nil, fmt.Errorf("clock: reading what time it was: %w", err)
	}
	if err := c.openSpans(ctx); err != nil {
		return nil, err
	}
	before, err := decode(v)
	if err != nil {
		o.Logger.Error("what time it was does not read; budgets go by the clock from now on", "err", err)
		before = mark{r, r.Wall}
	}
	told := before.at(r)
	if off := r.Wall.Sub(told) - before.read.Wall.Sub(before.told); off.Abs() >= sets {
		o.Logger.Warn("the clock was set, or this machine was off for long; budgets and the queue go on by the time that passed",
			"by", off.Round(time.Second))
	}
	if len(c.spans) == 0 && err == nil {
		c.spans = []span{{ahead: before.read.Wall.Sub(before.told)}}
	}
	c.base = mark{r, told}
	return c, c.Keep(ctx)
}

// openSpans reads what the clock was set to. Where that does not read, everything counts as written
// by the clock as it is now.
func (c *Clock) openSpans(ctx context.Context) error {
	v, err := c.st.Get(ctx, spansKey())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("clock: reading what the clock was set to: %w", err)
	}
	if c.spans, err = decodeSpans(v); err != nil {
		c.o.Logger.Error("what the clock was set to before does not read; what was written then may be taken for younger than it is",
			"err", err)
	}
	return nil
}

// read reads without what Go's times remember beside what they show.
func (o Options) read() Reading {
	r := o.Read()
	if r.Boot != "" {
		r.Wall = r.Wall.Round(0).UTC()
	}
	return r
}

// Now is what time it is for what grows old.
func (c *Clock) Now() time.Time {
	_, told := c.now()
	return told
}

func (c *Clock) now() (Reading, time.Time) {
	r := c.o.read()
	if r.Boot == "" {
		return r, r.Wall
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.base.at(r); t.After(c.last) {
		c.last = t
	}
	c.follow(r.Wall.Sub(c.last))
	return r, c.last
}

// Keep notes what time it is.
func (c *Clock) Keep(ctx context.Context) error {
	r, told := c.now()
	if r.Boot == "" {
		return nil
	}
	m := mark{r, told}
	tx := store.Tx{Mutations: []store.Mutation{{Key: key(), Value: m.encode()}}}
	c.mu.Lock()
	news := c.news
	if news {
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: spansKey(), Value: encodeSpans(c.spans)})
	}
	c.news = false
	c.mu.Unlock()
	_, err := c.st.Apply(ctx, tx, store.Lazy)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.news = c.news || news
		return fmt.Errorf("clock: noting what time it is: %w", err)
	}
	c.base = m
	return nil
}

// Tend notes what time it is until ctx ends, and then once more.
func (c *Clock) Tend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
		case <-time.After(keepEvery):
		}
		if err := c.Keep(context.WithoutCancel(ctx)); err != nil {
			c.o.Logger.Warn("what time it is was not noted", "err", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func key() []byte { return store.SpaceClock.Key([]byte("passed")) }

// markVersion is the first octet of a stored mark; no other is read.
const markVersion = 1

var errMark = errors.New("clock: not a moment")

func (m mark) encode() []byte {
	b := codec.AppendText([]byte{markVersion}, m.read.Boot)
	b = binary.AppendUvarint(b, uint64(max(m.read.Since, 0)))
	return codec.AppendTime(codec.AppendTime(b, m.read.Wall), m.told)
}

func decode(v []byte) (m mark, err error) {
	r := codec.NewReader(v)
	r.Require(r.Octet() == markVersion)
	m.read.Boot = r.Text()
	m.read.Since = time.Duration(r.Number(math.MaxInt64))
	m.read.Wall, m.told = r.Time(), r.Time()
	r.Require(!m.told.IsZero() && !m.read.Wall.IsZero())
	if !r.Done() {
		return mark{}, errMark
	}
	return m, nil
}
