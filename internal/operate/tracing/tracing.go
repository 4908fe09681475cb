// Package tracing implements the operator queries of the trace: what happened, summarised or fact
// by fact, and whether the log is intact.
package tracing

import (
	"context"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
)

// Log is what Actions need of package trace.
type Log interface {
	Verify(ctx context.Context) (trace.VerifyReport, error)
	Stats() trace.Stats
}

// Stats is the trace in figures.
type Stats = trace.Stats

// Facts is what Actions need of package trace/query.
type Facts interface {
	Query(ctx context.Context, q query.Query) (query.Answer, error)
}

// Options are what Actions act on. All are needed.
type Options struct {
	Log   Log
	Facts Facts
}

// Actions are what an operator can do with the trace.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Answer(routes, "trace", op.Trace)
	call.Listing(routes, "trace.summary", op.TraceSummary)
	call.Answer(routes, "trace.verify", op.TraceVerify)
}

// TraceStats returns the trace in figures.
func (op *Actions) TraceStats() Stats { return op.o.Log.Stats() }

// TraceQuery asks what happened.
type TraceQuery struct {
	Text        string      `json:"text,omitempty"` // as query.ParseQuery reads it; "": whatever has the kinds or rules
	Kinds       []fact.Kind `json:"kinds,omitempty"`
	Rules       []string    `json:"rules,omitempty"`
	From        time.Time   `json:"from,omitzero"`
	To          time.Time   `json:"to,omitzero"`
	Before      uint64      `json:"before,omitempty"` // Older of the page before
	OldestFirst bool        `json:"oldest_first,omitempty"`
	After       uint64      `json:"after,omitempty"` // Newer of the page before
	Limit       int         `json:"limit,omitempty"`
	Exact       bool        `json:"exact,omitempty"` // without what shares a message or a session with a hit
}

// query is the TraceQuery as the reader takes it.
func (r TraceQuery) query() (q query.Query, err error) {
	if r.Text == "" {
		q.Terms = []query.Term{{Field: query.FieldAll}}
	} else if q, err = query.ParseQuery(r.Text); err != nil {
		return q, call.Invalid(err)
	}
	q.Kinds, q.Rules, q.From, q.To, q.Before, q.Limit, q.Exact = r.Kinds, r.Rules, r.From, r.To, r.Before, r.Limit, r.Exact
	q.OldestFirst, q.After = r.OldestFirst, r.After
	return q, nil
}

// Trace answers a query from the trace, one page of it.
func (op *Actions) Trace(ctx context.Context, _ call.Caller, r TraceQuery) (query.Answer, error) {
	if r.Text == "" && len(r.Kinds) == 0 && len(r.Rules) == 0 && r.From.IsZero() && r.To.IsZero() {
		return query.Answer{}, call.Refused("name something to look for, a kind, a rule, or since or until when")
	}
	q, err := r.query()
	if err != nil {
		return query.Answer{}, err
	}
	return op.o.Facts.Query(ctx, q)
}

// TraceSummary calls fn with what each account did, the most recipients first, out of the
// facts that the query finds; its kinds, rules, pages and limit do not count. Facts of
// accounts beyond query.MaxTallied are left out.
func (op *Actions) TraceSummary(ctx context.Context, _ call.Caller, r TraceQuery, fn func(query.Tallied) error) error {
	q, err := TraceQuery{Text: r.Text, From: r.From, To: r.To, Kinds: query.TalliedKinds()}.query()
	if err != nil {
		return err
	}
	tally := query.NewTally()
	for {
		a, err := op.o.Facts.Query(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range a.Entries {
			tally.Add(e.Fact)
		}
		if q.Before = a.Older; a.Older == 0 {
			break
		}
	}
	for _, a := range tally.Accounts() {
		if err := fn(a); err != nil {
			return err
		}
	}
	return nil
}

// TraceVerify recomputes the log of facts and compares it with every signed
// checkpoint.
func (op *Actions) TraceVerify(ctx context.Context, _ call.Caller, _ struct{}) (trace.VerifyReport, error) {
	return op.o.Log.Verify(ctx)
}

// TraceSummary calls Actions.TraceSummary.
func (c Client) TraceSummary(ctx context.Context, q TraceQuery, fn func(query.Tallied) error) error {
	return call.Stream(ctx, c.Client, "trace.summary", q, fn)
}

// Trace calls Actions.Trace.
func (c Client) Trace(ctx context.Context, q TraceQuery) (query.Answer, error) {
	return call.Do[query.Answer](ctx, c.Client, "trace", q)
}

// TraceVerify calls Actions.TraceVerify.
func (c Client) TraceVerify(ctx context.Context) (trace.VerifyReport, error) {
	return call.Do[trace.VerifyReport](ctx, c.Client, "trace.verify", struct{}{})
}

// About are the words of a question: what it is about.
func (r TraceQuery) About() (words []string) {
	if r.Text != "" {
		// A pasted header or bounce holds what the trace must not: what it names is enough.
		if terms, err := query.ParseQuery(r.Text); err == nil {
			for _, t := range terms.Terms {
				if w := mail.Printable(t.Text, mail.PieceShown); !slices.Contains(words, w) {
					words = append(words, w)
				}
			}
		}
	}
	for _, k := range r.Kinds {
		words = append(words, "kind "+mail.Printable(string(k), mail.WordShown))
	}
	for _, rule := range r.Rules {
		words = append(words, "rule "+mail.Printable(rule, mail.NameShown))
	}
	return words
}
