package mailbox

import (
	"context"
	"sync"
)

// turns are those that are at work for one account, and how many wait for it.
type turns struct {
	mu      sync.Mutex
	busy    int
	waiting []chan struct{} // the first that came in front; closed when its turn comes
}

// Turn waits until it is this reader's turn to have messages read and looked through; end ends it.
// Whoever holds one waits for no client meanwhile. The error is that of ctx.
func (u *User) Turn(ctx context.Context) (end func(), err error) {
	t, most := &u.turns, u.root.bounds().AtWork
	t.mu.Lock()
	if t.busy < most {
		t.busy++
		t.mu.Unlock()
		return t.end, nil
	}
	mine := make(chan struct{})
	t.waiting = append(t.waiting, mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return t.end, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-mine: // it came all the same
		t.pass()
	default:
		for i, w := range t.waiting {
			if w == mine {
				t.waiting = append(t.waiting[:i], t.waiting[i+1:]...)
				break
			}
		}
	}
	return nil, ctx.Err()
}

func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass()
}

// pass hands a turn to who has waited for longest. The lock is held.
func (t *turns) pass() {
	if len(t.waiting) == 0 {
		t.busy--
		return
	}
	close(t.waiting[0])
	t.waiting = t.waiting[1:]
}
