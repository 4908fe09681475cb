package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"sallyport/internal/directory"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// conflictTries bounds how often a change is tried again when other nodes change
// the roster at the same time; each conflict means that another one got through.
const conflictTries = 16

var (
	// ErrExists: there is an entry of that name already.
	ErrExists = errors.New("roster: there is one already")
	// ErrNoSuch: there is no entry of that name.
	ErrNoSuch = errors.New("roster: there is none")
	// ErrFull: there are as many entries of the kind as the limit allows.
	ErrFull = errors.New("roster: there are as many as the limit allows")
)

// Limits bound the roster, in memory and on disk.
type Limits struct {
	Domains   int // domains that are stored
	Aliases   int // aliases, groups and catch-alls that are stored
	Forwards  int // accounts with a forward
	Delegates int // rights to send as another address
	Contacts  int // accounts whose owners are told outside
}

// DefaultLimits are far above what one server's people need, and keep a rebuild of
// the directory below a second.
func DefaultLimits() Limits {
	return Limits{Domains: 10_000, Aliases: 100_000, Forwards: 100_000, Delegates: 100_000, Contacts: 100_000}
}

func (l Limits) of(k directory.Kind) int {
	switch k {
	case directory.KindDomain:
		return l.Domains
	case directory.KindAlias:
		return l.Aliases
	case directory.KindForward:
		return l.Forwards
	case directory.KindDelegate:
		return l.Delegates
	case directory.KindContact:
		return l.Contacts
	}
	return 0
}

// Options are what a Roster is given.
type Options struct {
	Limits Limits
	Logger *slog.Logger // nil: nowhere
}

// Roster holds the entries. All methods may be called concurrently.
type Roster struct {
	st      store.Store
	o       Options
	current atomic.Pointer[State]
	load    sync.Mutex    // held while the store is read and becomes current
	write   chan struct{} // holds one token while a change is made
	changed chan struct{}
}

// Open reads the entries from the store.
func Open(ctx context.Context, st store.Store, o Options) (*Roster, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for _, k := range kinds() {
		if o.Limits.of(k) < 1 {
			return nil, fmt.Errorf("roster: the limit of entries of the kind %s is below one", k)
		}
	}
	r := &Roster{st: st, o: o, write: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	return r, r.refresh(ctx)
}

// State returns the entries as they stand.
func (r *Roster) State() *State { return r.current.Load() }

// Watch returns the channel that receives after the entries changed. Wakings
// coalesce; there is one channel, and so one receiver.
func (r *Roster) Watch() <-chan struct{} { return r.changed }

// Run takes in what others changed in the store, and what was in doubt when Change
// returned, until ctx is done.
func (r *Roster) Run(ctx context.Context) error {
	return store.Follow(ctx, r.st, []byte(keyRevision), r.refresh, func(err error) {
		r.o.Logger.Error("the roster could not be read again", "err", err)
	})
}

// refresh reads everything unless it is current. The revision is read before the
// entries, so that what changes meanwhile is seen as not yet read.
func (r *Roster) refresh(ctx context.Context) error {
	r.load.Lock()
	defer r.load.Unlock()
	_, revision, err := r.storedRevision(ctx)
	if err != nil {
		return err
	}
	if now := r.current.Load(); now != nil && now.revision == revision {
		return nil
	}
	s := newState(revision)
	err = r.st.Scan(ctx, store.Prefix([]byte(prefixAll)), func(k, v []byte) (bool, error) {
		ref, err := refOf(k)
		if err != nil {
			return false, err
		}
		if err := s.take(ref, v); err != nil {
			r.o.Logger.Error("an entry of the roster cannot be read", "kind", ref.Kind, "entry", mail.Printable(ref.Name(), 2*mail.AddressShown), "err", err)
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("roster: reading the entries: %w", err)
	}
	r.publish(s)
	return nil
}

// publish makes s current. The caller holds load.
func (r *Roster) publish(s *State) {
	if before := r.current.Swap(s); before == nil {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *Roster) storedRevision(ctx context.Context) (raw []byte, n uint64, err error) {
	raw, err = r.st.Get(ctx, []byte(keyRevision))
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, nil
	}
	if err == nil {
		n, err = codec.DecodeRevision(raw)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("roster: reading the revision: %w", err)
	}
	return raw, n, nil
}
