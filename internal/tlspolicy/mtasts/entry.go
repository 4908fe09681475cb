package mtasts

import (
	"encoding/binary"
	"errors"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// keyPrefix begins the keys of the policies that are kept; the domain follows.
const keyPrefix = string(store.SpacePolicies)

// entryVersion is the first octet of every stored entry.
const entryVersion = 1

var errEntry = errors.New("mtasts: a stored policy does not parse")

// entry is a policy as it is kept.
type entry struct {
	policy  Policy
	id      string    // of the record that announced it
	fetched time.Time // when it was last got, which begins its max_age
	used    time.Time // when mail last asked for it, to the day
}

func (e entry) valid(now time.Time) bool {
	return e.policy.Mode != ModeUnknown && now.Before(e.fetched.Add(e.policy.MaxAge))
}

func entryKey(d mail.Domain) []byte { return []byte(keyPrefix + d.ASCII()) }

// encode writes version, times, id and the policy as its own text.
func (e entry) encode() []byte {
	b := []byte{entryVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(e.fetched.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(e.used.Unix()))
	b = append(b, byte(len(e.id)))
	b = append(b, e.id...)
	return append(b, e.policy.String()...)
}

// headOctets is what stands before the texts of an entry: version, two times, and how long the id is.
const headOctets = 1 + 8 + 8 + 1

func decodeEntry(b []byte) (entry, error) {
	if len(b) < headOctets || b[0] != entryVersion || len(b) < headOctets+int(b[headOctets-1]) {
		return entry{}, errEntry
	}
	e := entry{
		fetched: time.Unix(int64(binary.BigEndian.Uint64(b[1:])), 0).UTC(),
		used:    time.Unix(int64(binary.BigEndian.Uint64(b[9:])), 0).UTC(),
		id:      string(b[headOctets : headOctets+int(b[headOctets-1])]),
	}
	p, err := ParsePolicy(b[headOctets+len(e.id):])
	if err != nil || !isID(e.id) {
		return entry{}, errEntry
	}
	e.policy = p
	return e, nil
}

func set(d mail.Domain, e entry) store.Mutation {
	return store.Mutation{Key: entryKey(d), Value: e.encode()}
}
