package fsys

import "sync"

// Group lets many who want the same done at the same time share it: whoever asks while it is
// being done waits for the next time, which serves all that asked meanwhile. What began before
// the question never answers it, because what the question is about may not have been part of
// it. So syncs of a folder are shared by all deliveries into it.
type Group struct {
	do   func(name string) error
	mu   sync.Mutex
	runs map[string]*run // only names with one running
}

type run struct {
	next *batch // those who wait for the one after the running one; nil when nobody does
}

type batch struct {
	done chan struct{}
	err  error
}

// NewGroup shares do, by name.
func NewGroup(do func(name string) error) *Group {
	return &Group{do: do, runs: map[string]*run{}}
}

// Do returns when do has been called with the name since the call, and what it returned.
func (g *Group) Do(name string) error {
	g.mu.Lock()
	r, running := g.runs[name]
	if running {
		if r.next == nil {
			r.next = &batch{done: make(chan struct{})}
		}
		b := r.next
		g.mu.Unlock()
		<-b.done
		return b.err
	}
	r = &run{}
	g.runs[name] = r
	g.mu.Unlock()
	err := g.do(name)
	g.pass(name, r)
	return err
}

// Idle reports whether nothing is being done.
func (g *Group) Idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.runs) == 0
}

// pass starts the next for those who waited, or forgets the name. It runs in a goroutine of
// its own, so that whoever led this one is not held up by the others.
func (g *Group) pass(name string, r *run) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := r.next
	r.next = nil
	if b == nil {
		delete(g.runs, name)
		return
	}
	go func() {
		b.err = g.do(name)
		close(b.done)
		g.pass(name, r)
	}()
}
