package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/spool"
	"sallyport/test/operator"
)

// redirector gives messages other recipients, or says why not, and notes what it was asked.
type redirector struct {
	asked []dispatch.Redirection
	done  dispatch.Redirected
	err   error
}

func (r *redirector) Redirect(_ context.Context, ask dispatch.Redirection) (dispatch.Redirected, error) {
	r.asked = append(r.asked, ask)
	return r.done, r.err
}

// Whoever redirects a message is asked for what the operator wants, of which message, as whose
// forward, and is told who wants it and why; the operator is told as which message it waits, and
// who does not get it any more.
func TestAMessageIsRedirected(t *testing.T) {
	w, to := operator.New(t), &redirector{}
	w.With(func(o *operate.Options) { o.Redirects = to })
	id, next := w.Put(t, "alice@local.test"), w.Put(t, "alice@local.test")
	to.done = dispatch.Redirected{ID: next, Instead: []mail.Address{operator.Address(t, "bob@local.test"), operator.Address(t, "carol@local.test")}}
	for way, c := range w.Clients(t) {
		to.asked = nil
		for _, r := range []operate.QueueRedirect{
			{ID: id.String(), To: "Dora@local.test"},
			{ID: id.String(), To: "dora@far.test", ForwardOf: "BOB@local.test", Reason: "the old one is gone"},
		} {
			done, err := c.QueueRedirect(t.Context(), r)
			if err != nil || done.ID != next.String() || !slices.Equal(done.Instead, []string{"bob@local.test", "carol@local.test"}) {
				t.Errorf("%s: %+v, %v", way, done, err)
			}
		}
		if len(to.asked) != 2 {
			t.Fatalf("%s: it is asked %+v", way, to.asked)
		}
		ours, out := to.asked[0], to.asked[1]
		if ours.ID != id || ours.To.String() != "Dora@local.test" || !ours.Account.IsZero() || len(ours.Evidence) != 1 || ours.Evidence[0].Name != "by uid" {
			t.Errorf("%s: it is asked for an address of ours by %+v", way, ours)
		}
		if out.ID != id || out.To.String() != "dora@far.test" || out.Account.String() != "bob@local.test" ||
			!slices.Equal(out.Evidence, []fact.Pair{ours.Evidence[0], {Name: "reason", Value: "the old one is gone"}}) {
			t.Errorf("%s: it is asked for a forward by %+v", way, out)
		}
	}
}

// What keeps a message from being redirected is told as what it is. Where no forward of the account
// leads there, it is told who forwards there, the first of many, or how somebody gets a forward.
func TestWhyAMessageIsNotRedirected(t *testing.T) {
	w, to := operator.New(t), &redirector{}
	w.With(func(o *operate.Options) { o.Redirects = to })
	c, id := operate.Direct(w.Operator), w.Put(t, "alice@local.test")
	var names []string
	for n := range 4 {
		names = append(names, fmt.Sprintf("u%d@local.test", n))
	}
	w.Account(t, names...)
	for _, a := range names {
		_, err := c.ForwardAdd(t.Context(), operate.ForwardAdd{Account: a, Targets: []string{"busy@far.test"}})
		operator.Check(t, err)
	}
	no := fmt.Errorf("%w: not so", dispatch.ErrRedirect)
	for _, row := range []struct {
		err    error
		to, of string
		code   call.Code
		words  []string
	}{
		{spool.ErrNotFound, "dora@local.test", "", call.CodeNotFound, []string{id.String()}},
		{spool.ErrClaimed, "dora@local.test", "", call.CodeUnavailable, []string{"try again in a moment", "queue hold " + id.String()}},
		{spool.ErrStale, "dora@local.test", "", call.CodeUnavailable, []string{"try again in a moment"}},
		{errors.New("the disk is gone"), "dora@local.test", "", call.CodeInternal, []string{"the disk is gone"}},
		{no, "dora@local.test", "", call.CodeInvalid, []string{"not so"}},
		{no, "dora@far.test", "", call.CodeInvalid, []string{"not so; 'sallyport forward add ACCOUNT dora@far.test' makes a forward"}},
		{no, "busy@far.test", "", call.CodeInvalid, []string{"not so; who forwards there: u0@local.test, u1@local.test, u2@local.test (--forward-of)"}},
		{no, "busy@far.test", "u1@local.test", call.CodeInvalid, []string{"who forwards there: u0@local.test, u2@local.test, u3@local.test (--forward-of)"}},
	} {
		to.err = row.err
		_, err := c.QueueRedirect(t.Context(), operate.QueueRedirect{ID: id.String(), To: row.to, ForwardOf: row.of})
		if operator.WantCode(t, err, row.code); err == nil {
			continue
		}
		for _, words := range row.words {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%v to %s: %v, without %q", row.err, row.to, err, words)
			}
		}
	}
}
