package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"sallyport/internal/damage"
	"sallyport/internal/store"
)

// mostCuts bounds what is cut out of one table, and mostTold how many keys of it are named.
const (
	mostCuts = 1000
	mostTold = 20
)

// cutOut takes out of a database what nobody can read any more of tables that could not be put right, so that
// everything else can be read and sorted. Facts that are missing then get something in their place.
func (s *pebbleStore) cutOut(g *generation, m *mender, hit []string) error {
	if len(hit) == 0 && m.lost == 0 {
		return nil
	}
	// It is written with every commit, and so lies in many tables.
	h, headErr := g.head()
	for _, name := range hit {
		if err := s.cutTable(g, m, name); err != nil {
			return err
		}
		// As it is now it stays.
		if err := m.guardAnew(name); err != nil {
			return err
		}
	}
	if err := s.headAfter(g, h, headErr); err != nil {
		return err
	}
	return s.fillFacts(g)
}

// cutTable reads a table through, or everything that may refer to a file of values, and takes out what does not read.
func (s *pebbleStore) cutTable(g *generation, m *mender, name string) error {
	c := cutter{g: g, m: m, name: name}
	err := errors.Join(g.db.Flush(), g.guard.reason())
	if err != nil {
		return err
	}
	if isValues(name) {
		err = c.cutValues()
	} else {
		err = c.cutKeys()
	}
	if err != nil || c.cuts == 0 {
		return err
	}
	m.lost++
	f := damage.Found{Kind: damage.Table, File: m.db(name), What: "what of it nobody can read any more was taken out of the database"}
	f.Lost = fmt.Sprintf("in %d places: %s", c.cuts, strings.Join(c.told, "; "))
	if c.cuts > len(c.told) {
		f.Lost += "; and more"
	}
	s.note(f)
	return nil
}

// cutter takes out of a database what of one of its files does not read.
type cutter struct {
	g    *generation
	m    *mender
	name string

	cuts int
	told []string
}

func (c *cutter) tell(what string) {
	if c.cuts++; len(c.told) < mostTold {
		c.told = append(c.told, what)
	}
}

// cutValues deletes each key whose value is damaged. One that the disk does not give, of another file, is left: it may give it again.
func (c *cutter) cutValues() error {
	it, err := c.g.db.NewIter(nil)
	if err != nil {
		return err
	}
	var gone [][]byte
	for ok := it.First(); ok; ok = it.Next() {
		value := it.LazyValue() // an error of ValueAndErr would end the walk
		if _, _, err := value.Value(nil); isDamage(err) {
			gone = append(gone, bytes.Clone(it.Key()))
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil && len(gone) == 0 {
		return err
	}
	for _, key := range gone {
		if err := c.g.db.Delete(key, pebble.Sync); err != nil {
			return err
		}
		c.tell(fmt.Sprintf("the value of %q", key))
	}
	return nil
}

// span is a range of keys; to does not belong to it.
type span struct{ from, to []byte }

// spansOf returns what of the database lies in a table. A table of which a part was cut out before lies in several.
func spansOf(g *generation, name string) (spans []span, err error) {
	levels, err := g.db.SSTables()
	if err != nil {
		return nil, err
	}
	for _, level := range levels {
		for _, t := range level {
			if tableName(t) == name {
				spans = append(spans, span{t.Smallest.UserKey, append(bytes.Clone(t.Largest.UserKey), 0)})
			}
		}
	}
	return spans, nil
}

func tableName(t pebble.SSTableInfo) string {
	return fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum))
}

// cutKeys takes out each range of keys that does not read.
func (c *cutter) cutKeys() error {
	spans, err := spansOf(c.g, c.name)
	if err != nil {
		return err
	}
	t := c.m.openTable(c.name)
	defer t.close()
	for _, sp := range spans {
		for c.cuts < mostCuts {
			bad, found := t.firstBad(sp)
			if !found {
				break
			}
			if err := c.cut(bad); err != nil {
				return err
			}
			sp.from = bad.to
		}
	}
	return nil
}

// cut takes a range out of every table, and puts back what of it can be read elsewhere. The range begins with a key that
// reads: Pebble cannot bear that what lies before a range that it takes out does not, and would take that out too.
func (c *cutter) cut(bad span) error {
	kept, err := c.rescued(bad)
	if err != nil {
		return err
	}
	if err := c.g.db.Excise(context.Background(), pebble.KeyRange{Start: bad.from, End: bad.to}); err != nil {
		return err
	}
	if err := c.g.db.Apply(kept, pebble.Sync); err != nil {
		return err
	}
	c.tell(fmt.Sprintf("keys from %q up to %q", bad.from, bad.to))
	return nil
}

// mostRescued bounds the octets that are put back behind a cut.
const mostRescued = 64 << 20

// rescued collects what of a range can be read: what is newer than what does not read.
func (c *cutter) rescued(bad span) (*pebble.Batch, error) {
	kept := c.g.db.NewBatch()
	levels, err := c.g.db.SSTables()
	if err != nil {
		return nil, err
	}
	for _, level := range levels {
		for _, info := range level {
			if bytes.Compare(info.Largest.UserKey, bad.from) < 0 || bytes.Compare(info.Smallest.UserKey, bad.to) >= 0 {
				continue
			}
			t := c.m.openTable(tableName(info))
			t.keys(bad, func(key []byte) bool {
				v, closer, err := c.g.db.Get(key)
				if err != nil {
					return true
				}
				v = bytes.Clone(v)
				if closer.Close() == nil {
					_ = kept.Set(bytes.Clone(key), v, nil)
				}
				return kept.Len() < mostRescued
			})
			t.close()
		}
	}
	return kept, nil
}

// headAfter writes the head anew where it was cut out.
func (s *pebbleStore) headAfter(g *generation, before head, beforeErr error) error {
	h, err := g.head()
	if err != nil {
		return err
	}
	fact, err := g.lastFact()
	if err != nil {
		return err
	}
	want := h
	if beforeErr == nil {
		want.rev, want.fact = max(h.rev, before.rev), max(h.fact, before.fact)
	} else if h.rev == 0 {
		want.rev = 1<<40 + fact // more than there ever were
	}
	want.fact = max(want.fact, fact)
	if want == h {
		return nil
	}
	return g.db.Set(headKey(), want.encode(), pebble.Sync)
}

// lastFact returns the number of the last fact that is there.
func (g *generation) lastFact() (uint64, error) {
	it, err := g.db.NewIter(&pebble.IterOptions{LowerBound: factKey(0), UpperBound: store.PrefixEnd([]byte{store.ReservedPrefix, spaceFact})})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, it.Error()
	}
	return factSeq(it.Key()), nil
}

// mostFilled bounds how many facts are written in the place of lost ones at once.
const mostFilled = 10_000

// fillFacts writes something in the place of each fact that is missing between two others, or before the head.
func (s *pebbleStore) fillFacts(g *generation) error {
	if s.opts.LostFact == nil {
		return nil
	}
	h, err := g.head()
	if err != nil {
		return err
	}
	for {
		missing, err := g.missingFacts(h.fact)
		if err != nil || len(missing) == 0 {
			return err
		}
		b := g.db.NewBatch()
		for _, seq := range missing {
			if err := b.Set(factKey(seq), s.opts.LostFact(seq), nil); err != nil {
				return err
			}
		}
		if err := g.db.Apply(b, pebble.Sync); err != nil {
			return err
		}
		s.opts.Logger.Error("facts are lost", "seq", missing[0], "count", len(missing))
	}
}

// missingFacts returns the first numbers between the first fact and the last that no fact has.
func (g *generation) missingFacts(until uint64) (missing []uint64, err error) {
	it, err := g.db.NewIter(&pebble.IterOptions{LowerBound: factKey(0), UpperBound: factKey(until + 1)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	next := uint64(0)
	for ok := it.First(); ok && len(missing) < mostFilled; ok = it.Next() {
		seq := factSeq(it.Key())
		for ; next > 0 && next < seq && len(missing) < mostFilled; next++ {
			missing = append(missing, next)
		}
		next = seq + 1
	}
	for ; next > 0 && next <= until && len(missing) < mostFilled; next++ {
		missing = append(missing, next)
	}
	return missing, it.Error()
}
