package directory

import (
	"maps"

	"sallyport/internal/mail"
)

// shards is the number of maps that an account set is parted into. Adding one
// account to n copies one map of n/shards and the table of shards, so that a
// change among 100,000 accounts costs microseconds.
const shards = 512

// accountSet is an immutable set of account addresses by their Key.
type accountSet struct {
	parts [shards]map[string]mail.Address
}

func newAccountSet(accounts []mail.Address) *accountSet {
	s := &accountSet{}
	for _, a := range accounts {
		key := a.Key()
		i := shard(key)
		if s.parts[i] == nil {
			s.parts[i] = make(map[string]mail.Address, len(accounts)/shards+1)
		}
		s.parts[i][key] = a
	}
	return s
}

// shard is FNV-1a. It need not withstand an attacker: only accounts that exist fill
// the maps, and each map hashes with a secret of its own.
func shard(key string) int {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return int((h ^ h>>16) % shards)
}

func (s *accountSet) get(key string) (mail.Address, bool) {
	a, ok := s.parts[shard(key)][key]
	return a, ok
}

func (s *accountSet) with(a mail.Address) *accountSet {
	return s.edited(a.Key(), func(part map[string]mail.Address) { part[a.Key()] = a })
}

func (s *accountSet) without(key string) *accountSet {
	return s.edited(key, func(part map[string]mail.Address) { delete(part, key) })
}

// edited copies the table and the one part that changes.
func (s *accountSet) edited(key string, edit func(map[string]mail.Address)) *accountSet {
	next := *s
	i := shard(key)
	part := maps.Clone(s.parts[i])
	if part == nil {
		part = make(map[string]mail.Address, 1)
	}
	edit(part)
	next.parts[i] = part
	return &next
}
