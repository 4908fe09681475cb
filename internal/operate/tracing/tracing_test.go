package tracing_test

import (
	"slices"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/tracing"
	"sallyport/internal/trace/query"
	"sallyport/test/operator"
)

// What happened is found by what is named, page by page, and the log is whole.
func TestWhatHappenedIsFound(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			c, ctx := w.Clients(t)[way], t.Context()
			began := time.Now().Add(-time.Second)
			w.Account(t, "alice@local.test", "bob@local.test")
			_, err := w.AccountFreeze(ctx, operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "leak"})
			operator.Check(t, err)
			texts := func(q operate.TraceQuery) (all []string) {
				a, err := c.Trace(ctx, q)
				operator.Check(t, err)
				for _, e := range a.Entries {
					all = append(all, e.Fact.Account+" "+e.Fact.Text)
				}
				return all
			}
			if got := texts(operate.TraceQuery{Text: "alice@local.test", Kinds: []fact.Kind{fact.KindAccount}}); !slices.Contains(got, "alice@local.test frozen") || slices.Contains(got, "bob@local.test added") {
				t.Errorf("%q", got)
			}
			if got := texts(operate.TraceQuery{From: began, Kinds: []fact.Kind{fact.KindAccount}}); len(got) < 3 {
				t.Errorf("since the beginning: %q", got)
			}
			if got := texts(operate.TraceQuery{Rules: []string{"no-such-rule"}}); len(got) != 0 {
				t.Errorf("by a rule of nothing: %q", got)
			}
			first, err := c.Trace(ctx, operate.TraceQuery{Rules: []string{fact.RuleOperator}, Limit: 1, OldestFirst: true})
			operator.Check(t, err)
			if len(first.Entries) != 1 || first.Newer == 0 {
				t.Fatalf("%+v", first)
			}
			next, err := c.Trace(ctx, operate.TraceQuery{Rules: []string{fact.RuleOperator}, Limit: 1, OldestFirst: true, After: first.Newer})
			operator.Check(t, err)
			if len(next.Entries) != 1 || next.Entries[0].Seq == first.Entries[0].Seq {
				t.Errorf("the page after %+v is %+v", first, next)
			}
			for _, bad := range []operate.TraceQuery{{}, {Limit: 3}, {Text: "nothing to find"}} {
				_, err = c.Trace(ctx, bad)
				operator.WantCode(t, err, call.CodeInvalid)
			}
			if r, err := c.TraceVerify(ctx); err != nil || !r.OK() {
				t.Errorf("verify: %+v, %v", r, err)
			}
			if s, err := c.Status(ctx); err != nil || s.Trace.Facts == 0 {
				t.Errorf("the status says %+v, %v", s.Trace, err)
			}
		})
	}
}

// A summary tells what each account sent.
func TestASummaryIsByAccount(t *testing.T) {
	w := operator.New(t)
	c, ctx := operate.Direct(w.Operator), t.Context()
	now := time.Now()
	for account, n := range map[string]int{"alice@local.test": 3, "bob@local.test": 1} {
		for range n {
			f := fact.Accepted{
				At: now, Rule: "accepted", Message: fact.Message{Account: account, Sender: account},
				Recipients: []string{"x@remote.test", "y@remote.test"}, Reply: mail.R(250, "2.0.0", "ok"),
			}
			operator.Check(t, w.Log.Write(ctx, f.Fact()))
		}
	}
	var got []query.Tallied
	operator.Check(t, c.TraceSummary(ctx, operate.TraceQuery{From: now.Add(-time.Hour)}, func(a query.Tallied) error { got = append(got, a); return nil }))
	if len(got) != 2 || got[0].Account != "alice@local.test" || got[0].Messages != 3 || got[0].Recipients != 6 || got[1].Messages != 1 {
		t.Errorf("%+v", got)
	}
	err := c.TraceSummary(ctx, operate.TraceQuery{Text: "nothing to find"}, func(query.Tallied) error { return nil })
	operator.WantCode(t, err, call.CodeInvalid)
}

// A question says in words what it is about, and nothing else of a text that was pasted.
func TestAQuestionIsAboutWhatItNames(t *testing.T) {
	q := tracing.TraceQuery{Text: "alice@local.test", Kinds: []fact.Kind{fact.KindAuth}, Rules: []string{"relay-denied"}}
	if got, want := q.About(), []string{`"alice@local.test"`, `kind "auth"`, `rule "relay-denied"`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := (tracing.TraceQuery{}).About(); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}
