package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/returnpath/srs"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
)

// stranger is a letter from outside.
func stranger(to ...string) letterOf { return letterOf{from: "x@innocent.test", to: to} }

// inForward runs fn in a world in which alice forwards to these.
func inForward(t *testing.T, keep bool, targets []string, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.forward(keep, "alice@local.test", targets...)
		w.start()
		fn(t, w)
		w.stop()
	})
}

func (w *world) forward(keep bool, account string, targets ...string) {
	w.t.Helper()
	f := directory.Forward{Account: addr(account), Keep: keep}
	for _, s := range targets {
		f.Targets = append(f.Targets, addr(s))
	}
	w.forwards = append(w.forwards, f)
	w.publish("alice@local.test", "älice@local.test", "bob@local.test")
}

// left returns the jobs that reached remote.test, with their texts.
func (w *world) left() ([]nexthop.Job, []string) {
	g := w.routes["remote.test"]
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.jobs), slices.Clone(g.texts)
}

// copies counts the letters in alice's mailbox, without notifications.
func (w *world) copies() int {
	w.local.mu.Lock()
	defer w.local.mu.Unlock()
	n := 0
	for i, j := range w.local.jobs {
		if j.Recipients[0].Mailbox == addr("alice@local.test") && !strings.Contains(w.local.texts[i], "Auto-Submitted") {
			n++
		}
	}
	return n
}

// ofForward returns the rules of what was recorded about forwards.
func (w *world) ofForward() []string {
	var out []string
	for _, f := range w.facts(fact.KindForward) {
		out = append(out, f.Rule)
	}
	return out
}

// Mail of an account that forwards leaves once for all targets, in the account's name
// and with its return path; its content is untouched, and the outcome names it.
func TestForward(t *testing.T) {
	for _, keep := range []bool{false, true} {
		inForward(t, keep, []string{"a@remote.test", "b@remote.test"}, func(t *testing.T, w *world) {
			l := stranger("alice+shop@local.test")
			l.body = strings.Replace(letter, "alice@local.test", "x@innocent.test", 1)
			l.env.EnvID, l.env.Ret = "QQ1", mail.RetFull
			l.rcpt = func(r *mail.Recipient) {
				r.Notify, r.ORcpt = mail.NotifySuccess|mail.NotifyDelay, mail.ORcpt{Type: "rfc822", Address: "o@x.test"}
			}
			id := w.sendTo(l, "alice@local.test")
			w.queued(0, 0)
			jobs, texts := w.left()
			if len(jobs) != 1 || w.copies() != map[bool]int{true: 1}[keep] || len(w.notices()) != 0 {
				t.Fatalf("%d left, %d copies, %d notifications\n%s", len(jobs), w.copies(), len(w.notices()), w.logged.String())
			}
			j := jobs[0]
			from, _ := j.Envelope.From.Address()
			ref, err := w.returns.Open(from, 24*time.Hour, time.Now())
			if err != nil || ref != w.returns.Ref(addr("alice@local.test")) || strings.Contains(from.Local(), "alice") {
				t.Errorf("return path %s: %v", from, err)
			}
			for _, to := range j.Recipients {
				if to.Notify != 0 || to.ORcpt != (mail.ORcpt{}) {
					t.Errorf("parameters went along: %+v", to)
				}
			}
			if j.Envelope.EnvID != "" || j.Envelope.Ret != mail.RetUnset || len(j.Recipients) != 2 {
				t.Errorf("envelope %+v to %+v", j.Envelope, j.Recipients)
			}
			if !strings.HasSuffix(texts[0], "\r\n"+prefix+l.body) || !strings.HasPrefix(texts[0], "Delivered-To: alice@local.test\r\n"+srs.MarkField+": ") {
				t.Errorf("left as %q", texts[0])
			}
			f := w.facts(fact.KindForward)
			if len(f) != 1 || f[0].Rule != "forward-relay" || f[0].About != id || f[0].Queue != j.ID || f[0].Account != "alice@local.test" || len(f[0].Recipients) != 2 {
				t.Errorf("recorded %+v", f)
			}
			named := slices.ContainsFunc(w.facts(fact.KindOutcome), func(f fact.Fact) bool {
				return f.Queue == id && strings.Contains(f.Reply.Text, j.ID.String())
			})
			if !named {
				t.Errorf("no outcome names %s", j.ID)
			}
		})
	}
}

// sendTo sends a letter whose one recipient has that mailbox.
func (w *world) sendTo(l letterOf, mailbox string) mail.ID {
	w.mailbox = addr(mailbox)
	defer func() { w.mailbox = mail.Address{} }()
	return w.send(l)
}

// A bounce that is forwarded keeps the null path.
func TestForwardOfNull(t *testing.T) {
	inForward(t, false, []string{"a@remote.test"}, func(t *testing.T, w *world) {
		w.send(letterOf{to: []string{"alice@local.test"}})
		w.queued(0, 0)
		if jobs, _ := w.left(); len(jobs) != 1 || !jobs[0].Envelope.From.IsNull() {
			t.Errorf("left %+v", jobs)
		}
	})
}

// What may not leave stays in the mailbox, once, and a fact says why; nobody is
// bounced at, and nothing is lost.
func TestForwardStays(t *testing.T) {
	for name, row := range map[string]struct {
		prepare func(w *world)
		letter  letterOf
		mailbox string
		rule    string
	}{
		"account frozen": {prepare: func(w *world) { w.freeze() }, rule: "account-frozen"},
		"queue held": {prepare: func(w *world) {
			must(w.t, w.spool.HoldAccount(w.t.Context(), addr("alice@local.test"), "incident"))
		}, rule: "forward-queue-held"},
		"account full": {prepare: func(w *world) { w.put(fresh("y@far.test")) }, rule: "forward-queue-full"},
		"forwards off": {prepare: func(w *world) {
			w.asleep = true
			w.publish("alice@local.test", "bob@local.test")
		}, rule: "forward-external-off"},
		"no key": {prepare: func(w *world) { w.returns = srs.Key{}; w.restart() }, rule: "facts-unknown"},
		"junk":   {letter: letterOf{from: "x@innocent.test", to: []string{"alice@local.test"}, junk: true}, rule: "forward-junk"},
		"says that it passed": {letter: letterOf{from: "x@innocent.test", to: []string{"alice@local.test"},
			body: "Subject: x\r\nDelivered-To: ALICE@local.test\r\n\r\nbody\r\n"}, rule: "forward-loop"},
		"forged mark": {letter: letterOf{from: "x@innocent.test", to: []string{"alice@local.test"},
			body: "Delivered-To: alice@local.test\r\nSallyport-Forwarded: kept=aa=aaaaaaaaaaaaaaaa\r\n\r\nbody\r\n"}, rule: "forward-loop"},
		"header does not read": {letter: letterOf{from: "x@innocent.test", to: []string{"alice@local.test"},
			body: strings.Repeat("X: y\r\n", 2000) + "\r\nbody\r\n"}, rule: "forward-header"},
		"a bounce of a forward": {letter: letterOf{to: []string{"SRS0=x=y=sealed=z@local.test"}}, mailbox: "alice@local.test", rule: "forward-return"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.queue.EntriesPerAccount = 1
				w.open()
				w.forward(false, "alice@local.test", "a@remote.test")
				w.start()
				if row.prepare != nil {
					row.prepare(w)
				}
				l := row.letter
				if l.to == nil {
					l = stranger("alice@local.test")
				}
				if row.mailbox != "" {
					w.sendTo(l, row.mailbox)
				} else {
					w.send(l)
				}
				synctest.Wait()
				jobs, _ := w.left()
				if rules := w.ofForward(); len(jobs) != 0 || w.copies() != 1 || len(rules) != 1 || rules[0] != row.rule {
					t.Errorf("%d left, %d copies, recorded %q\n%s", len(jobs), w.copies(), rules, w.logged.String())
				}
				later(7 * 24 * time.Hour)
				if w.copies() != 1 || len(w.notices()) != 0 {
					t.Errorf("%d copies, %d notifications", w.copies(), len(w.notices()))
				}
				w.stop()
			})
		})
	}
}

// A forward that fails for good is told to its owner alone, with the message itself
// if the mailbox has none, once; nothing goes back to whoever wrote it, and the
// notification does not take the way that fails.
func TestForwardFails(t *testing.T) {
	for _, keep := range []bool{false, true} {
		for _, null := range []bool{false, true} {
			t.Run(fmt.Sprintf("keep=%v,null=%v", keep, null), func(t *testing.T) {
				inForward(t, keep, []string{"a@remote.test", "b@remote.test", "c@far.test"}, func(t *testing.T, w *world) {
					w.routes["remote.test"].fn = func(_ context.Context, j nexthop.Job, to mail.Address) mail.Reply {
						if to.Local() == "b" && j.Attempt < 3 {
							return mail.R(451, "4.7.1", "later")
						}
						return mail.R(550, "5.1.1", "nobody here")
					}
					l := stranger("alice@local.test")
					l.rcpt = func(r *mail.Recipient) { r.Notify = mail.NotifyFailure }
					if null {
						l.from = ""
					}
					w.send(l)
					later(24 * time.Hour)
					w.queued(0, 0)
					notices := w.notices()
					if len(notices) != 2 || w.copies() != 1 || w.routes["far.test"].times("c@far.test") != 1 {
						t.Fatalf("%d notifications, %d copies\n%s", len(notices), w.copies(), w.logged.String())
					}
					for i, who := range []string{"a@remote.test", "b@remote.test"} {
						text := notices[i]
						d := parse(t, text)
						if d.header.Get("To") != "alice@local.test" || d.header.Get("Subject") != "Mail for you could not be forwarded" || d.header.Get("Delivered-To") != "alice@local.test" ||
							len(d.recipients) != 1 || d.recipients[0].Get("Final-Recipient") != "rfc822; "+who || d.recipients[0].Get("Action") != "failed" || strings.Contains(text, "innocent") {
							t.Errorf("%q", text)
						}
						checkLines(t, text)
					}
					for _, g := range w.routes {
						for _, j := range g.jobs {
							for _, to := range j.Recipients {
								if to.Address.Domain() == addr("x@innocent.test").Domain() {
									t.Errorf("%s was written to", to.Address)
								}
							}
						}
					}
				})
			})
		}
	}
}

// A forward that expires is told in the same way, without a warning before.
func TestForwardExpires(t *testing.T) {
	inForward(t, false, []string{"a@remote.test"}, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(451, "4.4.1", "later")
		w.send(stranger("alice@local.test"))
		later(w.policy.Expire - time.Hour)
		if len(w.notices()) != 0 {
			t.Error("the owner is warned of a stranger's message")
		}
		later(2 * w.policy.Max)
		w.queued(0, 0)
		if len(w.notices()) != 1 || w.copies() != 1 {
			t.Errorf("%d notifications, %d copies", len(w.notices()), w.copies())
		}
	})
}

// A target that keeps failing makes an alarm, and a delivery ends the count.
func TestForwardKeepsFailing(t *testing.T) {
	inForward(t, true, []string{"a@remote.test"}, func(t *testing.T, w *world) {
		g := w.routes["remote.test"]
		for i, code := range []int{550, 550, 250, 550, 550, 550, 550} {
			g.mu.Lock()
			g.fn = always(code, "", "so it is")
			g.mu.Unlock()
			w.send(stranger("alice@local.test"))
			synctest.Wait()
			if n, want := len(w.facts(fact.KindAlarm)), map[bool]int{true: 1}[i >= 5]; n != want {
				t.Errorf("after message %d: %d alarms", i+1, n)
			}
		}
		f := w.facts(fact.KindAlarm)[0]
		if f.Rule != "forward-keeps-failing" || f.Account != "alice@local.test" || f.Count != 3 || f.Recipients[0] != "a@remote.test" {
			t.Errorf("%+v", f)
		}
	})
}

// When the owner is frozen after the mail left the mailbox, it waits with the rest of
// the account's queue; and what is sent on counts for the account.
func TestForwardOfFrozenOwnerWaits(t *testing.T) {
	inForward(t, false, []string{"a@remote.test"}, func(t *testing.T, w *world) {
		g := w.routes["remote.test"]
		g.fn = always(451, "4.7.1", "greylisted")
		w.send(stranger("alice@local.test"))
		synctest.Wait()
		w.freeze()
		w.holdQueue()
		n := g.attempts()
		g.mu.Lock()
		g.fn = nil
		g.mu.Unlock()
		later(24 * time.Hour)
		w.queued(1, 1)
		if g.attempts() != n {
			t.Error("a frozen account sends")
		}
		w.thaw()
		later(time.Minute)
		w.queued(0, 0)
		if g.times("a@remote.test") != 1 {
			t.Errorf("arrived %v", g.arrived)
		}
	})
}

// The end of the delivery and the beginning of the forward are one act, also when the
// disk fails just then: there is one of it, and one copy.
func TestForwardIsOneAct(t *testing.T) {
	for _, keep := range []bool{false, true} {
		inForward(t, keep, []string{"a@remote.test"}, func(t *testing.T, w *world) {
			vetoes := 0
			w.disk.mu.Lock()
			w.disk.veto = func(facts []fact.Fact) bool {
				ended := slices.ContainsFunc(facts, func(f fact.Fact) bool { return f.Kind == fact.KindOutcome && f.Account == "" })
				left := slices.ContainsFunc(facts, func(f fact.Fact) bool { return f.Kind == fact.KindForward })
				if ended != left {
					t.Errorf("a delivery and its forward are parted: %+v", facts)
				}
				if left {
					vetoes++
				}
				return left && vetoes < 4
			}
			w.disk.mu.Unlock()
			w.send(stranger("alice@local.test"))
			later(time.Minute)
			w.queued(0, 0)
			if jobs, _ := w.left(); vetoes != 4 || len(jobs) != 1 || w.copies() != map[bool]int{true: 1}[keep] {
				t.Errorf("%d tries, %d left, %d copies", vetoes, len(jobs), w.copies())
			}
		})
	}
}

// More accounts than one act can carry forward one after another, without waiting for
// the next attempt's time, each once.
func TestManyForward(t *testing.T) {
	for _, size := range []int{10, 100 << 10, 700 << 10, 1200 << 10} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.queue.InlineOctets = 1 << 20 // the most that stands beside a record
			w.open()
			var to, accounts []string
			for i := range 40 {
				a := fmt.Sprintf("u%d@local.test", i)
				w.account(a)
				to, accounts = append(to, a), append(accounts, a)
				w.forwards = append(w.forwards, directory.Forward{Account: addr(a), Targets: []mail.Address{addr(fmt.Sprintf("t%d@remote.test", i))}, Keep: i%2 == 0})
			}
			w.publish(accounts...)
			w.start()
			l := stranger(to...)
			l.body = letter + strings.Repeat("0123456789abcd\r\n", size/16)
			w.send(l)
			later(10 * time.Second)
			w.queued(0, 0)
			for i := range 40 {
				if n := w.routes["remote.test"].times(fmt.Sprintf("t%d@remote.test", i)); n != 1 {
					t.Errorf("size %d: target %d got %d copies", size, i, n)
				}
				if n := w.local.times(to[i]); n != (i+1)%2 {
					t.Errorf("size %d: mailbox %d got %d copies", size, i, n)
				}
			}
			w.stop()
		})
	}
}

// blind is a queue that always says that there is room.
type blind struct{ *spool.Spool }

func (blind) Room(mail.Address, int64) error { return nil }

// An account whose room goes between the decision and its record: what has a copy is
// settled without the rest, and what has none is tried again, and lost in no case.
func TestForwardWithoutRoomAtTheEnd(t *testing.T) {
	for _, keep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.queue.EntriesPerAccount = 1
			w.wrap = func(q *spool.Spool) dispatch.Queue { return blind{q} }
			w.open()
			w.forward(keep, "alice@local.test", "a@remote.test")
			busy := w.put(fresh("y@far.test")) // takes the one place
			w.start()
			id := w.send(stranger("alice@local.test"))
			later(time.Minute)
			_, waits := w.entry(id)
			if jobs, _ := w.left(); len(jobs) != 0 || w.copies() != map[bool]int{true: 1}[keep] || waits == keep {
				t.Errorf("keep %v: %d left, %d copies, waits %v", keep, len(jobs), w.copies(), waits)
			}
			if keep && !slices.Equal(w.ofForward(), []string{"forward-queue-full"}) {
				t.Errorf("recorded %q", w.ofForward())
			}
			w.dispatch.Offer(busy)
			later(time.Hour)
			w.queued(0, 0)
			if jobs, _ := w.left(); (len(jobs) == 1) == keep {
				t.Errorf("keep %v: %d left in the end", keep, len(jobs))
			}
			w.stop()
		})
	}
}

// A message that comes back is not sent on again: whether the mailbox has a copy or
// not, it has exactly one then. Footers, other paths and days between do not matter.
func TestForwardComesBack(t *testing.T) {
	for _, keep := range []bool{false, true} {
		inForward(t, keep, []string{"a@remote.test"}, func(t *testing.T, w *world) {
			l := stranger("alice@local.test")
			w.send(l)
			w.queued(0, 0)
			_, texts := w.left()
			for i := range 3 {
				later(time.Duration(i) * 24 * time.Hour)
				back := stranger("alice@local.test")
				back.from = "SRS0=xxxx=yy=innocent.test=x@remote.test"
				back.body = "Received: from mx.local.test by mx.remote.test;\r\n\tnow\r\n" + texts[0] + "a footer\r\n"
				w.send(back)
				w.queued(0, 0)
				if jobs, _ := w.left(); len(jobs) != 1 || keep && w.copies() != 1 || !keep && w.copies() != i+1 {
					t.Errorf("keep %v, turn %d: %d left, %d copies", keep, i, len(jobs), w.copies())
				}
			}
			want := map[bool]string{true: "forward-loop-kept", false: "forward-loop"}[keep]
			if rules := w.ofForward(); len(rules) != 4 || rules[3] != want {
				t.Errorf("recorded %q", rules)
			}
			// Too long after, nobody knows whether the copy is still there.
			later(30 * 24 * time.Hour)
			before := w.copies()
			again := stranger("alice@local.test")
			again.body = texts[0]
			w.send(again)
			w.queued(0, 0)
			if jobs, _ := w.left(); len(jobs) != 1 || w.copies() != before+1 {
				t.Errorf("keep %v: %d left, %d copies", keep, len(jobs), w.copies())
			}
		})
	}
}

// Two accounts of ours that forward to each other over the world: each mailbox has one
// copy or none was asked for, and the message stops.
func TestForwardsToEachOther(t *testing.T) {
	for _, keep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldOf(t, sched.Default())
			w.account("bob@local.test")
			w.forward(keep, "alice@local.test", "bob@remote.test")
			w.forward(keep, "bob@local.test", "alice@remote.test")
			hops := 0
			// remote.test carries everything back to the same name here.
			w.routes["remote.test"].fn = func(_ context.Context, j nexthop.Job, to mail.Address) mail.Reply {
				if hops++; hops > 100 {
					return mail.R(554, "5.4.6", "a loop")
				}
				l := stranger(to.Local() + "@local.test")
				l.body = read(j)
				go w.send(l)
				return mail.R(250, "2.0.0", "ok")
			}
			w.start()
			w.send(stranger("alice@local.test"))
			later(time.Hour)
			w.queued(0, 0)
			alice, bob := w.local.times("alice@local.test"), w.local.times("bob@local.test")
			if hops != 2 || alice != 1 || bob != map[bool]int{true: 1}[keep] {
				t.Errorf("keep %v: %d hops, alice %d, bob %d", keep, hops, alice, bob)
			}
			w.stop()
		})
	}
}
