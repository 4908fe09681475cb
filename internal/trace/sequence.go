package trace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/fact"
	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

// fullBatch ends a batch early: with the terms of one more fact, or of one more
// bundle, it must still fit into a transaction of the store.
const fullBatch = store.MaxTxParts / 2

// leastTick is the shortest wait of the sequencer for facts that are due.
const leastTick = time.Millisecond

// usualTerms is how many index entries a fact commonly has.
const usualTerms = 5

// Run is the one sequencer: it takes committed facts in their order into tree
// and index, signs checkpoints, writes out strangers' facts, and forgets what is
// too old, until ctx is done. It then finishes what is left. Errors of the store
// are logged and tried again; only a closed or broken store ends it.
func (l *Log) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer l.running.Store(false)
	watch := l.st.WatchFacts()
	defer watch.Close()
	stop := l.startObserver()
	defer stop()
	for ctx.Err() == nil {
		wait, err := l.round(ctx)
		if err != nil && ctx.Err() == nil {
			if errors.Is(err, store.ErrClosed) || errors.Is(err, ErrBroken) {
				return err
			}
			l.o.Logger.ErrorContext(ctx, "the trace cannot write", "err", err)
			l.sleep(ctx, nil, l.bounds().RetryEvery)
			continue
		}
		if l.sleep(ctx, watch.C, wait) {
			l.sleep(ctx, nil, l.bounds().BatchDelay)
		}
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.bounds().Finish)
	defer cancel()
	return l.Sync(finish)
}

// Sync writes out strangers' facts, takes everything into the tree, and signs and
// exports a checkpoint: all that happened before is durable when it returns nil.
func (l *Log) Sync(ctx context.Context) error {
	if err := l.Flush(ctx); err != nil {
		return err
	}
	if err := l.catchUp(ctx); err != nil {
		return err
	}
	return l.checkpoint(ctx)
}

// round does what is due and returns after what time something else will be.
func (l *Log) round(ctx context.Context) (time.Duration, error) {
	now := l.o.Now()
	if due, ok := l.strangers.due(); ok && !now.Before(due) {
		if err := l.Flush(ctx); err != nil {
			return 0, err
		}
	}
	if err := l.catchUp(ctx); err != nil {
		return 0, err
	}
	if l.checkpointDue(now) {
		if err := l.checkpoint(ctx); err != nil {
			return 0, err
		}
	}
	if err := l.retainWhenDue(ctx, now); err != nil {
		return 0, err
	}
	wait := l.bounds().CheckpointEvery
	if due, ok := l.strangers.due(); ok {
		wait = min(wait, max(due.Sub(now), leastTick))
	}
	return wait, nil
}

// sleep waits and reports whether a fact woke it.
func (l *Log) sleep(ctx context.Context, facts <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-facts:
		return true
	case <-l.strangers.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// catchUp takes all committed facts into tree and index.
func (l *Log) catchUp(ctx context.Context) error {
	for {
		more, err := l.step(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// step takes one batch and reports whether facts are left.
func (l *Log) step(ctx context.Context) (more bool, err error) {
	l.sequencing.Lock()
	defer l.sequencing.Unlock()
	if err := l.fresh(ctx); err != nil {
		return false, err
	}
	head, from := l.st.FactHead(), *l.at.Load()
	if from.Next > head {
		return false, nil
	}
	before := min(head+1, from.Next+uint64(l.bounds().BatchFacts))
	b := batch{log: l, tree: l.tree.clone(), to: from}
	b.tx.Mutations = make([]store.Mutation, 0, min(usualTerms*int(before-from.Next), fullBatch)+1)
	if err := b.read(ctx, before); err != nil {
		return false, err
	}
	if b.to.Next == from.Next {
		return false, fmt.Errorf("%w: fact %d is missing before it was sequenced", ErrBroken, from.Next)
	}
	if len(b.tree.tail) > 0 {
		b.tx.Mutations = append(b.tx.Mutations, chunkMutation(b.tree.count/hashesPerChunk, b.tree.tail))
	}
	if err := l.advance(ctx, b.tx, b.to, store.Lazy); err != nil {
		return false, err
	}
	l.tree = b.tree
	b.show()
	return b.to.Next <= head, nil
}

// batch is what one step will commit.
type batch struct {
	log   *Log
	tree  tree
	to    progress
	tx    store.Tx
	facts []fact.Fact
	terms []index.Term
	arena []byte
}

// read takes facts up to before, or until the batch is full.
func (b *batch) read(ctx context.Context, before uint64) error {
	for b.to.Next < before {
		bundle := -1
		err := b.log.st.Facts(ctx, b.to.Next, before, func(seq uint64, raw []byte) (bool, error) {
			if err := b.add(seq, raw); err != nil {
				return false, err
			}
			if n := len(b.facts) - 1; b.facts[n].Kind == fact.KindRefusals {
				bundle = n
			}
			return bundle < 0 && len(b.tx.Mutations) < fullBatch, nil
		})
		if err != nil {
			return err
		}
		if bundle >= 0 {
			if err := b.addBundle(ctx, b.to.Next-1, b.facts[bundle]); err != nil {
				return err
			}
		}
		if bundle < 0 || len(b.tx.Mutations) >= fullBatch {
			return nil
		}
	}
	return nil
}

// add takes one fact. A fact that does not decode is in the tree all the same,
// so that nobody can hide one by writing it badly.
func (b *batch) add(seq uint64, raw []byte) error {
	if seq != b.to.Next {
		return fmt.Errorf("%w: fact %d follows fact %d", ErrBroken, seq, b.to.Next-1)
	}
	err := b.tree.add(tlog.RecordHash(raw), func(chunk int64, hashes []tlog.Hash) {
		b.tx.Mutations = append(b.tx.Mutations, chunkMutation(chunk, hashes))
	})
	if err != nil {
		return err
	}
	b.to.Next++
	f, err := fact.Decode(raw)
	if err != nil {
		b.log.o.Logger.Warn("a fact does not decode", "seq", seq, "err", err)
		f = fact.Fact{}
	}
	b.facts = append(b.facts, f)
	b.index(&f, index.Place{Seq: seq})
	return nil
}

// addBundle indexes the bodies of a bundle of strangers' facts.
func (b *batch) addBundle(ctx context.Context, seq uint64, stub fact.Fact) error {
	if stub.Bundle.IsZero() {
		return nil
	}
	b.tx.Mutations = append(b.tx.Mutations, store.Mutation{Key: bundleKey(stub.Bundle), Value: seqValue(seq)})
	return index.ScanBundle(ctx, b.log.st, stub.Bundle, func(part uint16, raw []byte) error {
		f, err := fact.Decode(raw)
		if err != nil {
			b.log.o.Logger.Warn("a stranger's fact does not decode", "seq", seq, "part", part, "err", err)
			return nil
		}
		b.to.Bodies++
		b.facts = append(b.facts, f)
		b.index(&f, index.Place{Seq: seq, Bundle: stub.Bundle, Part: part})
		return nil
	})
}

// Keys of the index are made in blocks of arenaOctets, and a new one is begun when less than mostKey is left, which no key needs.
const (
	mostKey     = 64
	arenaOctets = 16 << 10
)

func (b *batch) index(f *fact.Fact, p index.Place) {
	b.terms = index.AppendTerms(b.terms[:0], f)
	in := b.to.layout()
	var value []byte
	if p.InBundle() {
		value = p.Bundle.Bytes()
	}
	for _, t := range b.terms {
		// Keys of one batch share blocks of memory; each block is only appended
		// to, since the store keeps the keys.
		if cap(b.arena)-len(b.arena) < mostKey {
			b.arena = make([]byte, 0, arenaOctets)
		}
		start := len(b.arena)
		b.arena = in.AppendKey(b.arena, t, p)
		b.tx.Mutations = append(b.tx.Mutations, store.Mutation{Key: b.arena[start:len(b.arena):len(b.arena)], Value: value})
	}
}

// show hands the facts to Observe without waiting for it. The fact that stands
// for a bundle is left out: the bundle's own facts say more.
func (b *batch) show() {
	l := b.log
	if l.o.Observe == nil || !l.running.Load() {
		return
	}
	for _, f := range b.facts {
		if f.Kind == "" || f.Kind == fact.KindRefusals {
			continue
		}
		select {
		case l.observed <- f:
		default:
			l.skipped.Add(1)
		}
	}
}

// startObserver calls Observe from a goroutine of its own, until the returned
// function was called and what waited has been shown.
func (l *Log) startObserver() (stop func()) {
	if l.o.Observe == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case f := <-l.observed:
				l.o.Observe(f)
			case <-quit:
				l.drainObserved()
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

func (l *Log) drainObserved() {
	for {
		select {
		case f := <-l.observed:
			l.o.Observe(f)
		default:
			if n := l.skipped.Load(); n > 0 {
				l.o.Logger.Warn("facts were not shown because the observer was slow", "facts", n)
			}
			return
		}
	}
}
