package pebble

import (
	"bytes"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// tail is what was applied and is not yet known to be synced, in order. When the
// database fails, it is applied again to the next one.
type tail struct {
	mu      sync.Mutex
	last    head // of the last commit applied
	commits []tailCommit
	octets  int
}

type tailCommit struct {
	head head
	repr []byte // the commit as Pebble writes it
	at   time.Time
	// batch is that of a lazy commit when it was applied: its memory is used again once it is
	// synced. Who waits for a durable one does that himself.
	batch *pebble.Batch
}

// next numbers a commit with n facts.
func (t *tail) next(n int) head {
	t.mu.Lock()
	defer t.mu.Unlock()
	return head{rev: t.last.rev + 1, fact: t.last.fact + uint64(n)}
}

// push adds the next commit and returns how much is unsynced with it. It must
// come before the commit is applied, so that none is forgotten.
func (t *tail) push(h head, repr []byte) (octets int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = h
	t.commits = append(t.commits, tailCommit{head: h, repr: repr, at: time.Now()})
	t.octets += len(repr)
	return t.octets
}

// applied hands over the batch of a lazy commit that the database has taken, and does not read any more.
func (t *tail) applied(rev uint64, b *pebble.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.commits); n > 0 && t.commits[n-1].head.rev == rev {
		t.commits[n-1].batch = b
	}
}

// synced drops everything up to a revision.
func (t *tail) synced(rev uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.commits) && t.commits[n].head.rev <= rev {
		t.octets -= len(t.commits[n].repr)
		if b := t.commits[n].batch; b != nil {
			_ = b.Close()
		}
		t.commits[n] = tailCommit{}
		n++
	}
	if n == len(t.commits) {
		t.commits = t.commits[:0]
		return
	}
	t.commits = t.commits[n:]
}

// revision returns that of the last commit applied.
func (t *tail) revision() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last.rev
}

// oldest returns when the first unsynced commit was applied.
func (t *tail) oldest() (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.commits) == 0 {
		return time.Time{}, false
	}
	return t.commits[0].at, true
}

// after returns copies of the commits after a revision.
func (t *tail) after(rev uint64) []tailCommit {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []tailCommit
	for _, c := range t.commits {
		if c.head.rev > rev {
			out = append(out, tailCommit{head: c.head, repr: bytes.Clone(c.repr)})
		}
	}
	return out
}

// start begins at what was found on disk.
func (t *tail) start(h head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = h
}
