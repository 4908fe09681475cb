// Package mem keeps a store in memory: for tests, and for commands that
// need a store and no disk.
//
// It keeps every promise of package store but durability: a Durable commit is
// only as durable as the process.
package mem

import (
	"bytes"
	"context"
	"sync"

	"sallyport/internal/store"
)

// New returns an empty store.
func New() store.Store {
	return &memStore{blobs: blobs{files: map[string][]byte{}}}
}

type memStore struct {
	watchers store.Watchers
	blobs    blobs

	mu     sync.RWMutex
	root   *node
	facts  [][]byte // facts[i] has sequence number first+i
	first  uint64
	head   uint64
	rev    store.Revision
	closed bool
}

// Apply implements store.Store.
func (s *memStore) Apply(ctx context.Context, tx store.Tx, _ store.Durability) (store.Revision, error) {
	if err := tx.Check(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	rev, err := s.commit(tx)
	if err == nil {
		s.watchers.Committed(tx)
	}
	return rev, err
}

func (s *memStore) commit(tx store.Tx) (store.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	for _, p := range tx.Preconditions {
		n := s.root.find(p.Key)
		if p.Absent != (n == nil) || n != nil && !bytes.Equal(n.value, p.Value) {
			return 0, store.ErrConflict
		}
	}
	for _, m := range tx.Mutations {
		s.root = s.root.remove(m.Key)
		if !m.Delete {
			s.root = s.root.insert(newNode(m.Key, m.Value))
		}
	}
	for _, f := range tx.Facts {
		if len(s.facts) == 0 {
			s.first = s.head + 1
		}
		s.head++
		s.facts = append(s.facts, bytes.Clone(f))
	}
	s.rev++
	return s.rev, nil
}

// Get implements store.Store.
func (s *memStore) Get(ctx context.Context, key []byte) ([]byte, error) {
	root, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	n := root.find(key)
	if n == nil {
		return nil, store.ErrNotFound
	}
	return append([]byte{}, n.value...), nil
}

// Scan implements store.Store.
func (s *memStore) Scan(ctx context.Context, r store.Range, fn func(key, value []byte) (bool, error)) error {
	root, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	r = r.UserRange()
	left := r.Limit
	root.walk(r, func(n *node) bool {
		var more bool
		if err = ctx.Err(); err != nil {
			return false
		}
		more, err = fn(n.key, n.value)
		left--
		return more && err == nil && left != 0
	})
	return err
}

func (s *memStore) snapshot(ctx context.Context) (*node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	return s.root, nil
}

// Facts implements store.Store.
func (s *memStore) Facts(ctx context.Context, from, to uint64, fn func(seq uint64, fact []byte) (bool, error)) error {
	s.mu.RLock()
	facts, seq, closed := s.facts, s.first, s.closed
	s.mu.RUnlock()
	if closed {
		return store.ErrClosed
	}
	for _, f := range facts {
		if seq >= to {
			break
		}
		if seq >= from {
			if err := ctx.Err(); err != nil {
				return err
			}
			if more, err := fn(seq, f); err != nil || !more {
				return err
			}
		}
		seq++
	}
	return ctx.Err()
}

// FactHead implements store.Store.
func (s *memStore) FactHead() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.head
}

// DeleteFacts implements store.Store.
func (s *memStore) DeleteFacts(ctx context.Context, before uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if before <= s.first {
		return nil
	}
	n := min(before-s.first, uint64(len(s.facts)))
	s.facts = append([][]byte(nil), s.facts[n:]...)
	s.first += n
	s.rev++
	return nil
}

// Watch implements store.Store.
func (s *memStore) Watch(prefix []byte) *store.Watch { return s.watchers.Keys(prefix) }

// WatchFacts implements store.Store.
func (s *memStore) WatchFacts() *store.Watch { return s.watchers.Facts() }

// Blobs implements store.Store.
func (s *memStore) Blobs() store.Blobs { return &s.blobs }

// Close implements store.Store.
func (s *memStore) Close() error {
	s.blobs.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.closed = true
	return nil
}
