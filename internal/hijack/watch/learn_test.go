package watch

import (
	"bytes"
	"testing"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/store"
)

func (w *world) learn(facts func(int) [][]byte, all ...Acquaintance) int {
	w.t.Helper()
	n, err := w.Watch.Learn(w.t.Context(), addr(w.t, "alice@local.test"), all, facts)
	must(w.t, err)
	return n
}

func met(t *testing.T, who string, since time.Time) Acquaintance {
	t.Helper()
	return Acquaintance{Way{Recipient: addr(t, who)}, since}
}

func TestWhoWasLearntIsKnown(t *testing.T) {
	w := newWorld(t, nil)
	old := w.time().Add(-90 * 24 * time.Hour)
	told := 0
	facts := func(n int) [][]byte { told = n; return nil }
	all := []Acquaintance{met(t, "bob@remote.test", old.Add(time.Hour)), met(t, "bob@remote.test", old), met(t, "carl@remote.test", time.Time{})}
	if n := w.learn(nil, all...); n != 2 {
		t.Errorf("%d would be learnt", n)
	}
	if _, j := w.submit("dry@remote.test", "bob@remote.test"); !j.Waits {
		t.Error("what was only tried is learnt")
	}
	w = newWorld(t, nil)
	if n := w.learn(facts, all...); n != 2 || told != 2 {
		t.Errorf("%d learnt, %d told", n, told)
	}
	if _, j := w.submit("bob@remote.test", "carl@remote.test"); j.Waits || j.Contained {
		t.Errorf("who was learnt waits: %+v", j)
	}
	if _, j := w.submit("dan@remote.test"); !j.Waits {
		t.Error("a stranger does not wait")
	}
	since, known := newBook(t.Context(), w.st, w.time(), w.o.Limits.HeardFor).Since(w.o.Key.Account("alice@local.test"), w.o.Key.Address(addr(t, "bob@remote.test")))
	if !known || !since.Equal(old) {
		t.Errorf("known since %v, not %v", since, old)
	}
	// A second run teaches nothing, and writes nothing.
	told = -1
	w.pass(time.Hour)
	if n := w.learn(facts, all...); n != 0 || told != -1 {
		t.Errorf("%d learnt again, %d told", n, told)
	}
}

func TestWhatIsOfTodayDoesNotCountYet(t *testing.T) {
	w := newWorld(t, nil)
	facts := func(int) [][]byte { return nil }
	w.learn(facts, met(t, "bob@remote.test", w.time().Add(-time.Hour)), met(t, "carl@remote.test", w.time().Add(1000*time.Hour)))
	b, who := newBook(t.Context(), w.st, w.time(), w.o.Limits.HeardFor), w.o.Key.Account("alice@local.test")
	for _, r := range []string{"bob@remote.test", "carl@remote.test"} {
		got := hijack.Classify(b, who, []hijack.Fingerprint{w.o.Key.Address(addr(t, r))}, w.time(), hijack.DefaultParams())
		if got.Known != 0 || got.Recent != 1 {
			t.Errorf("%s: %+v", r, got)
		}
		if since, _ := b.Since(who, w.o.Key.Address(addr(t, r))); since.After(w.time()) {
			t.Errorf("%s is known from %v on", r, since)
		}
	}
}

// Learning takes nothing off what is held against an account, and lets nothing go.
func TestLearningClearsNoEvidence(t *testing.T) {
	w := newWorld(t, nil)
	id, _ := w.submit("v1@remote1.test")
	states := func() (all []byte) {
		must(t, w.st.Scan(t.Context(), store.Prefix([]byte(prefixState)), func(k, v []byte) (bool, error) {
			all = append(append(all, k...), v...)
			return true, nil
		}))
		return all
	}
	before := states()
	w.learn(func(int) [][]byte { return nil }, met(t, "v1@remote1.test", w.time().Add(-1000*time.Hour)))
	if !bytes.Equal(before, states()) {
		t.Error("what is known of the account has changed")
	}
	if waits, _ := w.due(id, "v1@remote1.test"); waits != 1 {
		t.Error("who waited may leave")
	}
	ids, _ := w.blast(1000, time.Millisecond)
	straight := newWorld(t, nil)
	_, _ = straight.submit("v1@remote1.test")
	want, _ := straight.blast(1000, time.Millisecond)
	if len(w.found) != 1 || len(ids) > len(want) {
		t.Errorf("%d messages taken, %d without", len(ids), len(want))
	}
	if _, j := w.submit("v1@remote1.test"); !j.Contained {
		t.Error("the account goes on")
	}
}

// What is learnt of a colleague is learnt of the account, whatever the address is.
func TestColleaguesAreLearntByAccount(t *testing.T) {
	w := newWorld(t, nil)
	w.learn(func(int) [][]byte { return nil }, Acquaintance{Way{addr(t, "info@local.test"), addr(t, "bob@local.test")}, w.time().Add(-48 * time.Hour)})
	j := w.Submitted(t.Context(), Submission{Act: Act{Account: addr(t, "alice@local.test")}, Ways: []Way{{addr(t, "bob@local.test"), addr(t, "bob@local.test")}}})
	if j.Waits {
		t.Error("a colleague waits")
	}
	j.Done(false)
}
