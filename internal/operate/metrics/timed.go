package metrics

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/store"
)

// Timed returns st with its changes counted and timed. It can be copied where st can.
func (s *Set) Timed(st store.Store) store.Store { return timedStore{st, s} }

// timedStore counts and times changes of the store.
type timedStore struct {
	store.Store
	set *Set
}

// Apply implements store.Store.
func (s timedStore) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	began := time.Now()
	r, err := s.Store.Apply(ctx, tx, d)
	if ctx.Err() == nil {
		s.set.Commit(d, time.Since(began), err)
	}
	return r, err
}

// Checkpoint implements store.Checkpointer where the store below does.
func (s timedStore) Checkpoint(ctx context.Context, dir string) error {
	at, ok := s.Store.(store.Checkpointer)
	if !ok {
		return errors.New("this store cannot be copied")
	}
	return at.Checkpoint(ctx, dir)
}
