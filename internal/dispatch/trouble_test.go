package dispatch_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/storetest"
)

// course is a message, the world that it meets, and what it comes to.
type course struct {
	set  func(w *world)
	send letterOf
	// want is who gets something, and notices how many notifications there are among it.
	want    []string
	notices int
	queued  int // what is left in the queue, held
}

func courses() map[string]course {
	large := "Subject: large\r\n\r\n" + strings.Repeat("x", 3000) + "\r\n"
	refuse := func(w *world) { w.routes["remote.test"].fn = always(550, "5.1.1", "no such user") }
	return map[string]course{
		"delivered": {send: letterOf{account: "alice@local.test", from: "alice@local.test", to: []string{"bob@local.test", "x@remote.test"}, body: large},
			want: []string{"bob@local.test", "x@remote.test"}},
		"refused": {set: refuse, send: letterOf{account: "alice@local.test", from: "alice@local.test", to: []string{"bob@local.test", "x@remote.test"}, body: large},
			want: []string{"alice@local.test", "bob@local.test"}, notices: 1},
		"a stranger's, refused": {set: func(w *world) { w.local.fn = always(550, "5.2.2", "full") },
			send: letterOf{from: "s@far.test", to: []string{"bob@local.test"}, body: large}, queued: 1},
		"sent on and kept": {set: func(w *world) { w.forward(true, "alice@local.test", "a@remote.test") }, send: letterOf{from: "s@far.test", to: []string{"alice@local.test"}, body: large},
			want: []string{"a@remote.test", "alice@local.test"}},
		"sent on and refused": {set: func(w *world) { refuse(w); w.forward(false, "alice@local.test", "a@remote.test") },
			send: letterOf{from: "s@far.test", to: []string{"alice@local.test"}, body: large}, want: []string{"alice@local.test"}, notices: 1},
	}
}

// Whatever operation of the disk fails once, what a message comes to is the same: each
// recipient gets it, the sender is told once, and nothing is left behind.
func TestTheCourseBearsADiskThatStumbles(t *testing.T) {
	for name, c := range courses() {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				fired := true
				synctest.Test(t, func(t *testing.T) { fired = stumble(t, c, at) })
				if t.Failed() {
					t.Fatalf("with operation %d failing", at)
				}
				if !fired {
					if at < 4 {
						t.Errorf("only %d operations", at-1)
					}
					return
				}
			}
		})
	}
}

// honest has a target put off what it could not read.
func honest(g *target) {
	answer := g.fn
	g.fn = func(ctx context.Context, j nexthop.Job, to mail.Address) mail.Reply {
		g.mu.Lock()
		text := g.texts[len(g.texts)-1]
		g.mu.Unlock()
		switch {
		case strings.HasPrefix(text, "cannot be "):
			return mail.R(451, "4.3.0", text)
		case answer != nil:
			return answer(ctx, j, to)
		}
		return mail.R(250, "2.0.0", "ok")
	}
}

// stumble follows one message over a disk that fails once, and reports whether it did.
func stumble(t *testing.T, c course, at int) bool {
	t.Helper()
	w := newWorld(t)
	s := storetest.Stumble(w.disk.Store, at, store.ErrUnavailable)
	w.disk.Store = s
	w.queue = spool.Limits{InlineOctets: 1000}
	w.open()
	if c.set != nil {
		c.set(w)
	}
	honest(w.local)
	honest(w.routes["remote.test"])
	w.start()
	claim := w.put(c.send)
	s.Arm(true)
	w.dispatch.Offer(claim)
	later(2 * time.Hour)
	s.Arm(false)
	w.queued(c.queued, c.queued)
	got := map[string]bool{}
	for _, g := range []*target{w.local, w.routes["remote.test"]} {
		for to, n := range g.arrived {
			got[to] = n > 0
		}
	}
	if rules := w.ofForward(); len(rules) > 0 && rules[0] == "forward-header" {
		// No loop could be seen: it stays in the mailbox, whoever would have got it else.
		c.want, c.notices = []string{"alice@local.test"}, 0
	}
	var who []string
	for to := range got {
		who = append(who, to)
	}
	if slices.Sort(who); !slices.Equal(who, c.want) {
		t.Errorf("arrived: %q, want %q\n%s", who, c.want, w.logged.String())
	}
	// What is told in a fact is told once, and a notification comes once.
	if got, told := len(w.notices()), len(w.facts(fact.KindNotify)); got != c.notices || told != c.notices {
		t.Errorf("%d notifications, %d told, want %d", got, told, c.notices)
	}
	if held := len(w.facts(fact.KindHold)); held != c.queued {
		t.Errorf("%d facts of what is held, want %d", held, c.queued)
	}
	names, err := w.disk.Blobs().List()
	must(t, err)
	files := 0
	must(t, w.disk.Scan(t.Context(), store.SpaceFiles.All(), func(_, _ []byte) (bool, error) { files++; return true, nil }))
	if len(names) != files {
		t.Errorf("%d files for %d messages: what was not used was left behind", len(names), files)
	}
	w.stop()
	return s.Fired()
}
