package dispatch_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/nexthop"
)

// A message that still waits after its time gives one warning, also across restarts,
// and goes on to be delivered.
func TestWarning(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := w.routes["remote.test"]
		g.fn = always(451, "4.7.1", "greylisted")
		l := fresh("x@remote.test", "bob@local.test", "y@remote.test")
		l.env.EnvID = "QQ314159"
		began := time.Now()
		id := w.send(l)
		later(w.policy.Warn - time.Minute)
		if len(w.notices()) != 0 {
			t.Error("warned too early")
		}
		later(w.policy.Max + time.Minute)
		w.restart()
		later(24 * time.Hour)
		w.restart()
		later(24 * time.Hour)
		notices := w.notices()
		if len(notices) != 1 {
			t.Fatalf("%d notifications", len(notices))
		}
		if e, ok := w.entry(id); !ok || !e.Warned || len(e.Pending()) != 2 {
			t.Errorf("the message is %+v", e)
		}
		d := parse(t, notices[0])
		if d.header.Get("Subject") != "Your message is delayed" || d.perMessage.Get("Original-Envelope-Id") != "QQ314159" || len(d.recipients) != 2 {
			t.Errorf("%q %q", d.header.Get("Subject"), d.statusBytes)
		}
		until := message.FormatDate(began.Add(w.policy.Expire).UTC())
		for _, r := range d.recipients {
			if r.Get("Action") != "delayed" || r.Get("Status") != "4.7.1" || r.Get("Will-Retry-Until") != until {
				t.Errorf("%q", d.statusBytes)
			}
		}
		if !strings.Contains(d.words, until) || !strings.Contains(d.words, "need not send the message again") || strings.Contains(d.returned, "The body") {
			t.Errorf("%q, returned %q", d.words, d.returned)
		}
		checkLines(t, notices[0])
		g.mu.Lock()
		g.fn = nil
		g.mu.Unlock()
		later(w.policy.Max + time.Minute)
		w.queued(0, 0)
		if len(w.notices()) != 1 || g.times("x@remote.test") != 1 || g.times("y@remote.test") != 1 {
			t.Errorf("%d notifications, arrived %v", len(w.notices()), g.arrived)
		}
	})
}

// Whoever is warned: RFC 3461 §4.1, and promise 5.
func TestWhoIsWarned(t *testing.T) {
	for name, row := range map[string]struct {
		l       letterOf
		notify  mail.Notify
		warn    time.Duration
		warned  bool
		foreign bool
	}{
		"nothing said":           {l: fresh("x@remote.test"), warn: time.Hour, warned: true},
		"delay wanted":           {l: fresh("x@remote.test"), notify: mail.NotifyDelay, warn: time.Hour, warned: true},
		"delay among others":     {l: fresh("x@remote.test"), notify: mail.NotifyDelay | mail.NotifyFailure | mail.NotifySuccess, warn: time.Hour, warned: true},
		"only failures wanted":   {l: fresh("x@remote.test"), notify: mail.NotifyFailure, warn: time.Hour},
		"only success wanted":    {l: fresh("x@remote.test"), notify: mail.NotifySuccess, warn: time.Hour},
		"never":                  {l: fresh("x@remote.test"), notify: mail.NotifyNever, warn: time.Hour},
		"switched off":           {l: fresh("x@remote.test")},
		"null sender":            {l: letterOf{account: "alice@local.test", to: []string{"x@remote.test"}}, warn: time.Hour},
		"a stranger":             {l: letterOf{from: "x@innocent.test", to: []string{"bob@local.test"}}, warn: time.Hour},
		"a stranger asks for it": {l: letterOf{from: "x@innocent.test", to: []string{"bob@local.test"}}, notify: mail.NotifyDelay, warn: time.Hour},
		"a stranger as alice":    {l: letterOf{from: "alice@local.test", to: []string{"bob@local.test"}}, notify: mail.NotifyDelay, warn: time.Hour},
		"somebody else's name":   {l: letterOf{account: "alice@local.test", from: "bob@local.test", to: []string{"x@remote.test"}}, warn: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, row.warn, func(t *testing.T, w *world) {
				busy := always(451, "4.3.0", "later")
				w.routes["remote.test"].fn = busy
				w.local.fn = func(ctx context.Context, j nexthop.Job, to mail.Address) mail.Reply {
					if to.Local() == "bob" {
						return busy(ctx, j, to)
					}
					return mail.R(250, "2.0.0", "ok")
				}
				row.l.rcpt = func(r *mail.Recipient) { r.Notify = row.notify }
				id := w.send(row.l)
				later(24 * time.Hour)
				if n := len(w.notices()); (n == 1) != row.warned || n > 1 {
					t.Errorf("%d warnings", n)
				}
				if e, ok := w.entry(id); !ok || e.Warned != row.warned {
					t.Errorf("the message is %+v", e)
				}
			})
		})
	}
}

// A failure and a delay of one attempt are told in notifications of their own, since programs take a report by its
// first recipient, and the delay is not told again.
func TestWarningWithFailure(t *testing.T) {
	inWorldOf(t, time.Second, func(t *testing.T, w *world) {
		calls := 0
		w.routes["remote.test"].fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
			if calls++; to.Local() == "dead" && calls > 2 {
				return mail.R(550, "5.1.1", "nobody")
			}
			return mail.R(451, "4.3.0", "later")
		}
		w.send(fresh("dead@remote.test", "slow@remote.test"))
		later(24 * time.Hour)
		notices := w.notices()
		if len(notices) != 2 {
			t.Fatalf("%d notifications", len(notices))
		}
		told := map[string]string{}
		for _, n := range notices {
			d := parse(t, n)
			if len(d.recipients) != 1 {
				t.Fatalf("%q", d.statusBytes)
			}
			r := d.recipients[0]
			told[r.Get("Action")] = d.header.Get("Subject") + " " + r.Get("Final-Recipient")
			if (r.Get("Will-Retry-Until") != "") != (r.Get("Action") == "delayed") {
				t.Errorf("%q", d.statusBytes)
			}
		}
		if told["failed"] != "Your message could not be delivered rfc822; dead@remote.test" || told["delayed"] != "Your message is delayed rfc822; slow@remote.test" {
			t.Errorf("%v", told)
		}
	})
}

// The warning and the note that it was given are one act: a disk that fails just
// then neither loses nor doubles it.
func TestWarningIsOneAct(t *testing.T) {
	inWorldOf(t, time.Hour, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(451, "4.3.0", "later")
		vetoes := 0
		w.disk.mu.Lock()
		w.disk.veto = func(facts []fact.Fact) bool {
			if !slices.ContainsFunc(facts, func(f fact.Fact) bool { return f.Kind == fact.KindNotify }) {
				return false
			}
			vetoes++
			return vetoes < 4
		}
		w.disk.mu.Unlock()
		id := w.send(fresh("x@remote.test"))
		later(24 * time.Hour)
		if e, _ := w.entry(id); vetoes != 4 || len(w.notices()) != 1 || !e.Warned {
			t.Errorf("%d tries to record, %d warnings, %+v", vetoes, len(w.notices()), e)
		}
	})
}
