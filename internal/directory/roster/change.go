package roster

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/kit/codec"
	"sallyport/internal/store"
)

// Edit is one change of the roster. Put adds entries, or replaces those of the same
// name; Remove comes first. The facts are committed with it.
type Edit struct {
	Put    []Entry
	Remove []Ref
	Facts  [][]byte
}

// Change is how a change is made.
type Change struct {
	// Plan gets the entries as they stand and says what to change. It may be called
	// again when another node was faster.
	Plan func(before *State) (Edit, error)
	// Check judges the entries as they would be; its error changes nothing.
	Check func(ctx context.Context, before, after *State) error
	// DryRun plans and checks, and changes nothing.
	DryRun bool
}

// Change carries out one change and returns the entries when it is durable and
// visible to State. Changes of one process follow one another. Errors: those of
// Plan and Check, ErrNoSuch for what is to be removed and does not exist, ErrFull,
// and those of the store.
func (r *Roster) Change(ctx context.Context, c Change) (*State, error) {
	select {
	case r.write <- struct{}{}:
		defer func() { <-r.write }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for range conflictTries {
		s, err := r.tryChange(ctx, c)
		if !errors.Is(err, store.ErrConflict) {
			return s, err
		}
		if err := r.refresh(ctx); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("roster: %w: it is being changed elsewhere all the time", store.ErrConflict)
}

func (r *Roster) tryChange(ctx context.Context, c Change) (*State, error) {
	tx, after, err := r.plan(ctx, c)
	if err != nil || c.DryRun || tx.Mutations == nil {
		return after, err
	}
	// Run, which the store wakes at once, would read all entries again, and what it read would not
	// be the State that Check judged.
	r.load.Lock()
	defer r.load.Unlock()
	if _, err := r.st.Apply(ctx, tx, store.Durable); err != nil {
		// It may be in doubt: Run takes it in when the store knows.
		return nil, fmt.Errorf("roster: changing it: %w", err)
	}
	r.adopt(after)
	return after, nil
}

// Planned is a change as a share in a transaction of several rooms; a DryRun plans,
// checks, and shares nothing.
func (r *Roster) Planned(c Change) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		// What another node changed since is why the share is planned again.
		if err := r.refresh(ctx); err != nil {
			return store.Share{}, err
		}
		tx, after, err := r.plan(ctx, c)
		if err != nil || c.DryRun || tx.Mutations == nil {
			return store.Share{}, err
		}
		r.load.Lock() // as in tryChange; whoever plans tells Done in any case
		return store.Share{Preconditions: tx.Preconditions, Mutations: tx.Mutations, Facts: tx.Facts, Done: func(err error) error {
			defer r.load.Unlock()
			if err == nil {
				r.adopt(after)
			}
			return nil
		}}, nil
	}
}

// plan returns the transaction of a change, without mutations if there is nothing to
// change, and the entries as they would be.
func (r *Roster) plan(ctx context.Context, c Change) (store.Tx, *State, error) {
	before := r.State()
	edit, err := c.Plan(before)
	if err != nil {
		return store.Tx{}, nil, err
	}
	for _, ref := range edit.Remove {
		if !before.Has(ref) {
			return store.Tx{}, nil, fmt.Errorf("%w: %s %s", ErrNoSuch, ref.Kind, ref.Name())
		}
	}
	after := before.with(edit, before.revision+1)
	if err := r.bounded(before, after); err != nil {
		return store.Tx{}, nil, err
	}
	if err := c.Check(ctx, before, after); err != nil {
		return store.Tx{}, nil, err
	}
	if len(edit.Put)+len(edit.Remove) == 0 {
		return store.Tx{}, after, nil
	}
	tx, err := transaction(before, after, edit)
	return tx, after, err
}

// adopt makes the entries current that a change has made. The caller holds load.
func (r *Roster) adopt(after *State) {
	// Run may have read it, or a later change of another node, already.
	if r.State().revision < after.revision {
		r.publish(after)
	}
}

func (r *Roster) bounded(before, after *State) error {
	for _, k := range kinds() {
		if n := after.count(k); n > r.o.Limits.of(k) && n > before.count(k) {
			return fmt.Errorf("%w: %d entries of the kind %s", ErrFull, r.o.Limits.of(k), k)
		}
	}
	return nil
}

// transaction is the edit as one act of the store, which holds only while nothing
// else changed.
func transaction(before, after *State, e Edit) (store.Tx, error) {
	guard := store.Precondition{Key: []byte(keyRevision), Value: codec.EncodeRevision(before.revision)}
	if before.revision == 0 {
		guard = store.Precondition{Key: []byte(keyRevision), Absent: true}
	}
	tx := store.Tx{
		Preconditions: []store.Precondition{guard},
		Mutations:     []store.Mutation{{Key: []byte(keyRevision), Value: codec.EncodeRevision(after.revision)}},
		Facts:         e.Facts,
		Bulk:          len(e.Put) > len(e.Remove),
	}
	for _, ref := range e.Remove {
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: ref.storeKey(), Delete: true})
	}
	for _, put := range e.Put {
		value, err := put.encode()
		if err != nil {
			return store.Tx{}, fmt.Errorf("roster: encoding an entry: %w", err)
		}
		// What could not be read again must never be written.
		if _, err := decodeEntry(put.Ref(), value); err != nil {
			return store.Tx{}, fmt.Errorf("roster: the entry %s %s would not be read again: %w", put.Ref().Kind, put.Ref().Name(), err)
		}
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: put.Ref().storeKey(), Value: value})
	}
	return tx, nil
}
