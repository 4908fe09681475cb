package accounts

import (
	"context"
	"errors"
	"sync"
)

// flights joins sign-ins that ask the same at the same time: one of them works,
// the others share its outcome. A client that opens many connections at once
// thus costs one hash and one guess.
type flights struct {
	mu  sync.Mutex
	now map[memoKey]*flight
}

type flight struct {
	done   chan struct{}
	result *record
	err    error
}

func newFlights() *flights { return &flights{now: map[memoKey]*flight{}} }

// do runs work, or waits for the one that runs already under k. When that one's
// own session ends early, another who waits takes its place.
func (f *flights) do(ctx context.Context, k memoKey, work func() (*record, error)) (*record, error) {
	for {
		mine, leads := f.join(k)
		if leads {
			mine.result, mine.err = work()
			f.land(k, mine)
			return mine.result, mine.err
		}
		select {
		case <-mine.done:
		case <-ctx.Done():
			return nil, cancelled(ctx)
		}
		if !errors.Is(mine.err, ErrCancelled) {
			return mine.result, mine.err
		}
	}
}

func (f *flights) join(k memoKey) (fl *flight, leads bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.now[k]; ok {
		return fl, false
	}
	fl = &flight{done: make(chan struct{})}
	f.now[k] = fl
	return fl, true
}

func (f *flights) land(k memoKey, fl *flight) {
	f.mu.Lock()
	delete(f.now, k)
	f.mu.Unlock()
	close(fl.done)
}
