package operate

import (
	"context"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
)

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
		return q, invalid(err)
	}
	q.Kinds, q.Rules, q.From, q.To, q.Before, q.Limit, q.Exact = r.Kinds, r.Rules, r.From, r.To, r.Before, r.Limit, r.Exact
	q.OldestFirst, q.After = r.OldestFirst, r.After
	return q, nil
}

// Trace answers a query from the trace, one page of it.
func (op *Operator) Trace(ctx context.Context, _ Caller, r TraceQuery) (query.Answer, error) {
	if r.Text == "" && len(r.Kinds) == 0 && len(r.Rules) == 0 && r.From.IsZero() {
		return query.Answer{}, invalid(errText("name something to look for, a kind, a rule, or since when"))
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
func (op *Operator) TraceSummary(ctx context.Context, _ Caller, r TraceQuery, fn func(query.Tallied) error) error {
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
func (op *Operator) TraceVerify(ctx context.Context, _ Caller, _ struct{}) (trace.VerifyReport, error) {
	return op.o.Trace.Verify(ctx)
}

// TraceSummary calls Operator.TraceSummary.
func (c *Client) TraceSummary(ctx context.Context, q TraceQuery, fn func(query.Tallied) error) error {
	return stream(ctx, c, "trace.summary", q, fn)
}
