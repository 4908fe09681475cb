package pebble

import (
	"sync"
	"time"

	"sallyport/internal/store"
)

// health says whether commits can be expected to end soon, and if not, why. While there is
// trouble, nobody waits for one.
type health struct {
	mu      sync.Mutex
	stalls  int           // writes that wait for space
	failed  bool          // no database is open that can be written to
	trouble chan struct{} // closed while there is trouble
	why     store.Trouble // while there is trouble
}

func newHealth() *health { return &health{trouble: make(chan struct{})} }

// watch returns a channel that is closed while there is trouble, or when some
// comes.
func (h *health) watch() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.trouble
}

// stalled notes that a write begins to wait for space, for what the disk answered.
func (h *health) stalled(cause error) {
	h.change(func() {
		h.blame(cause)
		h.stalls++
	})
}

// unstalled notes that it waits no more.
func (h *health) unstalled() { h.change(func() { h.stalls-- }) }

// fail notes that the database failed, and why.
func (h *health) fail(cause error) {
	h.change(func() {
		if !h.failed && h.stalls > 0 {
			h.why.Cause = cause.Error() // that there was no space is the lesser trouble
		}
		h.blame(cause)
		h.failed = true
	})
}

// tried notes that the database could not be opened anew, and when that is tried next.
func (h *health) tried(fault error, next time.Time) {
	h.change(func() {
		h.why.Tries++
		h.why.Last, h.why.Next = fault.Error(), next
	})
}

// recovered notes that a database is open that can be written to.
func (h *health) recovered() {
	h.change(func() { h.failed = false })
}

// blame notes since when there is trouble, and why, if there was none. The caller has the lock.
func (h *health) blame(cause error) {
	if h.stalls == 0 && !h.failed {
		h.why = store.Trouble{Since: time.Now(), Cause: cause.Error()}
	}
}

func (h *health) change(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.stalls > 0 || h.failed
	fn()
	switch after := h.stalls > 0 || h.failed; {
	case after && !before:
		close(h.trouble)
	case before && !after:
		h.trouble = make(chan struct{})
	}
}

func (h *health) troubled() bool {
	select {
	case <-h.watch():
		return true
	default:
		return false
	}
}

// report says why there is trouble; false: there is none.
func (h *health) report() (store.Trouble, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.why
	t.Full = !h.failed
	return t, h.stalls > 0 || h.failed
}

// Trouble implements store.Ailing.
func (s *pebbleStore) Trouble() (store.Trouble, bool) { return s.health.report() }
