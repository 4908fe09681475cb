package query

import (
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/trace/index"
)

// chunk is how many facts of the log are read at a time.
const chunk = 1000

// everything goes over the log itself, in the order of pages, until it has enough or has
// read as much as one query reads.
func (s *search) everything() (list []candidate, a Answer, err error) {
	low, high := max(s.from.o.Log.Oldest(), s.q.After+1), min(s.from.st.FactHead()+1, s.q.Before)
	for read := 0; low < high; read += chunk {
		if len(list) >= s.q.Limit || read >= s.from.bounds().Scanned {
			s.turn(&a, last(low, high, s.q.OldestFirst))
			return list, a, nil
		}
		from, to := low, high
		if s.q.OldestFirst {
			to = min(high, low+chunk)
			low = to
		} else {
			from = max(low, high-min(high, chunk))
			high = from
		}
		s.newest = time.Time{}
		part, err := s.stretch(from, to)
		if err != nil {
			return nil, a, err
		}
		list = append(list, part...)
		if s.past() {
			break
		}
	}
	return list, a, nil
}

// last is the fact at which the next page begins behind what was read of the log.
func last(low, high uint64, oldestFirst bool) uint64 {
	if oldestFirst {
		return low - 1
	}
	return high
}

// stretch returns the wanted facts of a part of the log in the order of pages, those of
// strangers in the place of what stands for their bundle.
func (s *search) stretch(from, to uint64) (list []candidate, err error) {
	keep := func(e Entry) {
		s.saw(e.Fact)
		if s.wanted(e) {
			list = append(list, candidate{e.place(), &tailFact{Entry: e, terms: index.AppendTerms(nil, &e.Fact)}})
		}
	}
	var stubs []Entry
	err = s.from.st.Facts(s.ctx, from, to, func(seq uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		if err != nil {
			return true, nil
		}
		keep(Entry{Seq: seq, Fact: f})
		if f.Kind == fact.KindRefusals {
			stubs = append(stubs, Entry{Seq: seq, Fact: f})
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for _, stub := range stubs {
		err := index.ScanBundle(s.ctx, s.from.st, stub.Fact.Bundle, func(part uint16, raw []byte) error {
			if f, err := fact.Decode(raw); err == nil {
				keep(Entry{Seq: stub.Seq, Part: int(part) + 1, Fact: f, bundle: stub.Fact.Bundle})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(x, y candidate) int { return s.order(x.Seq, y.Seq) })
	return list, nil
}
