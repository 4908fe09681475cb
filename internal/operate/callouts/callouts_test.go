package callouts_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/test/operator"
)

// clerk is a server behind that knows ann in every domain.
type clerk struct{}

func (clerk) Ask(_ context.Context, a mail.Address) (mail.Reply, string, error) {
	if a.Local() == "ann" {
		return mail.R(250, "2.1.5", "ok"), "server [192.0.2.1]:25", nil
	}
	return mail.R(550, "5.1.1", "nobody"), "server [192.0.2.1]:25", nil
}

// What servers behind said is listed and forgotten as it is named, with a fact.
func TestCalloutsAreListedAndForgotten(t *testing.T) {
	w, by := operator.New(t), operate.Caller{UID: 7, Known: true}
	list := func(r operate.CalloutRef) string {
		t.Helper()
		var got []string
		operator.Check(t, w.CalloutList(t.Context(), by, r, func(c operate.Callout) error {
			got = append(got, c.Address+" "+c.State+" "+c.Reply)
			if c.Remote != "server [192.0.2.1]:25" || c.Server != "server:25" || c.Again.Before(c.Asked) {
				t.Errorf("%+v", c)
			}
			return nil
		}))
		slices.Sort(got)
		return strings.Join(got, ", ")
	}
	if err := w.CalloutList(t.Context(), by, operate.CalloutRef{}, nil); err == nil || !strings.Contains(err.Error(), "no server runs") {
		t.Error(err)
	}
	asker, err := callout.Build(callout.Options{Limits: callout.DefaultLimits(), Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler), Journal: w.Log}, nil)
	operator.Check(t, err)
	w.With(func(o *operate.Options) { o.Callouts, o.Write = func() *callout.Asker { return asker }, w.Log.Write })
	w.With(func(o *operate.Options) { o.Server = func() *operate.Server { return &operate.Server{} } })
	for _, text := range []string{"ann@x.test", "bob@x.test", "ann@y.test"} {
		a, err := mail.ParseAddress(text, mail.ASCII)
		operator.Check(t, err)
		asker.Ask(t.Context(), "server:25", clerk{}, netip.Addr{}, a)
	}
	if got := list(operate.CalloutRef{Domain: "X.test"}); got != "ann@x.test taken 250 2.1.5 ok, bob@x.test refused 550 5.1.1 nobody" {
		t.Error(got)
	}
	if got := list(operate.CalloutRef{Addresses: []string{"ann@Y.test", "bob@y.test"}}); got != "ann@y.test taken 250 2.1.5 ok" {
		t.Error(got)
	}
	full := errors.New("full")
	if err := w.CalloutList(t.Context(), by, operate.CalloutRef{}, func(operate.Callout) error { return full }); err != full {
		t.Error(err)
	}
	for _, bad := range []operate.CalloutRef{{}, {Addresses: []string{"carl"}}, {Domain: "a..b"}, {Addresses: make([]string, 1001)}} {
		if _, err := w.CalloutForget(t.Context(), by, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	for _, step := range []struct {
		ref  operate.CalloutRef
		want int
	}{{operate.CalloutRef{Addresses: []string{"bob@x.test", "bob@X.test"}}, 1}, {operate.CalloutRef{Domain: "x.test"}, 1}, {operate.CalloutRef{All: true}, 1}, {operate.CalloutRef{All: true}, 0}} {
		if done, err := w.CalloutForget(t.Context(), by, step.ref); err != nil || done.Forgotten != step.want {
			t.Errorf("%+v: %+v %v", step.ref, done, err)
		}
	}
	if got := list(operate.CalloutRef{}); got != "" {
		t.Error(got)
	}
}
