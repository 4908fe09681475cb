package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// settled is a site at which few are new.
func settled(s *Settings) {
	s.Params.SiteNovelty.Fresh, s.Params.Strangers.Fresh = s.Params.SiteNovelty.Mean, s.Params.Strangers.Mean
}

// crowd are people to whom nobody wrote.
func crowd(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("guest%d@far%d.test", i, i))
	}
	return all
}

// handsIn hands in a message to many with a credential; taken says that it becomes durable.
func (w *world) handsIn(c accounts.Credential, taken bool, to ...string) (m Submission, contained bool) {
	w.t.Helper()
	m = Submission{Act: Act{Account: addr(w.t, "alice@local.test"), Used: []accounts.Credential{c}}, ID: w.nextID()}
	for _, r := range to {
		m.Ways = append(m.Ways, Way{Recipient: addr(w.t, r)})
	}
	j := w.Submitted(w.t.Context(), m)
	if j.Contained {
		return m, true
	}
	must(w.t, j.Fault)
	if taken {
		_, err := w.st.Apply(w.t.Context(), store.Tx{Mutations: j.Also}, store.Durable)
		must(w.t, err)
	}
	j.Done(taken)
	return m, false
}

// An invitation to many that changes some times, or a thread with many in copy, goes to the same people while most of
// them wait for room within the bounds. They are new to the account once: it is not contained for writing to them again,
// and none of them leaves any sooner for it. So it is with a message that is not taken and comes again.
func TestWhoIsWrittenToAgainIsNoNewStranger(t *testing.T) {
	w := newWorld(t, settled)
	guests := crowd(80)
	var sent []Submission
	for n := range 8 {
		m, contained := w.handsIn(app("desk"), true, guests...)
		if contained {
			t.Fatalf("contained by writing to the same 80 for the %d. time", n+1)
		}
		sent = append(sent, m)
		w.pass(time.Minute)
	}
	left := map[string]bool{}
	for _, m := range sent {
		waits, _ := w.Waits(t.Context(), m.ID, m.Ways)
		for i, way := range m.Ways {
			if !waits[i] {
				left[way.Recipient.String()] = true
			}
		}
	}
	if most := w.Settings().Params.Bounds.Burst + 2; len(left) == 0 || len(left) > most {
		t.Errorf("%d of them have mail within eight minutes, at most %d may", len(left), most)
	}

	w = newWorld(t, settled)
	for n := range 20 {
		if _, contained := w.handsIn(app("desk"), false, "new@far.test"); contained {
			t.Fatalf("contained by the same message, which was not taken %d times", n)
		}
		w.pass(time.Minute)
	}
	if _, contained := w.handsIn(app("desk"), true, "new@far.test"); contained {
		t.Error("contained when it is taken")
	}
}

// Whom an account was judged for excuses nobody else, not for long, and not beyond the end of an incident.
func TestWhoIsWrittenToAgainExcusesNobody(t *testing.T) {
	most := strangers(t)
	alice := addr(t, "alice@local.test")
	crowded := func() *world {
		w := newWorld(t, nil)
		if _, contained := w.handsIn(app("stolen"), true, crowd(80)...); contained {
			t.Fatal("contained by one message")
		}
		return w
	}
	// judged writes to those of the crowd who wait, one by one, and says after how many the account is contained.
	judged := func(w *world) int {
		for n := range 40 {
			if _, contained := w.handsIn(app("stolen"), true, crowd(80)[40+n]); contained {
				return n + 1
			}
			w.pass(time.Second)
		}
		return 0
	}
	if n := judged(crowded()); n != 0 {
		t.Errorf("those who wait contain the account, the %d. of them", n)
	}
	w := crowded()
	others := 0
	for ; others < 20; others++ {
		if _, contained := w.handsIn(app("stolen"), true, fmt.Sprintf("v%d@remote%d.test", others, others)); contained {
			break
		}
		w.pass(time.Second)
	}
	if others >= most {
		t.Errorf("%d others are let through beside those who wait, and %d without them", others, most-1)
	}
	w = crowded()
	w.pass(againFor)
	if judged(w) == 0 {
		t.Error("whom it was judged for yesterday is none to judge it by today")
	}
	for _, name := range []string{"the end of an incident", "a thaw", "a thaw, and evidence stands"} {
		w := crowded()
		end := w.Clearing(alice, w.time(), false)
		if name != "the end of an incident" {
			end = w.Thawing(alice, w.time())
		}
		if name == "a thaw, and evidence stands" {
			w.Watch.o.Credentials = func(mail.Address) ([]accounts.Credential, error) { return []accounts.Credential{app("stolen")}, nil }
		}
		tx, done, err := store.Tx{}.With(t.Context(), end)
		must(t, err)
		_, err = w.st.Apply(t.Context(), tx, store.Durable)
		must(t, err)
		must(t, done(nil))
		if judged(w) == 0 {
			t.Errorf("after %s the account is judged by nobody who waited", name)
		}
	}
}

// What is remembered of whom an account was judged for is bounded, and who comes beyond is judged.
func TestWhoIsWrittenToAgainIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	w.handsIn(app("desk"), true, crowd(2*againMost)...)
	a, err := w.enter(t.Context(), addr(t, "alice@local.test"))
	must(t, err)
	defer w.unpin(a)
	defer a.mu.Unlock()
	if len(a.again) != againMost {
		t.Errorf("%d are remembered", len(a.again))
	}
	w.pass(againFor)
	for f := range a.again {
		if judged, others := a.again.part(w.bookAt(t.Context(), w.time()), a.who, []hijack.Fingerprint{f}, w.time()); len(judged) != 1 || others != 0 {
			t.Errorf("a day later judged by %d, and %d again", len(judged), others)
		}
		break
	}
	if a.again.add([]hijack.Fingerprint{7}, w.time()); len(a.again) != 1 {
		t.Errorf("%d are remembered a day later", len(a.again))
	}
}
