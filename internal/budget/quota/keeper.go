package quota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Options is what a Keeper needs.
type Options struct {
	// Count looks at a mailbox, and returns what it holds.
	Count func(ctx context.Context, account mail.Address) (Usage, error)
	// Waiting returns what was accepted for an account's mailbox, and for all mailboxes of its
	// domain, and is not there yet; nil: nothing is. It is asked with the Keeper locked, and asks
	// nothing of it.
	Waiting func(account mail.Address) (its, domain Usage)
	// Accounts returns those that may have a mailbox.
	Accounts func(ctx context.Context) ([]mail.Address, error)
	Limits   Limits
	Now      func() time.Time
	// Age is how much time has passed since the clock showed a moment, whatever it was set to; nil: by Now.
	Age    func(time.Time) time.Duration
	Logger *slog.Logger
}

// Keeper keeps what mailboxes hold. It is safe for concurrent use.
type Keeper struct {
	o      Options
	st     store.Store
	policy atomic.Pointer[Policy]
	looks  chan struct{} // holds a token for each look that is under way
	wake   chan struct{}
	ctx    context.Context // of looks; ended by Close
	close  context.CancelFunc
	under  sync.WaitGroup // looks

	mu      sync.Mutex
	lines   map[string]*line // of accounts, by key
	domains map[string]*line // by name
	due     map[*line]bool   // who may have to be told
}

// line is what is known of a mailbox, or of a domain.
type line struct {
	account mail.Address // zero: it is a domain's
	domain  mail.Domain
	of      *line // the domain's; nil: it is one
	used    Usage
	way     Usage     // taken by who adds
	counted time.Time // when a look began; zero: not since the start
	stale   bool      // messages went since
	since   Usage     // came since the look that is under way began
	looking chan struct{}
	told    told
	written told // as it stands in the store
}

// Open reads what was kept. What does not read is looked for anew.
func Open(ctx context.Context, st store.Store, o Options) (*Keeper, error) {
	if o.Age == nil {
		o.Age = func(t time.Time) time.Duration { return o.Now().Sub(t) }
	}
	if o.Waiting == nil {
		o.Waiting = func(mail.Address) (its, domain Usage) { return Usage{}, Usage{} }
	}
	looking, end := context.WithCancel(context.WithoutCancel(ctx))
	k := &Keeper{
		ctx: looking, close: end,
		o: o, st: st, looks: make(chan struct{}, o.Limits.Looks), wake: make(chan struct{}, 1),
		lines: map[string]*line{}, domains: map[string]*line{}, due: map[*line]bool{},
	}
	return k, k.load(ctx)
}

// Close ends the looks that are under way. Nobody asks any more.
func (k *Keeper) Close() {
	k.close()
	k.under.Wait()
}

// Adjust puts another policy in force.
func (k *Keeper) Adjust(p Policy) { k.policy.Store(&p) }

// Policy returns the one in force; the zero Policy while there is none.
func (k *Keeper) Policy() Policy {
	if p := k.policy.Load(); p != nil {
		return *p
	}
	return Policy{}
}

// quotas returns what bounds a mailbox; ok is false while there is no policy.
func (k *Keeper) quotas(account mail.Address) (mailbox, domain Quota, p *Policy, ok bool) {
	if p = k.policy.Load(); p == nil || p.Of == nil {
		return Quota{}, Quota{}, p, false
	}
	mailbox, domain = p.Of(account)
	return mailbox, domain, p, true
}

// line returns the line of an account, made if there is none; the lock is held.
func (k *Keeper) line(account mail.Address) *line {
	if l := k.lines[account.Key()]; l != nil {
		return l
	}
	for key, l := range k.lines {
		if len(k.lines) < k.o.Limits.Lines {
			break
		}
		if l.way == (Usage{}) && l.told == (told{Used: l.told.Used}) && l.looking == nil {
			l.of.used = l.of.used.minus(l.used)
			delete(k.lines, key)
		}
	}
	l := &line{account: account, domain: account.Domain(), of: k.domain(account.Domain())}
	k.lines[account.Key()] = l
	return l
}

func (k *Keeper) domain(d mail.Domain) *line {
	l := k.domains[d.ASCII()]
	if l == nil {
		l = &line{domain: d}
		k.domains[d.ASCII()] = l
	}
	return l
}

// set notes what a mailbox holds; the lock is held.
func (k *Keeper) set(l *line, u Usage) {
	l.of.used = l.of.used.minus(l.used).plus(u)
	l.used, l.told.Used = u, u
	l.of.told.Used = l.of.used
	k.look(l)
	k.look(l.of)
}

// Hold is room that is taken. The zero Hold takes none.
type Hold struct {
	k        *Keeper
	line     *line
	taken    Usage
	declared int64 // octets that there was room for when it began
	ended    bool
}

// Take implements inflow.Room: one message, of at least so many octets. They are taken as they come,
// so that whoever declares much and sends nothing keeps nobody out.
func (k *Keeper) Take(ctx context.Context, account mail.Address, octets int64) (inflow.Held, inflow.Verdict) {
	h, v := k.take(ctx, account, Usage{max(octets, 1), 1}, Usage{1, 1})
	h.declared = octets
	return h, v
}

// Add takes room for messages whose octets are known, until the Hold ends.
func (k *Keeper) Add(ctx context.Context, account mail.Address, u Usage) (*Hold, inflow.Verdict) {
	return k.take(ctx, account, u, u)
}

// take asks for room, and takes as much of it as is needed at once.
func (k *Keeper) take(ctx context.Context, account mail.Address, want, at Usage) (*Hold, inflow.Verdict) {
	mailbox, domain, _, ok := k.quotas(account)
	if ok && !mailbox.Bounds() && !domain.Bounds() {
		return &Hold{}, inflow.Verdict{OK: true}
	}
	unknown := inflow.Verdict{Rule: inflow.RuleUncounted, About: aboutMailbox, Found: aboutMailbox + ": it is not known how full it is"}
	if !ok {
		return &Hold{}, unknown
	}
	for _, age := range []time.Duration{k.o.Limits.Fresh, k.o.Limits.Again} {
		l, err := k.known(ctx, account, age, age == k.o.Limits.Again)
		if err != nil {
			unknown.Found += ": " + err.Error()
			return &Hold{}, unknown
		}
		h, v := k.reserve(l, want, at, mailbox, domain)
		if v.OK || age == k.o.Limits.Again {
			k.refused(l, v)
			return h, v
		}
	}
	return &Hold{}, unknown
}

// reserve takes of the room that is wanted, if there is any, what is needed at once.
func (k *Keeper) reserve(l *line, want, at Usage, mailbox, domain Quota) (*Hold, inflow.Verdict) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v := k.judge(l, want, mailbox, domain, 0); !v.OK {
		return &Hold{}, v
	}
	l.way, l.of.way = l.way.plus(at), l.of.way.plus(at)
	return &Hold{k: k, line: l, taken: at}, inflow.Verdict{OK: true}
}

// lasting reports whether a line has been full for as long as somebody is refused for good; the
// lock is held.
func (k *Keeper) lasting(l *line) bool {
	return !l.told.Full.IsZero() && k.o.Age(l.told.Full) >= k.o.Limits.Lasting
}

// judge asks the mailbox and the domain; the lock is held.
func (k *Keeper) judge(l *line, want Usage, mailbox, domain Quota, grace int64) inflow.Verdict {
	its, all := k.o.Waiting(l.account)
	v := party{mailbox, l.used, l.way.plus(its), k.lasting(l)}.judge(want, grace, aboutMailbox, inflow.RuleQuota)
	if !v.OK {
		return v
	}
	return party{domain, l.of.used, l.of.way.plus(all), k.lasting(l.of)}.judge(want, grace, aboutDomain, inflow.RuleDomainQuota)
}

// More implements inflow.Held: the message has so many octets by now. Those that were not
// declared may pass the quota by the grace, all of them together.
func (h *Hold) More(octets int64) inflow.Verdict {
	k := h.k
	if k == nil {
		return inflow.Verdict{OK: true}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	more := octets - h.taken.Octets
	if more <= 0 || h.ended {
		return inflow.Verdict{OK: true}
	}
	mailbox, domain, p, ok := k.quotas(h.line.account)
	if !ok {
		return inflow.Verdict{Rule: inflow.RuleUncounted, About: aboutMailbox}
	}
	grace := p.Grace
	if octets <= h.declared {
		grace = 0
	}
	if v := k.judge(h.line, Usage{Octets: more}, mailbox, domain, grace); !v.OK {
		return v
	}
	h.grow(Usage{Octets: more})
	return inflow.Verdict{OK: true}
}

// grow changes what is taken; the lock is held.
func (h *Hold) grow(u Usage) {
	h.taken = h.taken.plus(u)
	h.line.way, h.line.of.way = h.line.way.plus(u), h.line.of.way.plus(u)
}

// Sent implements inflow.Held: the message was accepted, and waits. What it takes counts there
// until it arrives.
func (h *Hold) Sent() { h.End(false) }

// Give implements inflow.Held: nothing came of it. A second time it does nothing.
func (h *Hold) Give() { h.End(false) }

// End ends it: with kept, what it took is in the mailbox now.
func (h *Hold) End(kept bool) {
	k := h.k
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if h.give(); kept && !h.ended {
		k.came(h.line, h.taken)
	}
	h.ended = true
}

// give returns what is taken; the lock is held.
func (h *Hold) give() {
	if !h.ended {
		h.line.way, h.line.of.way = h.line.way.minus(h.taken), h.line.of.way.minus(h.taken)
	}
}

// came notes what arrived in a mailbox; the lock is held.
func (k *Keeper) came(l *line, u Usage) {
	l.since = l.since.plus(u)
	k.set(l, l.used.plus(u))
}

// Delivered is told that a message of the queue is in a mailbox, with the octets of its file;
// below 0: it was there before. It waits no more from now on.
func (k *Keeper) Delivered(account mail.Address, octets int64) {
	mailbox, domain, _, ok := k.quotas(account)
	if !ok || !mailbox.Bounds() && !domain.Bounds() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.line(account)
	if octets < 0 {
		l.stale = true
		return
	}
	k.came(l, Usage{octets, 1})
}

// Left is told that messages are gone from a mailbox, so that it is looked at before anybody is
// refused or told how full it is.
func (k *Keeper) Left(account mail.Address) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l := k.lines[account.Key()]; l != nil {
		l.stale = true
		k.look(l)
	}
}

// Held is what there is of a mailbox.
type Held struct {
	Used  Usage `json:"used"`
	Quota Quota `json:"quota"`
	// Domain is what all mailboxes of the domain hold, as far as that is known.
	Domain      Usage `json:"domain"`
	DomainQuota Quota `json:"domain_quota"`
}

// Of returns what there is of a mailbox, as it is now.
func (k *Keeper) Of(ctx context.Context, account mail.Address) (Held, error) {
	mailbox, domain, _, ok := k.quotas(account)
	if !ok {
		return Held{}, errors.New("quota: there is no policy")
	}
	if !mailbox.Bounds() && !domain.Bounds() {
		u, err := k.o.Count(ctx, account)
		return Held{Used: u, Quota: mailbox, DomainQuota: domain}, err
	}
	l, err := k.known(ctx, account, k.o.Limits.Again, true)
	if err != nil {
		return Held{}, fmt.Errorf("quota: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return Held{l.used, mailbox, l.of.used, domain}, nil
}
