package trace

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

// Evidence of KindRetention, which Verify reads back.
const (
	evidenceBefore   = "facts before"
	evidenceUpBundle = "strangers' bundles up to"
)

func (l *Log) retainWhenDue(ctx context.Context, now time.Time) error {
	if now.Before(l.retainAt) {
		return nil
	}
	if err := l.Retain(ctx); err != nil {
		return err
	}
	l.retainAt = now.Add(l.bounds().RetainEvery)
	return nil
}

// Retain forgets the bodies of facts that are older or more than the limits
// admit, with their index. Hashes stay in the tree, and what was forgotten is a
// fact. While Verify runs it does nothing.
func (l *Log) Retain(ctx context.Context) error {
	if !l.retaining.TryLock() {
		return nil
	}
	defer l.retaining.Unlock()
	if err := l.retainFacts(ctx); err != nil {
		return err
	}
	return l.retainStrangers(ctx)
}

// retainFacts moves the oldest kept fact forward in batches. The index and the
// new mark commit first; the bodies go afterwards, and are asked for again at
// the next look, should that fail.
func (l *Log) retainFacts(ctx context.Context) error {
	for {
		n, err := l.forgetFacts(ctx)
		if err != nil {
			return err
		}
		if before := l.at.Load().Oldest; before > 1 {
			if err := l.st.DeleteFacts(ctx, before); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
	}
}

func (l *Log) forgetFacts(ctx context.Context) (n int, err error) {
	l.sequencing.Lock()
	defer l.sequencing.Unlock()
	if err := l.fresh(ctx); err != nil {
		return 0, err
	}
	to := *l.at.Load()
	now := l.o.Now()
	var tx store.Tx
	from := to.Oldest
	err = l.st.Facts(ctx, from, to.Next, func(seq uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		if err != nil {
			// It has no age: it goes with the next one that has.
			return true, nil
		}
		if to.Next-seq <= l.bounds().KeepFacts {
			switch age := l.o.Age(f.At); {
			case age <= 0 && f.At.After(now):
				// Nor has one of a time that the clock has never shown, as far as is known.
				return true, nil
			case age <= l.bounds().Keep:
				return false, nil
			}
		}
		forgetIndex(&tx, to.layout(), &f, index.Place{Seq: seq})
		to.Oldest = seq + 1
		return len(tx.Mutations) < fullBatch, nil
	})
	n = int(to.Oldest - from)
	if err != nil || n == 0 {
		return n, err
	}
	tx.Facts = fact.EncodeAll(fact.Forgotten{
		At: l.o.Now(), Rule: RuleRetention, Count: n, UpTo: fact.Pair{Name: evidenceBefore, Value: strconv.FormatUint(to.Oldest, 10)},
	}.Fact())
	return n, l.advance(ctx, tx, to, store.Lazy)
}

// retainStrangers forgets strangers' bodies, which have an age and a number of
// their own.
func (l *Log) retainStrangers(ctx context.Context) error {
	for {
		n, err := l.forgetStrangers(ctx)
		if err != nil || n == 0 {
			return err
		}
	}
}

func (l *Log) forgetStrangers(ctx context.Context) (n int, err error) {
	l.sequencing.Lock()
	defer l.sequencing.Unlock()
	if err := l.fresh(ctx); err != nil {
		return 0, err
	}
	to := *l.at.Load()
	var tx store.Tx
	var at index.Place // of the bundle that is being forgotten
	err = l.st.Scan(ctx, store.Prefix([]byte(index.BodyPrefix)), func(key, raw []byte) (bool, error) {
		bundle, part, ok := index.ParseBodyKey(key)
		if !ok {
			return true, nil
		}
		if bundle != at.Bundle {
			// Only whole bundles are forgotten: half of one would look altered.
			few := to.Bodies-int64(n) <= l.bounds().StrangersFacts
			if few && l.o.Age(bundle.Time()) <= l.bounds().StrangersKeep || len(tx.Mutations) >= fullBatch {
				return false, nil
			}
			seq, err := l.bundleSeq(ctx, bundle)
			if err != nil {
				return false, err
			}
			at = index.Place{Seq: seq, Bundle: bundle}
			tx.Mutations = append(tx.Mutations, store.Mutation{Key: bundleKey(bundle), Delete: true})
		}
		if f, err := fact.Decode(raw); err == nil {
			at.Part = part
			forgetIndex(&tx, to.layout(), &f, at)
		}
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: bytes.Clone(key), Delete: true})
		n++
		return true, nil
	})
	if err != nil || n == 0 {
		return n, err
	}
	to.Bodies = max(0, to.Bodies-int64(n))
	tx.Facts = fact.EncodeAll(fact.Forgotten{
		At: l.o.Now(), Rule: RuleRetention, Count: n, UpTo: fact.Pair{Name: evidenceUpBundle, Value: at.Bundle.String()},
	}.Fact())
	return n, l.advance(ctx, tx, to, store.Lazy)
}

// bundleSeq returns the number of the fact that stands for a bundle; zero when
// the sequencer has not come to it, and has indexed nothing of it.
func (l *Log) bundleSeq(ctx context.Context, bundle mail.ID) (uint64, error) {
	raw, err := l.st.Get(ctx, bundleKey(bundle))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err == nil && len(raw) != index.SeqOctets {
		err = fmt.Errorf("trace: the number of the bundle %s does not read", bundle)
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(raw), nil
}

func forgetIndex(tx *store.Tx, in index.Layout, f *fact.Fact, p index.Place) {
	for _, t := range index.AppendTerms(nil, f) {
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: in.AppendKey(nil, t, p), Delete: true})
	}
}

// forgotten is what retention facts say was removed.
type forgotten struct {
	before uint64  // facts
	bundle mail.ID // strangers' bundles up to and with this one
}

// note takes in one retention fact.
func (g *forgotten) note(e fact.Forgotten) error {
	switch e.UpTo.Name {
	case evidenceBefore:
		n, err := strconv.ParseUint(e.UpTo.Value, 10, 64)
		if err != nil {
			return fmt.Errorf("trace: a retention fact names no number: %w", err)
		}
		g.before = max(g.before, n)
	case evidenceUpBundle:
		id, err := mail.ParseID(e.UpTo.Value)
		if err != nil {
			return err
		}
		if bytes.Compare(id.Bytes(), g.bundle.Bytes()) > 0 {
			g.bundle = id
		}
	}
	return nil
}
