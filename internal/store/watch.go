package store

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// Watch wakes its owner after changes. Wakings coalesce: one may stand for many
// changes, and one may come without a change, so that the owner must look.
type Watch struct {
	// C receives after a change. It has room for one waking, which is never lost,
	// and is never closed.
	C <-chan struct{}

	wake   chan struct{}
	prefix []byte
	facts  bool
	owner  *Watchers
}

// Close ends the watching. It may be called more than once.
func (w *Watch) Close() { w.owner.remove(w) }

func (w *Watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Watchers is the set of a store's watches, for its driver to keep. The zero
// value is empty and ready.
type Watchers struct {
	mu  sync.RWMutex
	set map[*Watch]struct{}
}

// Keys adds a watch on the keys with a prefix.
func (ws *Watchers) Keys(prefix []byte) *Watch {
	return ws.add(&Watch{prefix: bytes.Clone(prefix)})
}

// Facts adds a watch on facts.
func (ws *Watchers) Facts() *Watch { return ws.add(&Watch{facts: true}) }

// Committed wakes the watches that tx concerns.
func (ws *Watchers) Committed(tx Tx) {
	ws.mu.RLock()
	defer ws.mu.RUnlock()
	for w := range ws.set {
		if w.concerns(tx) {
			w.signal()
		}
	}
}

// WakeAll wakes every watch.
func (ws *Watchers) WakeAll() {
	ws.mu.RLock()
	defer ws.mu.RUnlock()
	for w := range ws.set {
		w.signal()
	}
}

func (ws *Watchers) add(w *Watch) *Watch {
	w.wake = make(chan struct{}, 1)
	w.C, w.owner = w.wake, ws
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.set == nil {
		ws.set = map[*Watch]struct{}{}
	}
	ws.set[w] = struct{}{}
	return w
}

func (ws *Watchers) remove(w *Watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.set, w)
}

func (w *Watch) concerns(tx Tx) bool {
	if w.facts {
		return len(tx.Facts) > 0
	}
	for _, m := range tx.Mutations {
		if bytes.HasPrefix(m.Key, w.prefix) {
			return true
		}
	}
	return false
}

// followRetry is how long Follow waits after what it follows could not be read.
const followRetry = 5 * time.Second

// Follow calls read, and again after each change of a key that begins with prefix, until ctx is done: for who mirrors
// what others write, too. What read returns is told to failed, unless ctx is done, and it is read again a little later.
func Follow(ctx context.Context, st Store, prefix []byte, read func(context.Context) error, failed func(error)) error {
	w := st.Watch(prefix)
	defer w.Close()
	for {
		var retry <-chan time.Time
		if err := read(ctx); err != nil && ctx.Err() == nil {
			failed(err)
			retry = time.After(followRetry)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.C:
		case <-retry:
		}
	}
}
