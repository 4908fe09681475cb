package store

import (
	"context"
	"errors"
)

// Share is the part of one room in a transaction that several rooms make together, so
// that all of it happens or nothing.
type Share struct {
	Preconditions []Precondition
	Mutations     []Mutation
	Facts         [][]byte
	// Done, where it is not nil, is told what became of the transaction: nil, or the error
	// of Apply. It is called once, also when the transaction was never applied, and its
	// own error goes to whoever asked for the transaction.
	Done func(err error) error
}

// Planner plans a room's share. It is asked again, after Done, when a precondition did
// not hold.
type Planner func(ctx context.Context) (Share, error)

// With returns the transaction with the shares of all planners. Whoever applies it calls
// done with the outcome. When a planner fails, the others have been told already.
func (tx Tx) With(ctx context.Context, planners ...Planner) (whole Tx, done func(err error) error, err error) {
	var told []func(error) error
	done = func(err error) error {
		var all []error
		for _, tell := range told {
			all = append(all, tell(err))
		}
		return errors.Join(all...)
	}
	for _, plan := range planners {
		s, err := plan(ctx)
		if err != nil {
			return Tx{}, nil, errors.Join(err, done(err))
		}
		tx.Preconditions = append(tx.Preconditions, s.Preconditions...)
		tx.Mutations = append(tx.Mutations, s.Mutations...)
		tx.Facts = append(tx.Facts, s.Facts...)
		if s.Done != nil {
			told = append(told, s.Done)
		}
	}
	return tx, done, nil
}
