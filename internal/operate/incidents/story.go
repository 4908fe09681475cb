package incidents

import (
	"context"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/trace/query"
)

// storyPages is how many pages of facts the story of an account is made of.
const storyPages = 40

// Story reads what the trace tells of an account since a moment.
func (op *Actions) Story(ctx context.Context, names []incident.Name, since time.Time) (incident.Story, error) {
	entries, cut, err := op.factsOf(ctx, names, since)
	facts := make([]fact.Fact, 0, len(entries))
	for _, e := range entries {
		facts = append(facts, e.Fact)
	}
	s := incident.Tell(names, since, facts)
	s.Cut = s.Cut || cut
	return s, err
}

// factsOf reads the facts about an account since a moment, under all its names; cut says that
// there are more.
func (op *Actions) factsOf(ctx context.Context, names []incident.Name, since time.Time) (all []query.Entry, cut bool, err error) {
	for _, n := range names {
		if !n.To.IsZero() && !n.To.After(since) {
			continue
		}
		q := query.Query{Terms: []query.Term{{Field: query.FieldAddress, Text: n.Account.String()}}, From: Later(since, n.From), To: n.To, Exact: true}
		some, more, err := op.pagesOf(ctx, q, n)
		all, cut = append(all, some...), cut || more
		if err != nil {
			return all, true, err
		}
	}
	return all, cut, nil
}

// pagesOf reads what a question finds of who was called so.
func (op *Actions) pagesOf(ctx context.Context, q query.Query, n incident.Name) (all []query.Entry, cut bool, err error) {
	for range storyPages {
		found, err := op.o.Facts.Query(ctx, q)
		if err != nil {
			return all, true, err
		}
		for _, e := range found.Entries {
			if n.Has(e.Fact) {
				all = append(all, e)
			}
		}
		if found.Older == 0 {
			return all, found.Partial, nil
		}
		q.Before = found.Older
	}
	return all, true, nil
}

// Later is the later of two moments.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
