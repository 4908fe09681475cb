package roster

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// State is all entries at one moment: a value, never changed afterwards.
type State struct {
	revision uint64
	entries  map[Ref]Entry
	damaged  map[Ref]damage
	counts   map[directory.Kind]int // of entries, readable or not
}

// damage is an entry that cannot be read, as it is stored.
type damage struct {
	why   string
	value []byte
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

// AliasesOf returns those aliases that are wanted, in order of their names: where they are few
// among many, it costs much less than Aliases.
func (s *State) AliasesOf(wanted func(Alias) bool) []Alias { return chosen(s, wanted) }

// Forwards returns the forwards in order of their accounts.
func (s *State) Forwards() []Forward { return sorted[Forward](s) }

// Delegates returns the delegates in order of account and address.
func (s *State) Delegates() []Delegate { return sorted[Delegate](s) }

// Rights returns the delegates by which an account sends as others, or others as it, in order.
func (s *State) Rights(account mail.Address) (all []Delegate) {
	key := account.Key()
	for r, e := range s.entries {
		if r.Kind != directory.KindDelegate {
			continue
		}
		by, as, _ := strings.Cut(r.key, delegateSeparator)
		if d, ok := e.(Delegate); ok && (by == key || as == key) {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b Delegate) int { return compareRefs(a.Ref(), b.Ref()) })
	return all
}

// Contacts returns the contacts in order of their accounts.
func (s *State) Contacts() []Contact { return sorted[Contact](s) }

// Damaged returns the entries that cannot be read, in order.
func (s *State) Damaged() []Damaged {
	var out []Damaged
	for r, d := range s.damaged {
		out = append(out, Damaged{r, d.why})
	}
	slices.SortFunc(out, func(a, b Damaged) int { return compareRefs(a.Ref, b.Ref) })
	return out
}

// Stored is one entry as it is stored, for a process that judges it elsewhere.
type Stored struct {
	Kind  string `json:"kind"`
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Export returns every entry as it is stored, in order.
func (s *State) Export() ([]Stored, error) {
	var out []Stored
	for r, e := range s.entries {
		value, err := e.encode()
		if err != nil {
			return nil, fmt.Errorf("roster: encoding an entry: %w", err)
		}
		out = append(out, Stored{r.Kind.String(), r.key, value})
	}
	for r, d := range s.damaged {
		out = append(out, Stored{r.Kind.String(), r.key, d.value})
	}
	slices.SortFunc(out, func(a, b Stored) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key))
	})
	return out, nil
}

// Import returns the State of what Export returned.
func Import(all []Stored) (*State, error) {
	s := newState(0)
	for _, e := range all {
		ref, err := refOf([]byte(prefixAll + e.Kind + "/" + e.Key))
		if err != nil {
			return nil, err
		}
		_ = s.take(ref, e.Value)
	}
	return s, nil
}

func newState(revision uint64) *State {
	return &State{revision: revision, entries: map[Ref]Entry{}, damaged: map[Ref]damage{}, counts: map[directory.Kind]int{}}
}

// take adds an entry as it is stored to a State that nobody else has yet; the error
// is that it cannot be read.
func (s *State) take(ref Ref, value []byte) error {
	e, err := decodeEntry(ref, value)
	if !s.Has(ref) {
		s.counts[ref.Kind]++
	}
	if err != nil {
		s.damaged[ref] = damage{err.Error(), bytes.Clone(value)}
		return err
	}
	s.entries[ref] = e
	return nil
}

func sorted[E Entry](s *State) []E {
	return chosen(s, func(E) bool { return true })
}

// chosen returns the entries of a kind that are wanted, in the order of their refs, under which
// they stand already.
func chosen[E Entry](s *State, wanted func(E) bool) []E {
	type placed struct {
		ref   Ref
		entry E
	}
	var all []placed
	for ref, e := range s.entries {
		if e, ok := e.(E); ok && wanted(e) {
			all = append(all, placed{ref, e})
		}
	}
	slices.SortFunc(all, func(a, b placed) int { return compareRefs(a.ref, b.ref) })
	var out []E
	for _, p := range all {
		out = append(out, p.entry)
	}
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
	return s.counts[k]
}

// with returns the state that an edit makes.
func (s *State) with(e Edit, revision uint64) *State {
	next := &State{revision: revision, entries: maps.Clone(s.entries), damaged: maps.Clone(s.damaged), counts: maps.Clone(s.counts)}
	for _, r := range e.Remove {
		if next.Has(r) {
			next.counts[r.Kind]--
		}
		delete(next.entries, r)
		delete(next.damaged, r)
	}
	for _, put := range e.Put {
		if !next.Has(put.Ref()) {
			next.counts[put.Ref().Kind]++
		}
		delete(next.damaged, put.Ref())
		next.entries[put.Ref()] = put
	}
	return next
}
