package query

import (
	"context"
	"errors"
	"log/slog"

	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

// Limits are the bounds of one query. Start from DefaultLimits.
type Limits struct {
	// Hits is how many hits of a term one query follows.
	Hits int
	// Scanned is how many index entries one term of a query reads.
	Scanned int
	// Story is how many facts one message or session contributes to an answer.
	Story int
	// Tail is how many facts that are not indexed yet a query reads.
	Tail int
	// Entries is how many entries one answer has.
	Entries int
}

// DefaultLimits are right for a server of any size.
func DefaultLimits() Limits {
	return Limits{Hits: 1000, Scanned: 100_000, Story: 200, Tail: 20_000, Entries: 500}
}

func (l Limits) check() error {
	for _, n := range []int{l.Hits, l.Scanned, l.Story, l.Tail, l.Entries} {
		if n <= 0 {
			return errors.New("query: every limit must be positive; begin with DefaultLimits")
		}
	}
	return nil
}

// Source is what a reader must know of the log that keeps the facts.
type Source interface {
	// Next is the first fact that is not in the index yet.
	Next() uint64
	// Oldest is the first fact whose body is kept.
	Oldest() uint64
	// Layout says where in the index facts are filed.
	Layout() index.Layout
	// Flush writes what strangers did in the last seconds.
	Flush(ctx context.Context) error
}

// ReaderOptions of a Reader. All are needed.
type Options struct {
	Store  store.Store
	Log    Source
	Limits Limits
	Logger *slog.Logger
}

// Reader answers questions about the facts in a store. Its methods may be called
// concurrently.
type Reader struct {
	st store.Store
	o  Options
}

// NewReader makes a reader of the facts that a log keeps; options that cannot work are an error.
func New(o Options) (*Reader, error) {
	if o.Store == nil || o.Log == nil || o.Logger == nil {
		return nil, errors.New("query: a store, the log in it and a logger are needed")
	}
	if err := o.Limits.check(); err != nil {
		return nil, err
	}
	return &Reader{st: o.Store, o: o}, nil
}

func (r *Reader) bounds() Limits { return r.o.Limits }
