package dispatch_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"sallyport/internal/budget/ledger"
	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// stuck puts a message into the queue that nobody can have as it is.
func (w *world) stuck(l letterOf, mailbox string) mail.ID {
	w.t.Helper()
	w.local.fn = always(550, "5.1.1", "gone")
	id := w.sendTo(l, mailbox)
	w.queued(1, 1)
	w.local.fn = nil
	return id
}

// A held message of a stranger goes to another mailbox of ours in one act: the old entry
// is gone, content and sender are as they were, and the trace names who did it.
func TestRedirectToOurs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		id := w.stuck(stranger("gone@local.test"), "gone@local.test")
		by := []fact.Pair{{Name: "by uid", Value: "0"}}
		r, err := w.dispatch.Redirect(t.Context(), dispatch.Redirection{ID: id, To: addr("bob@local.test"), Evidence: by})
		must(t, err)
		w.queued(0, 0)
		if w.local.arrived["bob@local.test"] != 1 || len(r.Instead) != 1 || r.Instead[0] != addr("gone@local.test") {
			t.Errorf("arrived %v, instead of %v", w.local.arrived, r.Instead)
		}
		j := w.local.jobs[len(w.local.jobs)-1]
		if text := w.local.texts[len(w.local.texts)-1]; text != prefix+letter || j.Envelope.From != mail.PathOf(addr("x@innocent.test")) || j.ID != r.ID {
			t.Errorf("%s from %s: %q", j.ID, j.Envelope.From, text)
		}
		f := w.facts(fact.KindRedirect)
		if len(f) != 1 || f[0].About != id || f[0].Queue != r.ID || f[0].Rule != "mx-local" || f[0].Recipients[0] != "bob@local.test" {
			t.Fatalf("recorded %+v", f)
		}
		who, _ := f[0].Find("by uid")
		instead, _ := f[0].Find("instead of")
		if who != "0" || instead != "gone@local.test" {
			t.Errorf("by %q instead of %q", who, instead)
		}
	})
}

// To the outside a message goes only as a forward that an account owns and that leads
// there: in that account's name, with its return path, from its budget.
func TestRedirectOutside(t *testing.T) {
	inForward(t, true, []string{"a@remote.test", "b@remote.test"}, func(t *testing.T, w *world) {
		id := w.stuck(stranger("gone@local.test"), "gone@local.test")
		for _, to := range []dispatch.Redirection{
			{ID: id, To: addr("a@remote.test")},                                        // in nobody's name
			{ID: id, To: addr("a@remote.test"), Account: addr("bob@local.test")},       // who forwards nothing
			{ID: id, To: addr("c@remote.test"), Account: addr("alice@local.test")},     // to whom no forward leads
			{ID: id, To: addr("bob@local.test"), Account: addr("alice@local.test")},    // which is ours
			{ID: id, To: addr("nobody@local.test")},                                    // who is nobody
			{ID: id, To: addr("a@remote.test"), Account: addr("stranger@remote.test")}, // no account of ours
		} {
			if _, err := w.dispatch.Redirect(t.Context(), to); !errors.Is(err, dispatch.ErrRedirect) {
				t.Errorf("%+v: %v", to, err)
			}
		}
		w.queued(1, 1)
		r, err := w.dispatch.Redirect(t.Context(), dispatch.Redirection{ID: id, To: addr("a@remote.test"), Account: addr("alice@local.test")})
		must(t, err)
		w.queued(0, 0)
		jobs, _ := w.left()
		if len(jobs) != 1 || len(jobs[0].Recipients) != 1 || jobs[0].ID != r.ID || w.copies() != 0 {
			t.Fatalf("left %+v, %d copies", jobs, w.copies())
		}
		from, _ := jobs[0].Envelope.From.Address()
		if !strings.Contains(from.String(), "@local.test") || strings.Contains(from.String(), "innocent") {
			t.Errorf("it left from %s", from)
		}
		if n := w.counts.Use(ledger.Forward(addr("alice@local.test"), addr("a@remote.test"))).Hour; n != 1 {
			t.Errorf("the forward's budget counts %d", n)
		}
		if f := w.facts(fact.KindForward); len(f) != 1 || f[0].Account != "alice@local.test" {
			t.Errorf("recorded %+v", f)
		}
	})
}

// What an account may not send stays, wherever an operator would have it go; and so does
// what may not leave as a forward.
func TestRedirectKeepsWhatMayNotGo(t *testing.T) {
	inForward(t, false, []string{"a@remote.test"}, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(451, "4.3.0", "later")
		id := w.send(fresh("x@remote.test"))
		junk := stranger("gone@local.test")
		junk.junk = true
		w.queued(1, 0)
		other := w.put(junk)
		out := dispatch.Redirection{ID: other.Entry.ID, To: addr("a@remote.test"), Account: addr("alice@local.test")}
		if _, err := w.dispatch.Redirect(t.Context(), out); !errors.Is(err, spool.ErrClaimed) && !errors.Is(err, dispatch.ErrRedirect) {
			t.Errorf("under way, and junk: %v", err)
		}
		must(t, w.spool.Postpone(t.Context(), other.Token, other.Expires, nil))
		if _, err := w.dispatch.Redirect(t.Context(), out); !errors.Is(err, dispatch.ErrRedirect) || !strings.Contains(err.Error(), "forward-junk") {
			t.Errorf("junk: %v", err)
		}
		w.freeze()
		for _, to := range []dispatch.Redirection{{ID: id, To: addr("bob@local.test")}, {ID: id, To: addr("a@remote.test"), Account: addr("alice@local.test")}} {
			if _, err := w.dispatch.Redirect(t.Context(), to); !errors.Is(err, dispatch.ErrRedirect) || !strings.Contains(err.Error(), "may not send") {
				t.Errorf("of a frozen account: %v", err)
			}
		}
		if len(w.facts(fact.KindRedirect)) != 0 {
			t.Error("something was redirected")
		}
	})
}

// A redirection that the store refuses changes nothing, and one of a message that was
// changed since it was read does not happen.
func TestRedirectIsOneAct(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		id := w.stuck(stranger("gone@local.test"), "gone@local.test")
		w.disk.full.Store(true)
		if _, err := w.dispatch.Redirect(t.Context(), dispatch.Redirection{ID: id, To: addr("bob@local.test")}); !errors.Is(err, spool.ErrUnavailable) {
			t.Errorf("on a full disk: %v", err)
		}
		w.disk.full.Store(false)
		w.queued(1, 1)
		e, _ := w.entry(id)
		_, err := w.spool.Hold(t.Context(), spool.Filter{IDs: []mail.ID{id}}, "again", nil)
		must(t, err)
		e.Held = "as it was"
		body, err := w.spool.NewBody(t.Context())
		must(t, err)
		_, err = io.WriteString(body, letter)
		must(t, err)
		m := spool.Message{ID: w.put(stranger("bob@local.test")).Entry.ID, Envelope: e.Envelope, Deliveries: []spool.Delivery{e.Recipients[0].Delivery}}
		if err := w.spool.Redirect(t.Context(), e, spool.Spawned{Message: m, Body: body}, e.Received, nil); !errors.Is(err, spool.ErrStale) {
			t.Errorf("of an entry that was changed: %v", err)
		}
	})
}
