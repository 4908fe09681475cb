package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Settings are what a configuration may change.
type Settings struct {
	Mode   hijack.Mode
	Params hijack.Params // of an account of the role person
}

// Limits bounds what is held in memory.
type Limits struct {
	Accounts int // accounts of which what is known is held in memory
	// Heard is how many strangers each account knows because they wrote first with a
	// DMARC pass. Beyond, those who were silent for longest make room.
	Heard          int
	HeardFor       time.Duration // how long it knows them, from when they last wrote, unless it answers
	HeardDay       int           // how many of them become known to it within a day, by UTC
	HeardDomainDay int           // how many of those may be of one domain
	HeardAtOnce    int           // accounts that one message from outside may come in for; one for more teaches none
	// Origins is how many networks, and how many client programs, are remembered of each
	// account; beyond, each is a new one.
	Origins   int
	Shared    int           // networks, offers in TLS and texts of which it is known which accounts have them in common
	SharedFor time.Duration // how long that is known of one that nobody bears any more
	// PastFacts is how many facts of the trace, the newest ones, are learnt from where accounts
	// were not watched before.
	PastFacts int
	PastSent  int // of how many messages at once it is remembered meanwhile how many recipients they have
	PastBatch int // messages that are learnt from in one act, after which it goes on if it is interrupted
}

// DefaultLimits returns the bounds of a server that nobody configured.
func DefaultLimits() Limits {
	return Limits{Accounts: 50_000, Heard: 2000, HeardFor: 90 * 24 * time.Hour, HeardDay: 200, HeardDomainDay: 100, HeardAtOnce: 50, Origins: 1000, Shared: 20_000, SharedFor: 30 * 24 * time.Hour, PastFacts: 2_000_000, PastSent: 50_000, PastBatch: 1000}
}

// Rule names what contains accounts on evidence.
const Rule = "hijack"

// RuleObserved is the rule of what would have been done.
const RuleObserved = "hijack-observed"

// RuleShared names what pauses what many accounts have in common.
const RuleShared = "hijack-shared"

// detector is who contains accounts, in words.
const detector = "the hijack detector"

// Options is what a Watch needs; all of it but what may be nil.
type Options struct {
	Store    store.Store
	Key      hijack.Key
	Settings Settings
	Limits   Limits
	// Account returns an account as it stands, and Allowance how many recipients it may have.
	Account   func(mail.Address) (accounts.Account, bool)
	Allowance func(accounts.Account) budget.Limits
	// Contain stops an account, in one act; it is incident.Keeper.Contain.
	Contain func(ctx context.Context, i incident.Incident, by ...fact.Pair) (incident.Incident, accounts.Account, int, error)
	// Pause raises the incident of what many accounts have in common, in one act with what else
	// is planned; it is incident.Keeper.Pause.
	Pause func(ctx context.Context, i incident.Incident, by []fact.Pair, with ...store.Planner) (incident.Incident, error)
	Write func(ctx context.Context, facts ...fact.Fact) error
	// Submitted returns how a message of an account was submitted, and with which of the credentials that
	// the account still has; nil: nobody knows.
	Submitted func(context.Context, mail.Address, mail.ID) (Handed, error)
	// Credentials returns those that an account has; nil: nobody knows.
	Credentials func(mail.Address) ([]accounts.Credential, error)
	// Queued reports whether there is a message in the queue.
	Queued func(context.Context, mail.ID) bool
	Now    func() time.Time
	// Passed is the time by which bounds and evidence grow old, whatever the clock was set to; nil: Now.
	Passed func() time.Time
	// Age is how much time has passed since the clock showed a moment, whatever it was set to; nil: by Now.
	Age    func(time.Time) time.Duration
	Logger *slog.Logger
}

// Watch watches all accounts. All methods may be called concurrently.
type Watch struct {
	o   Options
	set atomic.Pointer[Settings]

	mu       sync.Mutex
	accounts map[string]*account
	uses     uint64

	normal normal
	queue  queue
	shared shared
	faded  time.Time // when strangers were last forgotten; of Run alone
}

// normal is what is normal at this site.
type normal struct {
	mu     sync.Mutex
	site   hijack.Site
	priors hijack.Priors
	asked  time.Time // when priors was made
	dirty  bool
}

// Open reads what waits, and what is normal here.
func Open(ctx context.Context, o Options) (*Watch, error) {
	if o.Passed == nil {
		o.Passed = o.Now
	}
	if o.Age == nil {
		o.Age = func(t time.Time) time.Duration { return o.Now().Sub(t) }
	}
	w := &Watch{o: o, accounts: map[string]*account{}}
	w.Adjust(o.Settings)
	if v, err := o.Store.Get(ctx, []byte(keyNormal)); err == nil {
		if w.normal.site, err = hijack.RestoreSite(v); err != nil {
			o.Logger.Error("what is normal at this site does not read; it is learnt anew", "err", err)
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("watch: reading what is normal: %w", err)
	}
	if err := errors.Join(w.openShared(ctx), w.openRenamed(ctx)); err != nil {
		return nil, err
	}
	return w, w.queue.open(ctx, o.Store)
}

// Adjust replaces the settings.
func (w *Watch) Adjust(s Settings) { w.set.Store(&s) }

// Settings returns those in force.
func (w *Watch) Settings() Settings { return *w.set.Load() }

// Mode returns what follows from evidence now.
func (w *Watch) Mode() hijack.Mode { return w.set.Load().Mode }

// params are what an account is judged by.
func (w *Watch) params(of mail.Address) hijack.Params {
	p := w.set.Load().Params
	if a, ok := w.o.Account(of); ok && a.Role == accounts.RoleBulk {
		most := w.o.Allowance(a)
		return p.Bulk(max(most.Hour, 1), max(most.Day, 1))
	}
	return p
}

// priorsFor is how long what is normal is taken to be the same.
const priorsFor = time.Minute

func (w *Watch) priors(now time.Time) hijack.Priors {
	n := &w.normal
	n.mu.Lock()
	defer n.mu.Unlock()
	if age := now.Sub(n.asked); n.asked.IsZero() || age < 0 || age > priorsFor {
		n.priors, n.asked = n.site.Priors(w.set.Load().Params), now
	}
	return n.priors
}

func (w *Watch) learnt(e hijack.Submitted, v hijack.Verdict, p hijack.Params) {
	n := &w.normal
	n.mu.Lock()
	defer n.mu.Unlock()
	n.site, n.dirty = n.site.Learn(e, v, p), true
}

// Act is who does something, and whence.
type Act struct {
	Account mail.Address
	Session fact.Session
	Network string // whence, as far as networks are told apart; "": not known
	Program string // with what, as far as client programs are told apart; "": not known
	Offer   string // what that offers in TLS, as a fingerprint; "": not known
	Began   time.Time
	// Handed is when the message was handed in that others speak of; zero: it is done now.
	Handed time.Time
	Reads  bool // it is there to read the mailbox, and not to send
	// Used are the credentials with which the session was opened, or the message submitted whose
	// recipients other servers refused.
	Used []accounts.Credential
}

// Cause is the message with which something is found.
type Cause = incident.Cause

// event judges something that is no message, writes what is known then, and contains the
// account where it must be.
func (w *Watch) event(ctx context.Context, by Act, e hijack.Event, also ...store.Mutation) {
	if w.Mode() == hijack.Off || by.Account.IsZero() {
		return
	}
	ctx = context.WithoutCancel(ctx)
	a, err := w.enter(ctx, by.Account)
	if err != nil {
		w.o.Logger.Error("what an account did was not judged", "account", by.Account.String(), "err", err)
		return
	}
	p, now := w.params(by.Account), w.o.Now()
	s, v := hijack.Advance(a.state, e, w.priors(now), p)
	also = append(also, w.took(a, e, s, v, by, now)...)
	m, place := a.mutation()
	since := a.since
	a.mu.Unlock()
	defer w.unpin(a)
	defer a.vacate(place)
	if _, err := w.o.Store.Apply(ctx, store.Tx{Mutations: append(also, m)}, store.Lazy); err != nil {
		w.o.Logger.Warn("what is known of an account is kept in memory alone", "account", by.Account.String(), "err", err)
	}
	if v.Contain {
		_ = w.contain(ctx, a, by, v, since, Cause{})
	}
}

// BindingFailed tells that the account claimed a sender that is not its own.
func (w *Watch) BindingFailed(ctx context.Context, by Act, claimed mail.Address) {
	w.event(ctx, by, hijack.BindingFailed{At: w.o.Passed(), Sender: w.o.Key.Address(claimed)})
}

// Clearing plans what the end of an account's incident means here: what spoke against the
// account is cleared, since what was used is revoked, or a person vouched that nothing was
// wrong. Whom it wrote to since the incident began it does not know for that, and what it did of late is
// no habit of it, unless nothing was wrong.
func (w *Watch) Clearing(of mail.Address, since time.Time, vouched bool) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		a, err := w.enter(ctx, of)
		if err != nil {
			return store.Share{}, err
		}
		before, began, gave := a.state, a.since, a.gave
		if a.since, a.again, a.seen = (time.Time{}), nil, nil; vouched {
			a.state = a.state.Cleared(w.params(of))
		} else {
			a.state = a.state.Stolen(w.params(of))
		}
		m, place := a.mutation()
		s := store.Share{Mutations: append(w.ungive(a), m), Done: func(err error) error {
			defer w.unpin(a)
			defer a.vacate(place)
			if err != nil && !errors.Is(err, store.ErrInDoubt) {
				a.mu.Lock()
				a.state, a.since, a.gave = hijack.Merge(a.state, before), began, gave
				a.mu.Unlock()
			}
			return nil
		}}
		a.mu.Unlock()
		if !vouched {
			a.mu.Lock()
			a.heard, a.spoke = nil, lately{} // it is counted anew
			a.mu.Unlock()
			s.Mutations = append(s.Mutations, w.bookAt(ctx, w.o.Now()).forget(a.who, since)...)
		}
		return s, nil
	}
}

// errContained says that the account is contained.
var errContained = errors.New("watch: the account is contained")

// contain stops an account on evidence; where it only observes, it says so, once an hour.
func (w *Watch) contain(ctx context.Context, a *account, by Act, v hijack.Verdict, since time.Time, c Cause) error {
	words := make([]string, 0, len(v.Evidence))
	for _, f := range v.Evidence {
		words = append(words, f.Words())
	}
	reason := "somebody else seems to use it"
	if len(words) > 0 {
		reason = words[0]
	}
	if w.Mode() == hijack.Observe {
		w.observed(ctx, a, by, v, reason)
		return nil
	}
	if now, ok := w.o.Account(by.Account); ok && now.Standing == accounts.StandingFrozen {
		return w.containAgain(ctx, a, by, now)
	}
	since = earlier(since, by.Began)
	changed := w.changes(ctx, a.who, earlier(since, w.o.Now()))
	if len(changed) > 0 {
		since, words = earlier(since, changed[0].at), append(words, changedWords(changed)...)
	}
	i := incident.Incident{
		Account: by.Account, Rule: Rule, By: detector, Reason: reason, Evidence: words, Odds: v.Odds, Since: since, Cause: c}
	i.Seen = a.seenBy(by, w.o.Now())
	i.Known = len(by.Used) > 0
	for _, c := range by.Used {
		i.Credential, i.CredentialOf = strings.TrimSpace("the "+c.Kind.String()+" "+c.Name), c.Created
		if id := nameOf(c); id != "" {
			i.Used = append(i.Used, id)
		}
	}
	i.Used = w.givers(a, v, i.Used, w.o.Now())
	raised, _, ended, err := w.o.Contain(ctx, i, fact.Pair{Name: "by", Value: detector}, fact.Pair{Name: "odds", Value: hijack.OddsWords(v.Odds)})
	if err != nil {
		w.o.Logger.Error("an account that must be contained could not be; nothing of it is taken", "account", by.Account.String(), "err", err)
		return err
	}
	w.judgeAnew(ctx, a)
	log := w.o.Logger.With("account", by.Account.String(), "incident", raised.Number, "evidence", reason, "odds", v.Odds, "sessions", ended)
	if by.Session.Peer.IsValid() {
		log = log.With("peer", by.Session.Peer.String())
	}
	log.Error("an account was contained: somebody else seems to use it")
	return errContained
}

// earlier is the earlier of two times of which either may not be known.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// observeEvery is how often it is told of one account what would have been done.
const observeEvery = time.Hour

func (w *Watch) observed(ctx context.Context, a *account, by Act, v hijack.Verdict, reason string) {
	now := w.o.Now()
	a.mu.Lock()
	since := now.Sub(a.told)
	tell := a.told.IsZero() || since < 0 || since >= observeEvery
	if tell {
		a.told = now
	}
	a.mu.Unlock()
	if !tell {
		return
	}
	w.o.Logger.Warn("an account would be contained, if hijack.mode were enforce", "account", by.Account.String(), "evidence", reason, "odds", v.Odds)
	of := by.Session
	of.Account = by.Account.String()
	err := w.o.Write(ctx, fact.Alarm{
		At: now, Rule: RuleObserved, Session: of, Text: by.Account.String() + " would be contained, if hijack.mode were enforce",
		Evidence: []fact.Pair{{Name: "evidence", Value: reason}},
	}.Fact())
	if err != nil {
		w.o.Logger.Error("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
	}
}

// keepEvery is how often what is normal here is written.
const keepEvery = time.Minute

// Run writes what is normal at this site, now and then and at its end.
func (w *Watch) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			w.keep(context.WithoutCancel(ctx))
			return
		case <-time.After(keepEvery):
			w.keep(ctx)
			w.strays(ctx)
			w.fade(ctx)
		}
	}
}

func (w *Watch) keep(ctx context.Context) {
	n := &w.normal
	n.mu.Lock()
	dirty, value := n.dirty, n.site.Append(nil)
	n.dirty = false
	n.mu.Unlock()
	if !dirty {
		return
	}
	if _, err := w.o.Store.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte(keyNormal), Value: value}}}, store.Lazy); err != nil {
		w.o.Logger.Warn("what is normal here is kept in memory alone", "err", err)
	}
}
