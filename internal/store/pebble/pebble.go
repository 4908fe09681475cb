package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"sallyport/internal/kit/diskspace"
	"sallyport/internal/store"
)

type pebbleStore struct {
	opts     Options
	cache    *pebble.Cache
	lock     io.Closer
	health   *health
	space    *diskspace.Space
	blobs    *blobs
	rot      rot
	watchers store.Watchers
	tail     tail
	visible  atomic.Uint64 // number of the last fact that readers see

	quit chan struct{} // closed by Close
	done chan struct{} // closed when supervise has ended

	scrubbed chan struct{} // closed when scrub has ended

	mu     sync.RWMutex
	gen    *generation // nil while the next one is opened
	closed bool
}

// Open opens the store in o.Dir, or makes one there. A folder belongs to one
// process at a time: a second Open fails.
func Open(o Options) (store.Store, error) {
	o = o.withDefaults()
	if o.Dir == "" {
		return nil, errors.New("pebble: no folder given")
	}
	s := &pebbleStore{opts: o, health: newHealth(), quit: make(chan struct{}), done: make(chan struct{})}
	if s.space = o.Space; s.space == nil {
		s.space = diskspace.New(Disk(o.FS), o.Dir, o.MinFree)
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("pebble: %s: %w", o.Dir, err)
	}
	s.scrubbed = make(chan struct{})
	go s.supervise()
	go s.scrub()
	return s, nil
}

func (s *pebbleStore) open() (err error) {
	if err := makeDir(s.opts.FS, s.opts.Dir); err != nil {
		return err
	}
	if s.lock, err = s.opts.FS.Lock(s.opts.FS.PathJoin(s.opts.Dir, lockFile)); err != nil {
		return fmt.Errorf("the folder is in use: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if s.blobs, err = openBlobs(s.opts.FS, s.opts.FS.PathJoin(s.opts.Dir, blobDir), s.space); err != nil {
		return err
	}
	s.cache = pebble.NewCache(s.opts.cacheSize())
	g, err := s.openGeneration()
	if err != nil {
		s.cache.Unref()
		return err
	}
	h, err := g.head()
	if err != nil {
		err = errors.Join(err, g.close())
		s.cache.Unref()
		return err
	}
	s.health.recovered() // an opening may have met damage before this one
	s.tail.start(h)
	s.visible.Store(h.fact)
	s.gen = g
	return nil
}

// enter returns the open database for use until its leave.
func (s *pebbleStore) enter() (*generation, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.closed:
		return nil, store.ErrClosed
	case s.gen == nil || !s.gen.enter():
		return nil, fmt.Errorf("%w: the database is being recovered", store.ErrUnavailable)
	}
	return s.gen, nil
}

// Get implements store.Store.
func (s *pebbleStore) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(key) == 0 || key[0] == store.ReservedPrefix {
		return nil, store.ErrNotFound
	}
	for tries := 0; ; tries++ {
		v, g, err := s.get(key)
		if !s.again(ctx, tries, g, err) {
			return v, err
		}
	}
}

func (s *pebbleStore) get(key []byte) (v []byte, g *generation, err error) {
	if g, err = s.enter(); err != nil {
		return nil, nil, err
	}
	defer g.leave()
	defer s.surviving(g, &err)
	v, closer, err := g.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, g, store.ErrNotFound
	}
	if err != nil {
		return nil, g, readError(err)
	}
	v = append([]byte{}, v...)
	// A large value lies in a file of its own, and where that cannot be read Pebble
	// returns an empty value, and its error only here.
	if err := closer.Close(); err != nil {
		return nil, g, readError(err)
	}
	return v, g, nil
}

// Scan implements store.Store.
func (s *pebbleStore) Scan(ctx context.Context, r store.Range, fn func(key, value []byte) (bool, error)) error {
	r = r.UserRange()
	return s.iterate(ctx, r, func(it *pebble.Iterator) (bool, error) {
		v, err := it.ValueAndErr()
		if err != nil {
			return false, readError(err)
		}
		return fn(it.Key(), v)
	})
}

// iterate calls fn at each key of r. Where it meets damage, it goes on once that is mended, unless something
// was committed since: then it would show two states as one.
func (s *pebbleStore) iterate(ctx context.Context, r store.Range, fn func(*pebble.Iterator) (bool, error)) (err error) {
	for tries := 0; ; tries++ {
		rev := s.tail.revision()
		var last []byte
		n := 0
		g, err := s.walk(ctx, r, func(it *pebble.Iterator) (bool, error) {
			more, err := fn(it)
			last = append(last[:0], it.Key()...)
			n++
			return more && n != r.Limit, err
		})
		if !s.again(ctx, tries, g, err) || s.tail.revision() != rev {
			return err
		}
		if n > 0 && r.Reverse {
			r.To = last
		} else if n > 0 {
			r.From = append(last, 0)
		}
		if r.Limit > 0 {
			r.Limit -= n
		}
	}
}

// walk calls fn at each key of r until it wants no more.
func (s *pebbleStore) walk(ctx context.Context, r store.Range, fn func(*pebble.Iterator) (bool, error)) (g *generation, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if g, err = s.enter(); err != nil {
		return nil, err
	}
	defer g.leave()
	defer s.surviving(g, &err)
	it, err := g.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: r.From, UpperBound: r.To})
	if err != nil {
		return g, readError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = readError(cerr)
		}
	}()
	first, next := it.First, it.Next
	if r.Reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		if err := ctx.Err(); err != nil {
			return g, err
		}
		if more, err := fn(it); err != nil || !more {
			return g, err
		}
	}
	return g, nil
}

// Facts implements store.Store.
func (s *pebbleStore) Facts(ctx context.Context, from, to uint64, fn func(seq uint64, fact []byte) (bool, error)) error {
	if to <= from {
		return ctx.Err()
	}
	r := store.Range{From: factKey(from), To: factKey(to)}
	return s.iterate(ctx, r, func(it *pebble.Iterator) (bool, error) {
		v, err := it.ValueAndErr()
		if err != nil {
			return false, readError(err)
		}
		return fn(factSeq(it.Key()), v)
	})
}

// FactHead implements store.Store.
func (s *pebbleStore) FactHead() uint64 { return s.visible.Load() }

// Watch implements store.Store.
func (s *pebbleStore) Watch(prefix []byte) *store.Watch { return s.watchers.Keys(prefix) }

// WatchFacts implements store.Store.
func (s *pebbleStore) WatchFacts() *store.Watch { return s.watchers.Facts() }

// Blobs implements store.Store.
func (s *pebbleStore) Blobs() store.Blobs { return s.blobs }

// readError names the cause of a read that failed; the disk may answer again.
func readError(err error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, err) }
