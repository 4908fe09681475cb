package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/damage"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/store"
)

// maxInlineOctets bounds Limits.InlineOctets: an entry, its body and its facts
// fit into one transaction.
const maxInlineOctets = 1 << 20

// casTries bounds how often a change is tried again because somebody else changed
// the same entry in between.
const casTries = 16

// Spool is the queue. All methods may be called concurrently; there is one Spool
// for a store at a time.
type Spool struct {
	st     store.Store
	key    gate.Key
	policy atomic.Pointer[sched.Policy]
	limits atomic.Pointer[Limits]
	now    func() time.Time
	passed func() time.Time
	paused bool // nobody delivers
	// An opening has so many read an index at once, and each look after so many keys whether others may share its part.
	readers, step int
	log           *slog.Logger
	damage        damage.Note
	wake          chan struct{}

	damaged atomic.Int64 // entries quarantined since Open began

	look sync.Mutex // one search of the schedule at a time
	turn sync.Mutex // one hold or release of an account by itself at a time

	mu        sync.Mutex
	claims    map[mail.ID]*claim
	fence     uint64
	counts    counts
	waits     waits
	returning returning
	accounts  map[string]string // held accounts by key, with the reason
	turns     map[string]uint64 // how often an account's hold began or ended, by key
	ended     memory
	fresh     fresh
	doubts    map[mail.ID]*Entry // Puts that failed and may have happened
	missing   map[mail.ID]bool   // scheduled, claimed, and not found
	floor     int64              // no schedule key lies before, in Unix nanoseconds
	inserted  int64              // lowest schedule key inserted since the search began
	doubtAt   int64              // lowest schedule key that a commit in doubt may insert
}

// counts are the figures behind Stats and the limits.
type counts struct {
	entries  int
	held     int
	octets   int64
	accounts map[string]int
	free     map[string]int // of accounts: those that are not held, except with the account
}

func (c *counts) add(e *Entry, sign int) {
	c.addSummary(outline(e), e.place, sign)
}

func (c *counts) addSummary(s summary, p place, sign int) {
	c.entries += sign
	c.octets += int64(sign) * s.octets
	if p == placeHeld || p == placeParked {
		c.held += sign
	}
	if s.account == "" {
		return
	}
	tally(c.accounts, s.account, sign)
	if p == placeDue {
		tally(c.free, s.account, sign)
	}
}

// census counts keys of one index.
type census struct {
	entries  int
	octets   int64
	accounts map[string]*int
}

// add counts one key; the account may change afterwards.
func (c *census) add(octets int64, account []byte) {
	c.entries++
	c.octets += octets
	if len(account) == 0 {
		return
	}
	n := c.accounts[string(account)]
	if n == nil {
		if n = new(int); c.accounts == nil {
			c.accounts = map[string]*int{}
		}
		c.accounts[string(account)] = n
	}
	*n++
}

// take adds what was counted of an index.
func (c *counts) take(found census, p place) {
	c.entries += found.entries
	c.octets += found.octets
	if p == placeHeld || p == placeParked {
		c.held += found.entries
	}
	for account, n := range found.accounts {
		tally(c.accounts, account, *n)
		if p == placeDue {
			tally(c.free, account, *n)
		}
	}
}

// tally adds to what is counted of an account, and forgets what comes to nothing.
func tally(m map[string]int, account string, n int) {
	if m[account] += n; m[account] <= 0 {
		delete(m, account)
	}
}

// withAccounts returns how many messages are held, by themselves or since their account's
// queue is: a message is set aside only when its turn comes, and counts before.
func (c *counts) withAccounts(held map[string]string) int {
	n := c.held
	for account := range held {
		n += c.free[account]
	}
	return n
}

// newSpool checks the options and returns a Spool that knows nothing yet.
func newSpool(st store.Store, o Options) (*Spool, error) {
	l, err := o.Limits.check()
	if err != nil {
		return nil, err
	}
	if err := o.Policy.Validate(); err != nil {
		return nil, err
	}
	if o.Now == nil || o.Logger == nil || o.Key == (gate.Key{}) {
		return nil, fmt.Errorf("%w: the options need a key, a clock and a logger", ErrInvalid)
	}
	s := &Spool{
		st: st, key: o.Key, now: o.Now, paused: o.Paused, log: o.Logger, damage: o.Damage,
		readers: min(runtime.GOMAXPROCS(0), mostReaders), step: sweepStep,
		wake:     make(chan struct{}, 1),
		claims:   map[mail.ID]*claim{},
		counts:   counts{accounts: map[string]int{}, free: map[string]int{}},
		waits:    newWaits(),
		accounts: map[string]string{},
		turns:    map[string]uint64{},
		ended:    memory{settled: map[Token]Settled{}, max: l.Remembered},
		doubts:   map[mail.ID]*Entry{},
		missing:  map[mail.ID]bool{},
		inserted: math.MaxInt64,
		doubtAt:  math.MaxInt64,
	}
	if s.passed = o.Passed; s.passed == nil {
		s.passed = o.Now
	}
	s.policy.Store(&o.Policy)
	s.limits.Store(&l)
	return s, nil
}

// Shown returns what the clock will show, to a second, when a time of the schedule has come, if nobody sets it until then.
func (s *Spool) Shown(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(s.now().Sub(s.passed()).Round(time.Second))
}

// Adjust replaces the schedule of tries and the limits, for what happens from now
// on; what was accepted before is kept whatever they say. Unfit ones change nothing.
func (s *Spool) Adjust(p sched.Policy, l Limits) error {
	l, err := l.check()
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		return err
	}
	s.policy.Store(&p)
	s.limits.Store(&l)
	return nil
}

// Bounds returns the schedule and the limits in force.
func (s *Spool) Bounds() (sched.Policy, Limits) { return *s.policy.Load(), *s.limits.Load() }

// check fills zero fields with their defaults and refuses what makes no sense.
func (l Limits) check() (Limits, error) {
	d := DefaultLimits()
	fill(&l.InlineOctets, d.InlineOctets)
	fill(&l.MessageOctets, d.MessageOctets)
	fill(&l.PrefixOctets, d.PrefixOctets)
	fill(&l.Recipients, d.Recipients)
	fill(&l.Entries, d.Entries)
	fill(&l.Octets, d.Octets)
	fill(&l.EntriesPerAccount, d.EntriesPerAccount)
	fill(&l.Claims, d.Claims)
	fill(&l.ClaimTime, d.ClaimTime)
	fill(&l.Remembered, d.Remembered)
	fill(&l.Batch, d.Batch)
	fill(&l.Spawned, d.Spawned)
	fill(&l.VerifyEntries, d.VerifyEntries)
	fill(&l.VerifyTime, d.VerifyTime)
	for _, n := range []int64{int64(l.InlineOctets), l.MessageOctets, int64(l.PrefixOctets), int64(l.Recipients), int64(l.Entries), l.Octets, int64(l.EntriesPerAccount), int64(l.Claims), int64(l.ClaimTime), int64(l.Remembered), int64(l.Batch), int64(l.Spawned), int64(l.VerifyEntries), int64(l.VerifyTime)} {
		if n < 0 {
			return l, fmt.Errorf("%w: a limit is negative", ErrInvalid)
		}
	}
	if l.InlineOctets > maxInlineOctets || l.PrefixOctets > maxInlineOctets {
		return l, fmt.Errorf("%w: InlineOctets and PrefixOctets are at most %d", ErrInvalid, maxInlineOctets)
	}
	return l, nil
}

func fill[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Stats returns the counts of the queue.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Entries: s.counts.entries, Held: s.counts.withAccounts(s.accounts), Octets: s.counts.octets, Claims: len(s.claims)}
}

// Watch returns a channel that receives when something may have become due
// earlier than NextDue last said. It has one owner.
func (s *Spool) Watch() <-chan struct{} { return s.wake }

func (s *Spool) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// apply commits tx, by which these entries may come to stand in the schedule. They
// are noted before, for a search that begins after the commit, and again after, for
// one that began between: it did not see them, and may have raised the floor. What
// is in doubt is noted once more after the next commit that succeeds, since the
// store keeps their order.
func (s *Spool) apply(ctx context.Context, tx store.Tx, d store.Durability, entries ...*Entry) error {
	first := int64(math.MaxInt64)
	for _, e := range entries {
		if e.place == placeDue {
			first = min(first, max(e.NextTry.UnixNano(), 0))
		}
	}
	doubtful := s.scheduled(first)
	_, err := s.st.Apply(ctx, tx, d)
	s.scheduled(first)
	switch {
	case errors.Is(err, store.ErrInDoubt):
		s.doubtSchedule(first)
	case err == nil && doubtful != math.MaxInt64:
		s.scheduled(doubtful)
		s.clearSchedule(doubtful)
	}
	return err
}

// scheduled notes that a key of this time may stand in the schedule. It keeps the
// floor below every key, so that a search need not step over the remains of all
// that was delivered before. It returns the first time that is in doubt.
func (s *Spool) scheduled(at int64) (doubtful int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = min(s.floor, at)
	s.inserted = min(s.inserted, at)
	return s.doubtAt
}

func (s *Spool) doubtSchedule(at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubtAt = min(s.doubtAt, at)
}

// clearSchedule ends a doubt, unless another one was added meanwhile.
func (s *Spool) clearSchedule(at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubtAt == at {
		s.doubtAt = math.MaxInt64
	}
}
