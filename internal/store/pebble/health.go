package pebble

import "sync"

// health says whether commits can be expected to end soon. While there is
// trouble, nobody waits for one.
type health struct {
	mu      sync.Mutex
	stalls  int           // writes that wait for space
	failed  bool          // no database is open that can be written to
	trouble chan struct{} // closed while there is trouble
}

func newHealth() *health { return &health{trouble: make(chan struct{})} }

// watch returns a channel that is closed while there is trouble, or when some
// comes.
func (h *health) watch() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.trouble
}

func (h *health) stalled(by int) {
	h.change(func() { h.stalls += by })
}

func (h *health) setFailed(failed bool) {
	h.change(func() { h.failed = failed })
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
