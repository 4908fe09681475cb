package accounts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"sallyport/internal/guess"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// decoyKeyOctets is the length of the stored secret behind decoys, and of the
// secret of the process behind what is remembered of passwords.
const decoyKeyOctets = 32

// Identity holds the accounts. All methods may be called concurrently.
type Identity struct {
	st       store.Store
	o        Options
	set      atomic.Pointer[settings]
	decoyKey []byte
	cacheKey []byte
	changed  chan struct{}
	changes  atomic.Uint64

	// accounts (key -> *record), networks (key -> []knownNetwork) and used mirror the
	// store. They are written only under load, and only with what the store holds
	// at that moment, so that an older state never replaces a newer one.
	accounts sync.Map
	networks sync.Map
	keys     sync.Map   // SHA-256 of a public key -> key of the account that signs in with it
	used     sync.Map   // key -> map[string]time.Time: when credentials were last used
	costs    population // of their passwords
	count    atomic.Int64
	load     sync.Mutex
	seen     uint64 // all changes up to this one are mirrored

	write chan struct{} // holds one token while an account is being changed

	screened sync.Mutex // guards the next six
	guesses  *guess.Limiter
	tally    *guess.Tally
	right    *memo
	wrong    *memo
	untold   *memo // as wrong, of which nobody was told
	denied   *memo // what a directory turned down of late

	hasher  *hasher
	flights *flights
	matches func(argonHash, string) bool // whether a hash is a password's
}

// Open reads the accounts from the store. A record that cannot be read is logged
// and stands as an account of unknown standing, which may not act.
func Open(ctx context.Context, st store.Store, o Options) (*Identity, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	l := o.Limits
	i := &Identity{
		st: st, o: o,
		cacheKey: make([]byte, decoyKeyOctets),
		changed:  make(chan struct{}, 1),
		write:    make(chan struct{}, 1),
		guesses:  guess.New(l.Guesses, o.Now()),
		tally:    guess.NewTally(l.Tally),
		right:    newMemo(l.CacheEntries, l.CacheTTL),
		wrong:    newMemo(l.CacheEntries, l.WrongFor),
		untold:   newMemo(l.CacheEntries, l.WrongFor),
		denied:   newMemo(l.CacheEntries, l.DeniedFor),
		hasher:   newHasher(l),
		flights:  newFlights(),
		matches:  argonHash.matches,
	}
	i.set.Store(&settings{l, o.Mechanisms})
	i.warnOfBinding()
	if _, err := io.ReadFull(o.Rand, i.cacheKey); err != nil {
		return nil, fmt.Errorf("accounts: reading random octets: %w", err)
	}
	if i.decoyKey, err = i.openDecoyKey(ctx); err != nil {
		return nil, err
	}
	if err := i.refresh(ctx); err != nil {
		return nil, err
	}
	return i, nil
}

// openDecoyKey reads the secret behind decoys, or makes it. It is kept, because
// decoys that changed with a restart would tell themselves from accounts.
func (i *Identity) openDecoyKey(ctx context.Context) ([]byte, error) {
	k, err := i.st.Get(ctx, []byte(keyDecoy))
	if err == nil && len(k) != decoyKeyOctets {
		return nil, fmt.Errorf("accounts: %s has %d octets instead of %d", keyDecoy, len(k), decoyKeyOctets)
	}
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return k, wrapStore("reading the decoy key", err)
	}
	k = make([]byte, decoyKeyOctets)
	if _, err := io.ReadFull(i.o.Rand, k); err != nil {
		return nil, fmt.Errorf("accounts: reading random octets: %w", err)
	}
	_, err = i.st.Apply(ctx, store.Tx{
		Preconditions: []store.Precondition{{Key: []byte(keyDecoy), Absent: true}},
		Mutations:     []store.Mutation{{Key: []byte(keyDecoy), Value: k}},
	}, store.Durable)
	if errors.Is(err, store.ErrConflict) { // another node was first
		k, err = i.st.Get(ctx, []byte(keyDecoy))
	}
	return k, wrapStore("keeping the decoy key", err)
}

// Run mirrors changes that others made in the store, until ctx is done. Changes
// made through this Identity need no Run.
func (i *Identity) Run(ctx context.Context) error {
	return store.Follow(ctx, i.st, []byte(keyRevision), i.catchUp, func(err error) {
		i.o.Logger.Error("accounts could not be read again", "err", err)
	})
}

// catchUp reads all accounts again if there were changes that are not mirrored.
func (i *Identity) catchUp(ctx context.Context) error {
	_, revision, err := i.storedRevision(ctx)
	if err != nil {
		return err
	}
	i.load.Lock()
	current := i.seen == revision
	i.load.Unlock()
	if current {
		return nil
	}
	return i.refresh(ctx)
}

// refresh mirrors everything. The revision is read before the accounts, so that
// what changes meanwhile is seen as not yet mirrored.
func (i *Identity) refresh(ctx context.Context) error {
	i.load.Lock()
	defer i.load.Unlock()
	_, revision, err := i.storedRevision(ctx)
	if err != nil {
		return err
	}
	present := map[string]bool{}
	err = i.st.Scan(ctx, store.Prefix([]byte(prefixAccount)), func(k, v []byte) (bool, error) {
		key := keyOf(k, prefixAccount)
		present[key] = true
		i.mirror(key, v)
		return true, nil
	})
	if err != nil {
		return wrapStore("reading the accounts", err)
	}
	i.accounts.Range(func(k, _ any) bool {
		if !present[k.(string)] {
			i.forget(k.(string))
		}
		return true
	})
	i.seen = revision
	return errors.Join(i.refreshNetworks(ctx), i.refreshUsed(ctx))
}

func (i *Identity) refreshNetworks(ctx context.Context) error {
	err := i.st.Scan(ctx, store.Prefix([]byte(prefixNetworks)), func(k, v []byte) (bool, error) {
		n, err := decodeNetworks(v)
		if err != nil { // nothing depends on them but the owner's comfort
			i.o.Logger.Warn("known networks cannot be read", "account", keyOf(k, prefixNetworks), "err", err)
			return true, nil
		}
		i.networks.Store(keyOf(k, prefixNetworks), n)
		return true, nil
	})
	return wrapStore("reading the known networks", err)
}

// reload mirrors one account as the store holds it now; revision is that of the
// change which made it necessary. An account whose state cannot be learnt may not
// act until it can.
func (i *Identity) reload(ctx context.Context, key string, revision uint64) error {
	i.load.Lock()
	defer i.load.Unlock()
	value, err := i.st.Get(ctx, accountKey(key))
	switch {
	case err == nil:
		i.mirror(key, value)
	case errors.Is(err, store.ErrNotFound):
		i.forget(key)
	default:
		i.mirror(key, nil)
		return wrapStore("reading an account again", err)
	}
	if revision == i.seen+1 {
		i.seen = revision
	}
	return nil
}

// mirror keeps what value says about the account of key. The caller holds load.
func (i *Identity) mirror(key string, value []byte) {
	r, err := decodeRecord(key, value)
	if err != nil {
		i.o.Logger.Error("the record of an account cannot be read; it may not sign in or send",
			"account", mail.Printable(key, mail.AddressShown), "err", err)
		if r, err = unreadable(key); err != nil {
			return
		}
	}
	r = r.seen()
	old, had := i.accounts.Swap(key, r)
	former, _ := old.(*record)
	i.index(key, former, r)
	i.costs.count(former, r)
	if !had {
		i.count.Add(1)
	}
	if !had || !former.same(r) {
		i.announce(key)
	}
}

// same reports whether two records tell the same of an account and its credentials.
func (r *record) same(as *record) bool {
	return r.Account == as.Account && sameAddresses(r.aliases, as.aliases) &&
		slices.EqualFunc(r.held, as.held, func(a, b held) bool { return a.ID == b.ID })
}

// forget drops the account of key from memory. The caller holds load.
func (i *Identity) forget(key string) {
	i.networks.Delete(key)
	i.used.Delete(key)
	if former, had := i.accounts.LoadAndDelete(key); had {
		i.index(key, former.(*record), nil)
		i.costs.count(former.(*record), nil)
		i.count.Add(-1)
		i.screened.Lock()
		i.tally.Forget(key)
		i.screened.Unlock()
		i.announce(key)
	}
}

// announce empties what is remembered of the account's passwords and wakes the
// watcher.
func (i *Identity) announce(key string) {
	i.screened.Lock()
	i.right.drop(key)
	i.wrong.drop(key)
	i.untold.drop(key)
	i.denied.drop(key)
	i.screened.Unlock()
	i.changes.Add(1)
	select {
	case i.changed <- struct{}{}:
	default:
	}
}

// Changes grows with every account that was added, changed or removed, once List shows it.
func (i *Identity) Changes() uint64 { return i.changes.Load() }

// Watch returns the channel that receives after any account was added, changed
// or removed. Wakings coalesce. There is one channel, with room for one waking,
// and so for one receiver, who tells all others that need to know.
func (i *Identity) Watch() <-chan struct{} { return i.changed }

// Lookup returns the account that a names, from memory: cheap enough for every
// MAIL and every claim. An account that was frozen is returned as frozen.
func (i *Identity) Lookup(a mail.Address) (Account, bool) {
	r := i.record(a.Key())
	if r == nil {
		return Account{}, false
	}
	return r.Account, true
}

// Active reports whether an account exists, is active and may send now.
func (i *Identity) Active(a mail.Address) bool {
	known, ok := i.Lookup(a)
	return ok && known.Standing == StandingActive && known.Sends()
}

// Get is Lookup with ErrNoSuch for an account that does not exist.
func (i *Identity) Get(a mail.Address) (Account, error) {
	acc, ok := i.Lookup(a)
	if !ok {
		return Account{}, fmt.Errorf("%w: %s", ErrNoSuch, mail.Printable(a.String(), mail.AddressShown))
	}
	return acc, nil
}

// List returns all accounts in the order of their keys.
func (i *Identity) List(ctx context.Context) ([]Account, error) {
	keys := make([]string, 0, i.count.Load())
	i.accounts.Range(func(k, _ any) bool {
		keys = append(keys, k.(string))
		return ctx.Err() == nil
	})
	slices.Sort(keys)
	out := make([]Account, 0, len(keys))
	for _, k := range keys {
		if r := i.record(k); r != nil {
			out = append(out, r.Account)
		}
	}
	return out, ctx.Err()
}

// HashStats says how much hashing went on, for the operator and for tests.
func (i *Identity) HashStats() HashStats { return i.hasher.snapshot() }

func (i *Identity) record(key string) *record {
	v, ok := i.accounts.Load(key)
	if !ok {
		return nil
	}
	return v.(*record)
}

func (i *Identity) storedRevision(ctx context.Context) (raw []byte, n uint64, err error) {
	raw, err = i.st.Get(ctx, []byte(keyRevision))
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, nil
	}
	if err == nil {
		n, err = codec.DecodeRevision(raw)
	}
	return raw, n, wrapStore("reading the revision of the accounts", err)
}

func wrapStore(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("accounts: %s: %w", what, err)
}

func (i *Identity) log(level slog.Level, text string, key string, err error) {
	i.o.Logger.Log(context.Background(), level, text, "account", mail.Printable(key, mail.AddressShown), "err", err)
}
