package operate

import (
	"context"
	"time"

	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
)

// TraceQuery asks what happened.
type TraceQuery struct {
	Text   string    `json:"text"` // as query.ParseQuery reads it
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Before uint64    `json:"before,omitempty"` // Older of the page before
	Limit  int       `json:"limit,omitempty"`
	Exact  bool      `json:"exact,omitempty"` // without what shares a message or a session with a hit
}

// Trace answers a query from the trace.
func (op *Operator) Trace(ctx context.Context, _ Caller, r TraceQuery) (query.Answer, error) {
	q, err := query.ParseQuery(r.Text)
	if err != nil {
		return query.Answer{}, invalid(err)
	}
	q.From, q.To, q.Before, q.Limit, q.Exact = r.From, r.To, r.Before, r.Limit, r.Exact
	return op.o.Facts.Query(ctx, q)
}

// TraceVerify recomputes the log of facts and compares it with every signed
// checkpoint.
func (op *Operator) TraceVerify(ctx context.Context, _ Caller, _ struct{}) (trace.VerifyReport, error) {
	return op.o.Trace.Verify(ctx)
}
