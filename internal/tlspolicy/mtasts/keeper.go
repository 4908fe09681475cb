package mtasts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/kit/shortage"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Limits bounds what policies cost.
type Limits struct {
	Entries    int           // policies that are kept; beyond, the one fetched first gives way
	Fetch      time.Duration // for one fetch, from the DNS to the last octet. RFC 8461 §3.3
	Wait       time.Duration // a delivery waits for a policy; then it goes on as without a fresh one
	Fetches    int           // at once; more wait their turn
	Addresses  int           // of a policy host that are tried
	Failure    time.Duration // a domain whose policy could not be had is not asked again for so long. RFC 8461 §3.3
	Failures   int           // such domains that are remembered
	Refresh    time.Duration // a policy older than this is fetched again before it ends
	Keep       time.Duration // a policy that no mail asked for is not refreshed any more after this
	RefreshRun time.Duration // how often all policies are looked at for those to refresh
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Entries: 10_000, Fetch: time.Minute, Wait: 70 * time.Second, Fetches: 64, Addresses: 3,
		Failure: 5 * time.Minute, Failures: 10_000, Refresh: 24 * time.Hour, Keep: 30 * 24 * time.Hour, RefreshRun: time.Hour,
	}
}

func (l Limits) valid() bool {
	return min(l.Entries, l.Fetches, l.Addresses, l.Failures) > 0 && min(l.Fetch, l.Wait, l.Failure, l.Refresh, l.Keep, l.RefreshRun) > 0
}

// Options says whom to ask and where to keep; all are required.
type Options struct {
	Resolver dnsx.Resolver
	// Fetch gets a policy: Fetcher.Fetch in a server.
	Fetch  func(ctx context.Context, d mail.Domain) (Policy, error)
	Store  store.Store
	Limits Limits
	Now    func() time.Time // the time that passes, whatever the clock was set to: policies grow old by it
	Logger *slog.Logger
}

// Found is what a domain demands.
type Found struct {
	Policy Policy // zero: none is known
	ID     string // of the record that announced it
	// Err says why there is no policy, or no fresh one, though the domain announces
	// one: a *FetchError.
	Err error
	// Lack says that we lacked the means to find out whether the domain demands
	// something, and what: nothing may be concluded from the rest. nil: we did not.
	Lack error
}

// ErrCrowded is a policy that was not fetched because we fetch too many already.
var ErrCrowded = errors.New("too many policies are being fetched")

// errStore marks what our own store could not do.
var errStore = errors.New("the store fails")

// lacking reports whether it is our own doing that a policy is not known.
func lacking(err error) bool {
	return errors.Is(err, ErrCrowded) || errors.Is(err, errStore) || errors.Is(err, dnsx.ErrExhausted) ||
		errors.Is(err, dnsx.ErrMute) || shortage.Of(err)
}

// Keeper knows the policies of domains. It is safe for concurrent use.
type Keeper struct {
	o     Options
	slots chan struct{} // one for each fetch

	mu      sync.Mutex
	known   map[mail.Domain]time.Time // what the store keeps, by when it was fetched
	flights map[mail.Domain]*flight
	failed  map[mail.Domain]failure
	order   []mail.Domain // of failed, the oldest first
}

// flight is a fetch under way, for whoever waits for it.
type flight struct {
	done  chan struct{}
	begun atomic.Bool // it has a slot
	err   error       // once done is closed
}

// failure remembers a domain whose announced policy could not be had.
type failure struct {
	id    string
	until time.Time
	err   error
}

// New opens the policies that the store keeps.
func New(ctx context.Context, o Options) (*Keeper, error) {
	if o.Resolver == nil || o.Fetch == nil || o.Store == nil || o.Now == nil || o.Logger == nil || !o.Limits.valid() {
		return nil, errors.New("mtasts: resolver, fetch, store, limits, clock and logger must be given")
	}
	k := &Keeper{
		o: o, slots: make(chan struct{}, o.Limits.Fetches),
		known: map[mail.Domain]time.Time{}, flights: map[mail.Domain]*flight{}, failed: map[mail.Domain]failure{},
	}
	return k, k.each(ctx, func(d mail.Domain, e entry) { k.known[d] = e.fetched })
}

// each calls fn for every policy that is kept; what does not parse is passed over
// and fetched anew when it is asked for.
func (k *Keeper) each(ctx context.Context, fn func(mail.Domain, entry)) error {
	return k.o.Store.Scan(ctx, store.Prefix([]byte(keyPrefix)), func(key, value []byte) (bool, error) {
		d, err := mail.ParseDomain(string(key[len(keyPrefix):]))
		if err != nil {
			return true, nil
		}
		if e, err := decodeEntry(value); err == nil {
			fn(d, e)
		}
		return true, nil
	})
}

// Policy returns what a domain demands of mail to it now. RFC 8461 §5.1: a policy
// once learnt holds until its end; one whose record has changed is fetched again
// first, and stays when that fails.
func (k *Keeper) Policy(ctx context.Context, d mail.Domain) Found {
	ctx, cancel := context.WithTimeout(ctx, k.o.Limits.Wait)
	defer cancel()
	e, err := k.load(ctx, d)
	if err != nil {
		// It may be one that demands something.
		k.o.Logger.Error("a kept policy cannot be read", "domain", d.ASCII(), "err", err)
		return Found{Lack: err}
	}
	have := e.valid(k.o.Now())
	id, err := k.record(ctx, d)
	switch {
	case err != nil && have:
		k.touch(ctx, d, e)
		return Found{Policy: e.policy, ID: e.id}
	case lacking(err):
		return Found{Lack: err}
	case err != nil:
		return Found{}
	case have && id == e.id:
		k.touch(ctx, d, e)
		if k.o.Now().Sub(e.fetched) >= min(k.o.Limits.Refresh, e.policy.MaxAge/2) {
			k.refresh(ctx, d, id)
		}
		return Found{Policy: e.policy, ID: e.id}
	}
	return k.renew(ctx, d, id, e, have)
}

// renew waits for a policy that is not known yet, or not in its new form.
func (k *Keeper) renew(ctx context.Context, d mail.Domain, id string, old entry, have bool) Found {
	err := k.fetch(ctx, d, id)
	if err == nil {
		var e entry
		if e, err = k.load(ctx, d); err == nil && e.valid(k.o.Now()) {
			return Found{Policy: e.policy, ID: e.id}
		}
	}
	if have && lacking(err) {
		return Found{Policy: old.policy, ID: old.id} // it holds, and nobody failed but we
	}
	if have {
		return Found{Policy: old.policy, ID: old.id, Err: err}
	}
	if lacking(err) {
		return Found{Lack: err}
	}
	return Found{Err: err}
}

func (k *Keeper) load(ctx context.Context, d mail.Domain) (entry, error) {
	b, err := k.o.Store.Get(ctx, entryKey(d))
	if errors.Is(err, store.ErrNotFound) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, fmt.Errorf("%w: %w", errStore, err)
	}
	e, err := decodeEntry(b)
	if err != nil {
		return entry{}, nil // it is as if it were not there
	}
	return e, nil
}

// record asks for the id that the domain announces.
func (k *Keeper) record(ctx context.Context, d mail.Domain) (string, error) {
	n, err := dnsx.ParseName("_mta-sts." + d.ASCII())
	if err != nil {
		return "", err
	}
	a, err := k.o.Resolver.TXT(ctx, n)
	if err != nil {
		return "", err
	}
	return FindRecord(a.Data)
}

// fetch waits until the policy has been got and kept.
func (k *Keeper) fetch(ctx context.Context, d mail.Domain, id string) error {
	f, err := k.board(ctx, d, id)
	if f == nil {
		return err
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		if !f.begun.Load() {
			return ErrCrowded
		}
		return &FetchError{Cause: CauseFetch, Err: fmt.Errorf("it does not come: %w", context.Cause(ctx))}
	}
}

// refresh gets the policy without anybody waiting.
func (k *Keeper) refresh(ctx context.Context, d mail.Domain, id string) {
	_, _ = k.board(ctx, d, id) // a failure is remembered, and the policy stays
}

// board returns the one flight for a domain, or why there is none now.
func (k *Keeper) board(ctx context.Context, d mail.Domain, id string) (*flight, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.flights[d]; f != nil {
		return f, nil
	}
	if f, ok := k.failed[d]; ok && f.id == id && k.o.Now().Before(f.until) {
		return nil, f.err
	}
	f := &flight{done: make(chan struct{})}
	k.flights[d] = f
	// It outlives a delivery that gives up; Limits.Fetch ends it.
	go k.fly(context.WithoutCancel(ctx), d, id, f)
	return f, nil
}

func (k *Keeper) fly(ctx context.Context, d mail.Domain, id string, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, k.o.Limits.Fetch)
	defer cancel()
	p, err := k.get(ctx, d, f)
	if err == nil {
		now := k.o.Now()
		err = k.keep(context.WithoutCancel(ctx), d, entry{policy: p, id: id, fetched: now, used: day(now)})
	} else {
		k.o.Logger.Warn("the MTA-STS policy cannot be fetched", "domain", d.ASCII(), "err", err)
	}
	k.mu.Lock()
	f.err = err
	delete(k.flights, d)
	if err != nil && !lacking(err) {
		k.remember(d, failure{id: id, until: k.o.Now().Add(k.o.Limits.Failure), err: err})
	} else if _, ok := k.failed[d]; ok && err == nil {
		k.failed[d] = failure{}
	}
	k.mu.Unlock()
	close(f.done)
}

// get fetches when there is room.
func (k *Keeper) get(ctx context.Context, d mail.Domain, f *flight) (Policy, error) {
	select {
	case k.slots <- struct{}{}:
	case <-ctx.Done():
		return Policy{}, ErrCrowded
	}
	f.begun.Store(true)
	defer func() { <-k.slots }()
	return k.o.Fetch(ctx, d)
}

// remember notes a failure; beyond the bound the oldest is forgotten.
func (k *Keeper) remember(d mail.Domain, f failure) {
	if _, ok := k.failed[d]; !ok {
		k.order = append(k.order, d)
	}
	k.failed[d] = f
	for len(k.order) > k.o.Limits.Failures {
		delete(k.failed, k.order[0])
		k.order = k.order[1:]
	}
}

// keep stores a policy; beyond the bound the one fetched first gives way.
func (k *Keeper) keep(ctx context.Context, d mail.Domain, e entry) error {
	ms := []store.Mutation{set(d, e)}
	k.mu.Lock()
	former, known := k.known[d]
	var gone mail.Domain
	var goneAt time.Time
	if !known && len(k.known) >= k.o.Limits.Entries {
		if oldest, ok := k.oldest(); ok {
			ms = append(ms, store.Mutation{Key: entryKey(oldest), Delete: true})
			gone, goneAt = oldest, k.known[oldest]
			delete(k.known, oldest)
		}
	}
	k.known[d] = e.fetched
	k.mu.Unlock()
	_, err := k.o.Store.Apply(ctx, store.Tx{Mutations: ms}, store.Durable)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w: %w", errStore, err)
	// What the store still has is counted still.
	k.mu.Lock()
	defer k.mu.Unlock()
	if delete(k.known, d); known {
		k.known[d] = former
	}
	if !gone.IsZero() {
		k.known[gone] = goneAt
	}
	return err
}

func (k *Keeper) oldest() (oldest mail.Domain, found bool) {
	for d, at := range k.known {
		if !found || at.Before(k.known[oldest]) {
			oldest, found = d, true
		}
	}
	return oldest, found
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// touch notes, once a day, that mail asks for the policy.
func (k *Keeper) touch(ctx context.Context, d mail.Domain, e entry) {
	today := day(k.o.Now())
	if !e.used.Before(today) {
		return
	}
	// Only what is still there is changed: a fetch may have replaced it meanwhile.
	old := e.encode()
	e.used = today
	_, err := k.o.Store.Apply(ctx, store.Tx{
		Preconditions: []store.Precondition{{Key: entryKey(d), Value: old}},
		Mutations:     []store.Mutation{set(d, e)},
	}, store.Lazy)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		k.o.Logger.Warn("a policy cannot be marked as used", "domain", d.ASCII(), "err", err)
	}
}
