package keyring

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/auth/dkim"
)

// State is where a key stands in its life. The zero State signs nothing.
type State uint8

const (
	StateUnknown State = iota
	StateNew           // its record is to be published
	StateActive        // it signs, unless its record was lost
	StateRetired       // its record must stay for a while
)

// String returns the state in a word.
func (s State) String() string {
	switch s {
	case StateNew:
		return "new"
	case StateActive:
		return "active"
	case StateRetired:
		return "retired"
	}
	return "unknown"
}

// Key is a key without its secret: what is decided about.
type Key struct {
	Name      dkim.KeyName
	Algorithm dkim.Algorithm
	Bits      int
	Record    string // the text to publish
	State     State
	Created   time.Time
	Since     time.Time // of the state
	Seen      time.Time // when the DNS last showed the record; zero: never
	Lost      time.Time // since when the DNS is known not to show it; zero: it is not
	Forced    bool      // an operator made it active; the DNS has no say
}

// Signs reports whether mail is signed with the key.
func (k Key) Signs() bool { return k.State == StateActive && (k.Forced || k.Lost.IsZero()) }

// Sight is what the DNS was seen to show for a key. The zero Sight says nothing.
type Sight uint8

const (
	SightUnknown Sight = iota // the DNS could not be asked
	SightShown                // the record is there
	SightMissing              // there is no record
	SightWrong                // there is a record, but not of this key
)

// String returns what was seen in words.
func (s Sight) String() string {
	switch s {
	case SightShown:
		return "published"
	case SightMissing:
		return "not published"
	case SightWrong:
		return "another record is published"
	}
	return "the DNS does not answer"
}

// See compares what the DNS says with a key. It is what doctor asks, too.
func See(k Key, f dkim.Found) Sight {
	switch {
	case f.Temporary:
		return SightUnknown
	case len(f.Records) == 0:
		return SightMissing
	}
	l := dkim.DefaultLimits()
	want, err := dkim.ParseRecord(k.Record, l)
	if err != nil {
		return SightWrong
	}
	// A verifier may take any of several records: one wrong one is enough.
	for _, text := range f.Records {
		got, err := dkim.ParseRecord(text, l)
		if err != nil || !got.Equal(want) {
			return SightWrong
		}
	}
	return SightShown
}

// Change is what became of one key.
type Change struct {
	Key  Key // as it is now; of a key that is gone, as it was
	What string
	Bad  bool // somebody must look at it
}

// ErrPending says that a rotation is under way already.
var ErrPending = errors.New("keyring: the domain has new keys that are not in use yet")

// Begin adds new keys to those of a domain.
func Begin(keys, fresh []Key) ([]Key, []Change, error) {
	if slices.ContainsFunc(keys, func(k Key) bool { return k.State == StateNew }) {
		return keys, nil, ErrPending
	}
	var changes []Change
	for _, k := range fresh {
		changes = append(changes, Change{Key: k, What: "made"})
	}
	return append(slices.Clone(keys), fresh...), changes, nil
}

// Observe decides what follows from what the DNS showed for the keys of a domain.
func Observe(keys []Key, seen map[dkim.KeyName]Sight, now time.Time) ([]Key, []Change) {
	keys = slices.Clone(keys)
	var changes []Change
	for i := range keys {
		k := &keys[i]
		switch sight := seen[k.Name]; {
		case sight == SightUnknown || k.State == StateRetired:
			continue
		case sight == SightShown:
			k.Seen = now
			if !k.Lost.IsZero() {
				k.Lost = time.Time{}
				changes = append(changes, Change{Key: *k, What: "seen in the DNS again; it signs"})
			}
			if k.State == StateNew {
				changes = append(changes, activate(keys, i, false, now)...)
			}
		case k.State == StateActive && k.Lost.IsZero():
			k.Lost = now
			what := "the DNS shows it no more (" + sight.String() + "); it signs nothing until it does"
			if k.Forced {
				what = "the DNS does not show it (" + sight.String() + "); it signs all the same, since an operator said so"
			}
			changes = append(changes, Change{Key: *k, What: what, Bad: true})
		}
	}
	return keys, changes
}

// Activate makes the new keys of a domain active, whatever the DNS shows; all of
// them, or the one with that selector.
func Activate(keys []Key, selector string, now time.Time) ([]Key, []Change, error) {
	keys = slices.Clone(keys)
	var changes []Change
	for i, k := range keys {
		if k.State == StateNew && (selector == "" || selector == k.Name.Selector) {
			changes = append(changes, activate(keys, i, true, now)...)
		}
	}
	if len(changes) == 0 {
		return keys, nil, fmt.Errorf("%w: no new key", ErrNotFound)
	}
	return keys, changes, nil
}

// activate makes one key active, and the one in whose place it comes retired.
func activate(keys []Key, i int, forced bool, now time.Time) []Change {
	var changes []Change
	for j := range keys {
		if old := &keys[j]; j != i && old.State == StateActive && old.Algorithm == keys[i].Algorithm {
			old.State, old.Since, old.Lost = StateRetired, now, time.Time{}
			changes = append(changes, Change{Key: *old, What: "retired; its record must stay in the DNS for now"})
		}
	}
	keys[i].State, keys[i].Since, keys[i].Forced = StateActive, now, forced
	return append(changes, Change{Key: keys[i], What: "active; it signs from now on"})
}

// Expire forgets the keys that retired longer ago than overlap; age is how long ago something was.
func Expire(keys []Key, overlap time.Duration, age func(time.Time) time.Duration) ([]Key, []Change) {
	var changes []Change
	kept := slices.DeleteFunc(slices.Clone(keys), func(k Key) bool {
		gone := k.State == StateRetired && age(k.Since) >= overlap
		if gone {
			changes = append(changes, Change{Key: k, What: "forgotten; its record can be removed from the DNS"})
		}
		return gone
	})
	return kept, changes
}

// Drop removes the key with that selector, whatever its state.
func Drop(keys []Key, selector string) ([]Key, []Change, error) {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name.Selector == selector })
	if i < 0 {
		return keys, nil, fmt.Errorf("%w: no key with that selector", ErrNotFound)
	}
	change := Change{Key: keys[i], What: "removed"}
	return slices.Delete(slices.Clone(keys), i, i+1), []Change{change}, nil
}

// nextLook returns when the DNS should be asked again about the keys of a domain: new
// keys soon, and less often the longer nobody publishes them; keys in use hourly.
func (l Limits) nextLook(keys []Key, last time.Time) (time.Time, bool) {
	wait, any := l.LookActive, false
	for _, k := range keys {
		switch k.State {
		case StateNew:
			any = true
			wait = min(wait, max(l.LookNew, last.Sub(k.Created)/8))
		case StateActive:
			any = true
			if !k.Lost.IsZero() {
				wait = min(wait, max(l.LookNew, last.Sub(k.Lost)/8))
			}
		}
	}
	return last.Add(wait), any
}
