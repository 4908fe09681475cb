package query

import (
	"context"
	"slices"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/trace/index"
)

// story adds everything that shares a message or a session with a fact; further
// follows what is found so once more: from an outcome to its message, from there
// to the session in which it came.
func (s *search) story(f fact.Fact, further bool) error {
	for _, id := range [...]mail.ID{f.Queue, f.About} {
		if !id.IsZero() {
			if err := s.chapter(index.QueueTerm(id), further); err != nil {
				return err
			}
		}
	}
	// What stands for several of strangers names sessions only as samples.
	if f.Conn != "" && !f.Summed() {
		return s.chapter(index.SessionTerm(f.Conn), false)
	}
	return nil
}

// chapter adds the facts of one message, or those of one session that belong to
// no message, once.
func (s *search) chapter(t index.Term, further bool) error {
	if s.stories[t] {
		return nil
	}
	if len(s.found) >= s.from.bounds().Entries {
		s.cut = true
		return nil
	}
	s.stories[t] = true
	entries, err := s.chapterEntries(t)
	if err != nil {
		return err
	}
	for _, e := range entries {
		s.keep(e)
		if further {
			if err := s.story(e.Fact, !e.Fact.About.IsZero()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *search) chapterEntries(t index.Term) ([]Entry, error) {
	list := s.tail.find(t)
	sections, err := s.from.o.Log.Layout().Sections(s.ctx, s.from.st, t)
	if err != nil {
		return nil, err
	}
	var places []index.Place
	read, most := 0, s.from.bounds().Story
	for _, in := range sections {
		rng := in.All(t, false)
		if rng.Limit = most - read; rng.Limit <= 0 {
			break
		}
		err := s.from.st.Scan(s.ctx, rng, func(key, value []byte) (bool, error) {
			read++
			if p, ok := in.ParsePlace(key, value, false); ok && !s.seen[p] {
				places = append(places, p)
			}
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	s.short = s.short || read >= most
	for _, p := range places {
		e, ok, err := s.load(p)
		if err != nil {
			return nil, err
		}
		if ok && slices.Contains(index.AppendTerms(nil, &e.Fact), t) {
			list = append(list, e)
		}
	}
	return list, nil
}

// tail is what the sequencer has not taken yet.
type tail struct {
	facts []tailFact
	index map[index.Term][]int
}

type tailFact struct {
	Entry
	terms []index.Term
}

func (t *tail) add(e Entry) {
	f := tailFact{Entry: e, terms: index.AppendTerms(nil, &e.Fact)}
	for _, term := range f.terms {
		t.index[term] = append(t.index[term], len(t.facts))
	}
	t.facts = append(t.facts, f)
}

// find returns the facts of a term, but none of strangers.
func (t *tail) find(term index.Term) []Entry {
	var list []Entry
	for _, i := range t.index[term] {
		if !t.facts[i].place().InBundle() {
			list = append(list, t.facts[i].Entry)
		}
	}
	return list
}

// readTail reads the facts that are not indexed yet, the newest if there are too
// many, with the bodies of strangers' facts. What does not decode is left to the
// sequencer to report.
func (r *Reader) readTail(ctx context.Context) (tail, error) {
	t := tail{index: map[index.Term][]int{}}
	next, end := r.o.Log.Next(), r.st.FactHead()+1
	if most := uint64(r.bounds().Tail); end > next+most {
		next = end - most
	}
	var stubs []Entry
	err := r.st.Facts(ctx, next, end, func(seq uint64, raw []byte) (bool, error) {
		if f, err := fact.Decode(raw); err == nil {
			e := Entry{Seq: seq, Fact: f}
			t.add(e)
			if f.Kind == fact.KindRefusals {
				stubs = append(stubs, e)
			}
		}
		return true, nil
	})
	if err != nil {
		return t, err
	}
	for _, stub := range stubs {
		err := index.ScanBundle(ctx, r.st, stub.Fact.Bundle, func(part uint16, raw []byte) error {
			if f, err := fact.Decode(raw); err == nil {
				t.add(Entry{Seq: stub.Seq, Part: int(part) + 1, Fact: f, bundle: stub.Fact.Bundle})
			}
			return nil
		})
		if err != nil {
			return t, err
		}
	}
	return t, nil
}
