package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Limits bounds keys and how often the DNS is asked about them.
type Limits struct {
	// RSABits is the size of new RSA keys. RFC 8301 §3.2 asks for 2048 at least.
	RSABits int
	// Keys is how many one domain may have.
	Keys int
	// Overlap is how long the record of a retired key must stay in the DNS: as long as
	// mail that it signed may be under way or looked at again.
	Overlap time.Duration
	// LookNew is how soon the DNS is asked again for a key that was just made; the
	// longer it is not published, the less often, down to LookActive.
	LookNew time.Duration
	// LookActive is how often the DNS is asked for keys in use.
	LookActive time.Duration
	// LookTime is how long one look at the DNS may take.
	LookTime time.Duration
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		RSABits: 2048, Keys: 16, Overlap: 14 * 24 * time.Hour, LookNew: time.Minute, LookActive: time.Hour,
		LookTime: 30 * time.Second,
	}
}

// Options are what a Ring needs; all of them but Overlap and Age.
type Options struct {
	Limits Limits
	// Overlap is Limits.Overlap as it stands now; nil: it never changes.
	Overlap func() time.Duration
	// Find asks the DNS for keys. What it cannot find out is Temporary, or missing.
	Find func(ctx context.Context, names []dkim.KeyName) map[dkim.KeyName]dkim.Found
	Now  func() time.Time
	// Age is how much time has passed since the clock showed a moment, whatever it was set to; nil: by Now.
	Age    func(time.Time) time.Duration
	Rand   io.Reader
	Logger *slog.Logger
}

// Ring holds the keys of all domains. It is safe for concurrent use.
type Ring struct {
	st   store.Store
	o    Options
	wake chan struct{}

	change sync.Mutex // held while keys are changed
	mu     sync.RWMutex
	keys   map[mail.Domain][]owned
	looked map[mail.Domain]time.Time
}

// Open reads the keys from the store.
func Open(ctx context.Context, st store.Store, o Options) (*Ring, error) {
	if o.Age == nil {
		o.Age = func(t time.Time) time.Duration { return o.Now().Sub(t) }
	}
	r := &Ring{st: st, o: o, wake: make(chan struct{}, 1), keys: map[mail.Domain][]owned{}, looked: map[mail.Domain]time.Time{}}
	err := st.Scan(ctx, store.Prefix([]byte(prefix)), func(k, v []byte) (bool, error) {
		d, err := mail.ParseDomain(strings.TrimPrefix(string(k), prefix))
		if err != nil {
			return false, fmt.Errorf("keyring: a record of no domain: %q", k)
		}
		r.keys[d], err = decode(d, bytes.Clone(v))
		return true, err
	})
	return r, err
}

// Signing returns the keys that sign for a domain now; none for most domains.
func (r *Ring) Signing(d mail.Domain) []dkim.SigningKey {
	var out []dkim.SigningKey
	for _, k := range r.of(d) {
		if k.Signs() {
			out = append(out, k.signing)
		}
	}
	return out
}

// Domains returns the domains that have keys, in order.
func (r *Ring) Domains() []mail.Domain {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []mail.Domain
	for d := range r.keys {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b mail.Domain) int { return strings.Compare(a.ASCII(), b.ASCII()) })
	return out
}

// Keys returns the keys of a domain, in the order in which they were made.
func (r *Ring) Keys(d mail.Domain) []Key { return bare(r.of(d)) }

func (r *Ring) of(d mail.Domain) []owned {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys[d]
}

func bare(keys []owned) []Key {
	out := make([]Key, len(keys))
	for i, k := range keys {
		out[i] = k.Key
	}
	return out
}

// Rotate makes a new key of each algorithm, whose records are to be published. It
// fails with ErrPending while earlier ones wait for that.
func (r *Ring) Rotate(ctx context.Context, d mail.Domain, facts [][]byte) ([]Change, error) {
	if slices.ContainsFunc(r.of(d), func(k owned) bool { return k.State == StateNew }) {
		return nil, ErrPending
	}
	var secrets [][]byte
	for _, a := range []dkim.Algorithm{dkim.RSASHA256, dkim.Ed25519SHA256} {
		secret, err := generate(a, r.o.Limits.RSABits, r.o.Rand)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	now := r.o.Now().UTC()
	return r.amend(ctx, d, facts, func(keys []owned) ([]owned, []Change, error) {
		taken := func(s string) bool {
			return slices.ContainsFunc(keys, func(k owned) bool { return k.Name.Selector == s })
		}
		var fresh []owned
		for i, kind := range []string{"r", "e"} {
			k, err := newOwned(dkim.KeyName{Selector: selector(now, kind, taken), Domain: d}, secrets[i])
			if err != nil {
				return nil, nil, err
			}
			k.State, k.Created, k.Since = StateNew, now, now
			fresh = append(fresh, k)
		}
		_, changes, err := Begin(bare(keys), bare(fresh))
		return append(slices.Clone(keys), fresh...), changes, err
	})
}

// selector names a key by its day and kind: s20261125r.
func selector(now time.Time, kind string, taken func(string) bool) string {
	name := "s" + now.Format("20060102") + kind
	for i := 2; taken(name); i++ {
		name = fmt.Sprintf("s%s%s%d", now.Format("20060102"), kind, i)
	}
	return name
}

// Import takes a key that another program signed with, under the name that it has in
// the DNS. It is new, and becomes active when it is seen there.
func (r *Ring) Import(ctx context.Context, n dkim.KeyName, secret []byte, facts [][]byte) ([]Change, error) {
	k, err := newOwned(n, secret)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	now := r.o.Now().UTC()
	k.State, k.Created, k.Since = StateNew, now, now
	return r.amend(ctx, n.Domain, facts, func(keys []owned) ([]owned, []Change, error) {
		if slices.ContainsFunc(keys, func(o owned) bool { return o.Name == n }) {
			return nil, nil, fmt.Errorf("%w: there is a key with that selector", ErrInvalid)
		}
		return append(slices.Clone(keys), k), []Change{{Key: k.Key, What: "taken over"}}, nil
	})
}

// Activate makes new keys sign whatever the DNS shows: all of a domain, or the one
// with that selector.
func (r *Ring) Activate(ctx context.Context, d mail.Domain, selector string, facts [][]byte) ([]Change, error) {
	return r.decide(ctx, d, facts, func(keys []Key) ([]Key, []Change, error) {
		return Activate(keys, selector, r.o.Now().UTC())
	})
}

// Drop removes a key.
func (r *Ring) Drop(ctx context.Context, n dkim.KeyName, facts [][]byte) ([]Change, error) {
	return r.decide(ctx, n.Domain, facts, func(keys []Key) ([]Key, []Change, error) { return Drop(keys, n.Selector) })
}

// Look asks the DNS for the keys of a domain, and does what follows from the answer.
// It returns what was seen.
func (r *Ring) Look(ctx context.Context, d mail.Domain) (map[dkim.KeyName]Sight, []Change, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Limits.LookTime)
	defer cancel()
	keys := r.Keys(d)
	if len(keys) == 0 {
		return nil, nil, nil
	}
	var names []dkim.KeyName
	for _, k := range keys {
		names = append(names, k.Name)
	}
	found := r.o.Find(ctx, names)
	seen := map[dkim.KeyName]Sight{}
	for _, k := range keys {
		f, ok := found[k.Name]
		if !ok {
			f.Temporary = true
		}
		seen[k.Name] = See(k, f)
	}
	now := r.o.Now().UTC()
	r.mu.Lock()
	r.looked[d] = now
	r.mu.Unlock()
	var changes []Change
	// What was decided must be recorded even if the time for asking is over.
	_, err := r.decide(context.WithoutCancel(ctx), d, nil, func(keys []Key) ([]Key, []Change, error) {
		next, a := Observe(keys, seen, now)
		next, b := Expire(next, r.Overlap(), r.o.Age)
		changes = append(a, b...)
		return next, changes, nil
	})
	return seen, changes, err
}

// Overlap is how long the record of a retired key must stay in the DNS.
func (r *Ring) Overlap() time.Duration {
	if r.o.Overlap != nil {
		return r.o.Overlap()
	}
	return r.o.Limits.Overlap
}

// decide applies a pure decision to the keys of a domain.
func (r *Ring) decide(ctx context.Context, d mail.Domain, facts [][]byte, fn func([]Key) ([]Key, []Change, error)) ([]Change, error) {
	return r.amend(ctx, d, facts, func(keys []owned) ([]owned, []Change, error) {
		next, changes, err := fn(bare(keys))
		if err != nil {
			return nil, nil, err
		}
		var out []owned
		for _, k := range next {
			for _, o := range keys {
				if o.Name == k.Name {
					o.Key = k
					out = append(out, o)
				}
			}
		}
		return out, changes, nil
	})
}

// amend changes the keys of a domain in one durable act with its facts. Without
// changes, it writes lazily what was merely seen.
func (r *Ring) amend(ctx context.Context, d mail.Domain, facts [][]byte, fn func([]owned) ([]owned, []Change, error)) ([]Change, error) {
	r.change.Lock()
	defer r.change.Unlock()
	next, changes, err := fn(r.of(d))
	switch {
	case err != nil:
		return nil, err
	case len(next) > r.o.Limits.Keys:
		return nil, fmt.Errorf("%w: a domain has at most %d keys", ErrInvalid, r.o.Limits.Keys)
	}
	tx, how := store.Tx{Facts: facts}, store.Durable
	if len(changes) == 0 {
		how = store.Lazy
	}
	for _, c := range changes {
		tx.Facts = append(tx.Facts, c.facts(r.o.Now())...)
	}
	if tx.Mutations, err = mutation(d, next); err != nil {
		return nil, err
	}
	if _, err := r.st.Apply(ctx, tx, how); err != nil && !errors.Is(err, store.ErrInDoubt) {
		return nil, err
	}
	r.mu.Lock()
	if len(next) == 0 {
		delete(r.keys, d)
	} else {
		r.keys[d] = next
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return changes, err
}

func mutation(d mail.Domain, keys []owned) ([]store.Mutation, error) {
	if len(keys) == 0 {
		return []store.Mutation{{Key: storeKey(d), Delete: true}}, nil
	}
	record, err := encode(keys)
	return []store.Mutation{{Key: storeKey(d), Value: record}}, err
}

// leastWait is the shortest pause between two looks at what is due: a time that has passed already
// keeps no processor busy.
const leastWait = time.Second

// Run watches the DNS until ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	for {
		now := r.o.Now()
		next := now.Add(r.o.Limits.LookActive)
		for _, d := range r.Domains() {
			at, any := r.due(d, now)
			if any && !at.After(now) {
				r.look(ctx, d)
				at, any = r.due(d, r.o.Now())
			}
			if any && at.Before(next) {
				next = at
			}
		}
		timer := time.NewTimer(max(next.Sub(r.o.Now()), leastWait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// due returns when the DNS is to be asked about a domain; at once for one that was
// never looked at.
func (r *Ring) due(d mail.Domain, now time.Time) (time.Time, bool) {
	r.mu.RLock()
	last, known := r.looked[d]
	r.mu.RUnlock()
	keys := r.Keys(d)
	if !known {
		return now, len(keys) > 0
	}
	at, any := r.o.Limits.nextLook(keys, last)
	return at, any || len(keys) > 0
}

func (r *Ring) look(ctx context.Context, d mail.Domain) {
	_, changes, err := r.Look(ctx, d)
	if err != nil {
		r.o.Logger.Error("the keys of a domain could not be written", "domain", d.ASCII(), "err", err)
	}
	for _, c := range changes {
		level := slog.LevelInfo
		if c.Bad {
			level = slog.LevelError
		}
		r.o.Logger.Log(ctx, level, "DKIM key", "name", c.Key.Name.String(), "what", c.What)
	}
}
