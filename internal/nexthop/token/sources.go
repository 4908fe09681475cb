package token

import (
	"slices"
	"sync"
)

// Sources are those of one state of the configuration: one for each endpoint, however many
// next hops need its tokens, so that a refresh token has one user. They are safe for
// concurrent use.
type Sources struct {
	m Means

	mu     sync.Mutex
	all    map[Endpoint]*Source
	former map[Endpoint]*Source
}

// NewSources returns them. Of last, which may be nil, they take over what is asked for again,
// with its tokens.
func NewSources(m Means, last *Sources) *Sources {
	s := &Sources{m: m, all: map[Endpoint]*Source{}, former: map[Endpoint]*Source{}}
	if last == nil {
		return s
	}
	last.mu.Lock()
	defer last.mu.Unlock()
	for e, source := range last.all {
		s.former[e] = source
	}
	return s
}

// Of returns the source of an endpoint, or says why it can have none.
func (s *Sources) Of(e Endpoint) (*Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source, ok := s.all[e]
	if !ok {
		source, ok = s.former[e]
	}
	if !ok {
		var err error
		if source, err = New(e, s.m); err != nil {
			return nil, err
		}
	}
	s.all[e] = source
	return source, nil
}

// Troubles returns what is wrong at present, the oldest first. Of nil there is none.
func (s *Sources) Troubles() (all []Trouble) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, source := range s.all {
		if t, ok := source.Trouble(); ok {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b Trouble) int { return a.Since.Compare(b.Since) })
	return all
}
