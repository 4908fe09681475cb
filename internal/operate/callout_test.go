package operate

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
	w, by := newWorld(t), Caller{UID: 7, Known: true}
	list := func(r CalloutRef) string {
		t.Helper()
		var got []string
		check(t, w.CalloutList(t.Context(), by, r, func(c Callout) error {
			got = append(got, c.Address+" "+c.State+" "+c.Reply)
			if c.Remote != "server [192.0.2.1]:25" || c.Server != "server:25" || c.Again.Before(c.Asked) {
				t.Errorf("%+v", c)
			}
			return nil
		}))
		slices.Sort(got)
		return strings.Join(got, ", ")
	}
	if err := w.CalloutList(t.Context(), by, CalloutRef{}, nil); err == nil || !strings.Contains(err.Error(), "no server runs") {
		t.Error(err)
	}
	asker, err := callout.Build(callout.Options{Limits: callout.DefaultLimits(), Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler), Journal: w.trace}, nil)
	check(t, err)
	w.o.Callouts, w.o.Write = func() *callout.Asker { return asker }, w.trace.Write
	w.o.Server = func() *Server { return &Server{} }
	for _, text := range []string{"ann@x.test", "bob@x.test", "ann@y.test"} {
		a, err := mail.ParseAddress(text, mail.ASCII)
		check(t, err)
		asker.Ask(t.Context(), "server:25", clerk{}, netip.Addr{}, a)
	}
	if got := list(CalloutRef{Domain: "X.test"}); got != "ann@x.test taken 250 2.1.5 ok, bob@x.test refused 550 5.1.1 nobody" {
		t.Error(got)
	}
	if got := list(CalloutRef{Addresses: []string{"ann@Y.test", "bob@y.test"}}); got != "ann@y.test taken 250 2.1.5 ok" {
		t.Error(got)
	}
	full := errors.New("full")
	if err := w.CalloutList(t.Context(), by, CalloutRef{}, func(Callout) error { return full }); err != full {
		t.Error(err)
	}
	for _, bad := range []CalloutRef{{}, {Addresses: []string{"carl"}}, {Domain: "a..b"}, {Addresses: make([]string, maxCalloutRefs+1)}} {
		if _, err := w.CalloutForget(t.Context(), by, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	for _, step := range []struct {
		ref  CalloutRef
		want int
	}{{CalloutRef{Addresses: []string{"bob@x.test", "bob@X.test"}}, 1}, {CalloutRef{Domain: "x.test"}, 1}, {CalloutRef{All: true}, 1}, {CalloutRef{All: true}, 0}} {
		if done, err := w.CalloutForget(t.Context(), by, step.ref); err != nil || done.Forgotten != step.want {
			t.Errorf("%+v: %+v %v", step.ref, done, err)
		}
	}
	if got := list(CalloutRef{}); got != "" {
		t.Error(got)
	}
}
