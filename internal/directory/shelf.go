package directory

import "maps"

// shards is the number of maps that a shelf is parted into. Changing one of n values copies one
// map of n/shards and the table of shards, so that a change among 100,000 costs microseconds.
const shards = 512

// shelf is an immutable map by the Key of an address. Its zero value is empty. It holds what there
// is much of; a copy of it shares all values with it.
type shelf[V any] struct {
	parts *[shards]map[string]V
	size  int
}

// fill returns a shelf of what put puts into it. Nobody else has it before.
func fill[V any](expected int, each func(put func(key string, v V))) shelf[V] {
	s := shelf[V]{parts: &[shards]map[string]V{}}
	each(func(key string, v V) { s.fresh(key, v, expected) })
	return s
}

// fresh puts a value into a shelf that nobody else has yet.
func (s *shelf[V]) fresh(key string, v V, expected int) {
	if s.parts == nil {
		s.parts = &[shards]map[string]V{}
	}
	i := shard(key)
	if s.parts[i] == nil {
		s.parts[i] = make(map[string]V, expected/shards+1)
	}
	before := len(s.parts[i])
	s.parts[i][key] = v
	s.size += len(s.parts[i]) - before
}

// shard is FNV-1a. It need not withstand an attacker: only what exists fills the maps, and each
// map hashes with a secret of its own.
func shard(key string) int {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return int((h ^ h>>16) % shards)
}

func (s shelf[V]) get(key string) (v V, ok bool) {
	if s.parts == nil {
		return v, false
	}
	v, ok = s.parts[shard(key)][key]
	return v, ok
}

// of returns the value under a key, or the zero value.
func (s shelf[V]) of(key string) V {
	v, _ := s.get(key)
	return v
}

// all ranges over the shelf, in no order.
func (s shelf[V]) all(yield func(string, V) bool) {
	if s.parts == nil {
		return
	}
	for _, part := range s.parts {
		for key, v := range part {
			if !yield(key, v) {
				return
			}
		}
	}
}

func (s shelf[V]) with(key string, v V) shelf[V] {
	return s.edited(key, func(part map[string]V) { part[key] = v })
}

func (s shelf[V]) without(key string) shelf[V] {
	return s.edited(key, func(part map[string]V) { delete(part, key) })
}

// edited copies the table and the one part that changes.
func (s shelf[V]) edited(key string, edit func(map[string]V)) shelf[V] {
	next := shelf[V]{parts: &[shards]map[string]V{}, size: s.size}
	if s.parts != nil {
		*next.parts = *s.parts
	}
	i := shard(key)
	part := maps.Clone(next.parts[i])
	if part == nil {
		part = make(map[string]V, 1)
	}
	before := len(part)
	edit(part)
	next.size += len(part) - before
	next.parts[i] = part
	return next
}
