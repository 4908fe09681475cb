package history

import (
	"cmp"
	"slices"
	"time"

	"sallyport/internal/mail"
)

// Recent keeps the latest messages of a history whole, since they tell what is normal at a site: how
// much of its mail goes to somebody to whom nobody there wrote before.
type Recent struct {
	l     Limits
	first time.Time // message of all
	after time.Time // those that are not later were given up, since there are more than enough
	all   map[string]*Sent
	alone []*Sent // that have no name
}

// NewRecent returns one that has seen nothing.
func NewRecent(l Limits) *Recent { return &Recent{l: l, all: map[string]*Sent{}} }

// Add takes in what was sent. What nobody knows the time of tells nothing.
func (r *Recent) Add(s Sent) {
	if s.At.IsZero() || s.From.IsZero() {
		return
	}
	if r.first.IsZero() || s.At.Before(r.first) {
		r.first = s.At
	}
	key := s.From.Key() + " " + s.Of
	if of, known := r.all[key]; known && s.Of != "" {
		for _, to := range s.To {
			if !slices.Contains(of.To, to) {
				of.To = append(of.To, to)
			}
		}
		return
	}
	if !s.At.After(r.after) {
		return
	}
	one := s
	one.To = slices.Clone(s.To)
	if s.Of == "" {
		r.alone = append(r.alone, &one)
	} else {
		r.all[key] = &one
	}
	if len(r.all)+len(r.alone) >= 2*r.l.Recent {
		r.trim()
	}
}

// trim gives up all but the latest.
func (r *Recent) trim() {
	sorted := r.sorted()
	sorted = sorted[max(0, len(sorted)-r.l.Recent):]
	r.all, r.alone = map[string]*Sent{}, nil
	for _, s := range sorted {
		if s.Of == "" {
			r.alone = append(r.alone, s)
		} else {
			r.all[s.From.Key()+" "+s.Of] = s
		}
	}
	r.after = sorted[0].At
}

// sorted are all that are kept, the oldest first.
func (r *Recent) sorted() []*Sent {
	all := slices.Clone(r.alone)
	for _, s := range r.all {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *Sent) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.From.Key(), b.From.Key()), cmp.Compare(a.Of, b.Of))
	})
	return all
}

// Messages returns the latest, by who sent them, the oldest first. Those of the history's
// beginning are left out: there everybody is new.
func (r *Recent) Messages() map[mail.Address][]Sent {
	out := map[mail.Address][]Sent{}
	all := r.sorted()
	for _, s := range all[max(0, len(all)-r.l.Recent):] {
		if s.At.Sub(r.first) >= r.l.Begun {
			out[s.From] = append(out[s.From], *s)
		}
	}
	return out
}
