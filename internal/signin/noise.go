package signin

import (
	"sync"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
)

// factWindow is the time in which an account has Limits.Facts facts of its own.
const factWindow = time.Hour

// noise counts the facts of each account that accompany no message: sign-ins, refusals,
// ends of connections. Each of them is evidence and stays on the disk for long, so that
// a stolen password could fill it without sending anything.
type noise struct {
	mu    sync.Mutex
	rate  screen.Rate
	by    map[string]screen.Bucket // by the account's key; without those that are full
	swept time.Time
}

func newNoise(facts int) *noise {
	return &noise{rate: screen.AtMost(facts, factWindow), by: map[string]screen.Bucket{}}
}

func (n *noise) adjust(facts int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rate = screen.AtMost(facts, factWindow)
}

// fits reports whether one more fact of the account is kept by itself.
func (n *noise) fits(account mail.Address, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := now.Sub(n.swept); d < 0 || d >= factWindow {
		n.swept = now
		for key, b := range n.by {
			if b.IsFull(now) {
				delete(n.by, key)
			}
		}
	}
	b, ok := n.by[account.Key()].Take(n.rate, now)
	n.by[account.Key()] = b
	return ok
}
