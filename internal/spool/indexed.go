package spool

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

const (
	// mostIndexed is how many messages are looked up in the indexes: their IDs take 2 MiB. Where
	// more are chosen, or more than one in indexedShare, every entry is read.
	mostIndexed  = 1 << 17
	indexedShare = 8
	// indexTries is how often the indexes are read before every entry is.
	indexTries = 3
)

// returning counts what goes back into the schedule out of another index. Who reads one index
// after the other misses what moves meanwhile from one that he has not read yet to one that he
// has: that alone, since he reads the schedule first.
type returning struct {
	now  int    // transactions under way
	past uint64 // and ended
}

// goesBack notes that a transaction begins which may bring entries back into the schedule; the
// function that it returns, that it ended.
func (s *Spool) goesBack() (ended func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.returning.now++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.returning.now--
		s.returning.past++
	}
}

func (s *Spool) returned() returning {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.returning
}

// choice is what of a filter the summaries in the indexes can tell.
type choice struct {
	account string            // "": of any
	held    *bool             // nil: held or not
	frozen  map[string]string // accounts that are held
	spaces  []store.Range     // to be read, the schedule first
}

// choose returns what the indexes can tell of a filter; false: every entry has to be read.
func (s *Spool) choose(f Filter) (choice, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.counts.withAccounts(s.accounts)
	c, most := choice{account: f.Account.Key(), held: f.Held, frozen: maps.Clone(s.accounts)}, s.counts.entries
	if c.account != "" {
		most = min(most, s.counts.accounts[c.account])
	}
	due, apart := true, true
	if f.Held != nil && *f.Held {
		most = min(most, held)
		due = held > s.counts.held // something stands there whose account is held
	} else if f.Held != nil {
		most = min(most, s.counts.entries-held)
		apart = false
	}
	if due {
		c.spaces = append(c.spaces, spaceRange(spaceDue))
	}
	if apart {
		c.spaces = append(c.spaces, spaceRange(spaceHeld), spaceRange(spaceParked))
	}
	return c, (c.account != "" || f.Held != nil) && most <= min(mostIndexed, s.counts.entries/indexedShare)
}

// takes reports whether an entry that stands at a place may be among the chosen ones.
func (c choice) takes(at place, account []byte) bool {
	if c.account != "" && c.account != string(account) {
		return false
	}
	if c.held == nil {
		return true
	}
	_, frozen := c.frozen[string(account)]
	return (frozen || at != placeDue) == *c.held
}

// indexed returns the IDs of all that a filter may choose, in their order, by the summaries in
// the indexes: a tenth of the octets of all entries, and nothing of them is parsed. It returns
// false where they can't be told so: there are too many, or they move about.
func (s *Spool) indexed(ctx context.Context, f Filter) ([]mail.ID, bool, error) {
	for range indexTries {
		before := s.returned()
		c, ok := s.choose(f)
		if !ok || before.now > 0 {
			return nil, false, nil
		}
		ids, ok, err := s.readIndexes(ctx, c)
		if err != nil || !ok {
			return nil, false, err
		}
		if s.returned() == before {
			return ids, true, nil
		}
	}
	return nil, false, nil
}

func (s *Spool) readIndexes(ctx context.Context, c choice) ([]mail.ID, bool, error) {
	ids := []mail.ID{} // a filter with nil would choose all
	for _, r := range c.spaces {
		at := placeOf(r.From)
		err := s.st.Scan(ctx, r, func(k, v []byte) (bool, error) {
			// A summary that does not read may be anybody's.
			if sum, ok := readSummary(v); ok && !c.takes(at, sum.account) {
				return true, nil
			}
			if id, ok := keyID(k); ok {
				ids = append(ids, id)
			}
			return len(ids) <= mostIndexed, nil
		})
		if err != nil {
			return nil, false, err
		}
	}
	slices.SortFunc(ids, func(a, b mail.ID) int { return bytes.Compare(a.Bytes(), b.Bytes()) })
	return slices.Compact(ids), len(ids) <= mostIndexed, nil
}
