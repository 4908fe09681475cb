package roster

import (
	"maps"
	"slices"
	"strings"

	"sallyport/internal/directory"
)

// State is all entries at one moment: a value, never changed afterwards.
type State struct {
	revision uint64
	entries  map[Ref]Entry
	damaged  map[Ref]string // why each cannot be read
}

// Damaged is an entry that cannot be read. It can be removed.
type Damaged struct {
	Ref Ref
	Why string
}

// Revision grows with every change.
func (s *State) Revision() uint64 { return s.revision }

// Get returns the entry of that name.
func (s *State) Get(r Ref) (Entry, bool) {
	e, ok := s.entries[r]
	return e, ok
}

// Has reports whether there is an entry of that name, readable or not.
func (s *State) Has(r Ref) bool {
	_, there := s.entries[r]
	_, damaged := s.damaged[r]
	return there || damaged
}

// Domains returns the domains in order of their names.
func (s *State) Domains() []Domain { return sorted[Domain](s) }

// Aliases returns the aliases in order of their names.
func (s *State) Aliases() []Alias { return sorted[Alias](s) }

// Forwards returns the forwards in order of their accounts.
func (s *State) Forwards() []Forward { return sorted[Forward](s) }

// Delegates returns the delegates in order of account and address.
func (s *State) Delegates() []Delegate { return sorted[Delegate](s) }

// Damaged returns the entries that cannot be read, in order.
func (s *State) Damaged() []Damaged {
	var out []Damaged
	for r, why := range s.damaged {
		out = append(out, Damaged{r, why})
	}
	slices.SortFunc(out, func(a, b Damaged) int { return compareRefs(a.Ref, b.Ref) })
	return out
}

func sorted[E Entry](s *State) []E {
	var out []E
	for _, e := range s.entries {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b E) int { return compareRefs(a.Ref(), b.Ref()) })
	return out
}

func compareRefs(a, b Ref) int {
	if a.Kind != b.Kind {
		return int(a.Kind) - int(b.Kind)
	}
	return strings.Compare(a.key, b.key)
}

// count returns how many entries of a kind there are.
func (s *State) count(k directory.Kind) int {
	n := 0
	for r := range s.entries {
		if r.Kind == k {
			n++
		}
	}
	for r := range s.damaged {
		if r.Kind == k {
			n++
		}
	}
	return n
}

// with returns the state that an edit makes.
func (s *State) with(e Edit, revision uint64) *State {
	next := &State{revision: revision, entries: maps.Clone(s.entries), damaged: maps.Clone(s.damaged)}
	for _, r := range e.Remove {
		delete(next.entries, r)
		delete(next.damaged, r)
	}
	for _, put := range e.Put {
		delete(next.damaged, put.Ref())
		next.entries[put.Ref()] = put
	}
	return next
}
