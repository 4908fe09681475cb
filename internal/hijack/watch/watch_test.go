package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// world is a watch over a store in memory, with a clock that tests move.
type world struct {
	*Watch
	t     *testing.T
	st    store.Store
	mu    sync.Mutex
	now   time.Time
	roles map[string]accounts.Account
	ids   int
	found []incident.Incident
	told  []fact.Fact
	fails error // of the next containment
	log   bytes.Buffer
}

func newWorld(t *testing.T, set func(*Settings)) *world {
	t.Helper()
	w := &world{t: t, st: mem.New(), now: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC), roles: map[string]accounts.Account{}}
	t.Cleanup(func() { w.st.Close() })
	w.open(set)
	return w
}

// open opens the watch anew, as after a crash: nothing is kept but the store.
func (w *world) open(set func(*Settings)) {
	w.t.Helper()
	key, err := hijack.NewKey(bytes.Repeat([]byte{7}, hijack.KeyOctets))
	must(w.t, err)
	s := Settings{Params: hijack.DefaultParams()}
	if set != nil {
		set(&s)
	}
	w.Watch, err = Open(w.t.Context(), Options{
		Store: w.st, Key: key, Settings: s,
		Limits: Limits{
			Accounts: 4, Heard: 40, HeardFor: 90 * 24 * time.Hour, HeardDay: 30, HeardDomainDay: 25,
			HeardAtOnce: 2, Origins: 5, Shared: 50, SharedFor: 30 * 24 * time.Hour, PastFacts: 100_000,
			PastSent: 500, PastBatch: 100,
		},
		Account: w.account, Now: w.time, Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Allowance: func(accounts.Account) budget.Limits { return budget.Limits{Hour: 1000, Day: 5000} },
		Contain:   w.contain, Pause: w.pauses, Queued: func(context.Context, mail.ID) bool { return false },
		Write: func(_ context.Context, facts ...fact.Fact) error { w.told = append(w.told, facts...); return nil },
	})
	must(w.t, err)
}

func (w *world) time() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

func (w *world) account(a mail.Address) (accounts.Account, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	acc, ok := w.roles[a.Key()]
	if acc.Standing == missing.Standing && ok {
		return acc, false
	}
	if !ok && a.Domain().ASCII() != "local.test" {
		return acc, false
	}
	if !ok {
		acc = accounts.Account{Address: a, Role: accounts.RolePerson, Standing: accounts.StandingActive}
	}
	return acc, true
}

func (w *world) contain(_ context.Context, i incident.Incident, _ ...fact.Pair) (incident.Incident, accounts.Account, int, error) {
	if w.fails != nil {
		return i, accounts.Account{}, 0, w.fails
	}
	a, _ := w.account(i.Account)
	a.Standing, a.ReadsOn = accounts.StandingFrozen, i.Known
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roles[i.Account.Key()] = a
	w.found = append(w.found, i)
	return i, a, 0, nil
}

func (w *world) pauses(ctx context.Context, i incident.Incident, _ []fact.Pair, with ...store.Planner) (incident.Incident, error) {
	if w.fails != nil {
		return i, w.fails
	}
	tx, done, err := store.Tx{}.With(ctx, with...)
	if err == nil {
		_, err = w.st.Apply(ctx, tx, store.Durable)
		err = done(err)
	}
	w.found = append(w.found, i)
	return i, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

func (w *world) nextID() mail.ID {
	w.ids++
	id, err := mail.NewID(w.time(), bytes.NewReader(bytes.Repeat([]byte{byte(w.ids), byte(w.ids >> 8)}, 32)))
	must(w.t, err)
	return id
}

// submit hands in a message of alice and makes it durable, as intake does.
func (w *world) submit(to ...string) (mail.ID, Judged) {
	w.t.Helper()
	id := w.nextID()
	m := Submission{Act: Act{Account: addr(w.t, "alice@local.test")}, ID: id}
	for _, r := range to {
		m.Ways = append(m.Ways, Way{Recipient: addr(w.t, r)})
	}
	j := w.Submitted(w.t.Context(), m)
	if j.Contained || j.Fault != nil {
		return id, j
	}
	_, err := w.st.Apply(w.t.Context(), store.Tx{Mutations: j.Also}, store.Durable)
	must(w.t, err)
	j.Done(true)
	return id, j
}

// due asks what of a message may be tried now.
func (w *world) due(id mail.ID, to ...string) (waits int, wait time.Duration) {
	var ways []Way
	for _, r := range to {
		ways = append(ways, Way{Recipient: addr(w.t, r)})
	}
	all, wait := w.Waits(w.t.Context(), id, ways)
	return len(all), wait
}

// blast writes to strangers, one after the other, until the account is contained, and
// returns how many messages were taken.
func (w *world) blast(most int, each time.Duration) (ids []mail.ID, to []string) {
	for n := range most {
		r := fmt.Sprintf("v%d-%d@remote%d.test", w.ids, n, n)
		id, j := w.submit(r)
		if j.Contained {
			return ids, to
		}
		ids, to = append(ids, id), append(to, r)
		w.pass(each)
	}
	return ids, to
}

func TestABlastIsContained(t *testing.T) {
	w := newWorld(t, nil)
	ids, to := w.blast(1000, 50*time.Millisecond)
	if len(w.found) != 1 || len(ids) > 10 {
		t.Fatalf("%d messages were taken, %d incidents", len(ids), len(w.found))
	}
	// Nothing of it has left.
	for i, id := range ids {
		if waits, _ := w.due(id, to[i]); waits != 1 {
			t.Errorf("message %d may leave", i)
		}
	}
	i := w.found[0]
	if i.Account.String() != "alice@local.test" || i.Rule != Rule || len(i.Evidence) == 0 || i.Odds < 1e4 || i.Since.IsZero() {
		t.Errorf("%+v", i)
	}
	if _, j := w.submit("x@remote.test"); !j.Contained || len(w.found) != 1 {
		t.Errorf("it goes on: %+v, %d incidents", j, len(w.found))
	}
}

// A crash, or many, forgets nothing that was answered with 250.
func TestRestartsGiveNothingBack(t *testing.T) {
	w := newWorld(t, nil)
	taken := 0
	for range 100 {
		ids, _ := w.blast(1, time.Millisecond)
		if taken += len(ids); len(ids) == 0 {
			break
		}
		w.open(nil)
	}
	straight := newWorld(t, nil)
	ids, _ := straight.blast(100, time.Millisecond)
	if taken != len(ids) || len(w.found) != 1 {
		t.Errorf("%d messages with restarts, %d without", taken, len(ids))
	}
}

// Acts may reach the disk in another order than they were made.
func TestTheLatestKnowledgeCounts(t *testing.T) {
	w := newWorld(t, nil)
	a := addr(t, "alice@local.test")
	var all []Judged
	for n := range 3 {
		all = append(all, w.Submitted(t.Context(), Submission{Act: Act{Account: a}, Ways: []Way{{Recipient: addr(t, fmt.Sprintf("v%d@r%d.test", n, n))}}}))
	}
	for _, n := range []int{2, 0, 1} {
		_, err := w.st.Apply(t.Context(), store.Tx{Mutations: all[n].Also}, store.Durable)
		must(t, err)
	}
	before, err := w.enter(t.Context(), a)
	must(t, err)
	want := before.state
	before.mu.Unlock()
	w.open(nil)
	after, err := w.enter(t.Context(), a)
	must(t, err)
	if after.state != want {
		t.Error("the state that was read is an older one")
	}
}

func TestTheHoldWindow(t *testing.T) {
	w := newWorld(t, nil)
	id, j := w.submit("new@remote.test")
	if !j.Waits {
		t.Fatal("it leaves at once")
	}
	if waits, wait := w.due(id, "new@remote.test"); waits != 1 || wait != 20*time.Second {
		t.Errorf("%d wait for %v", waits, wait)
	}
	if why := w.WhyWaits(id); !strings.Contains(why, "nobody here ever wrote") {
		t.Errorf("it waits because %q", why)
	}
	// The same recipient again does not overtake the first message.
	second, _ := w.submit("new@remote.test")
	if waits, _ := w.due(second, "new@remote.test"); waits != 1 {
		t.Error("a second message leaves before the first")
	}
	w.open(nil)
	if waits, _ := w.due(id, "new@remote.test"); waits != 1 {
		t.Error("a restart lets it go")
	}
	w.pass(-2 * time.Hour) // the clock is set back
	if why := w.WhyWaits(id); why != "" {
		t.Errorf("nobody waits for hours, and it waits because %q", why)
	}
	w.pass(2 * time.Hour)
	w.open(func(s *Settings) { s.Mode = hijack.Observe })
	if why := w.WhyWaits(id); why != "" {
		t.Errorf("where nobody is stopped, it waits because %q", why)
	}
	w.open(nil)
	w.pass(21 * time.Second)
	if why := w.WhyWaits(id); why != "" {
		t.Errorf("it may leave, and waits because %q", why)
	}
	if waits, _ := w.due(id, "new@remote.test"); waits != 0 {
		t.Error("it waits on")
	}
	w.pass(48 * time.Hour)
	if id, j := w.submit("new@remote.test"); j.Waits {
		if waits, _ := w.due(id, "new@remote.test"); waits != 0 {
			t.Error("an old acquaintance waits")
		}
	}
	free := newWorld(t, func(s *Settings) { s.Params.Hold = 0 })
	if _, j := free.submit("new@remote.test"); j.Waits {
		t.Error("it waits for nothing")
	}
}

// However many recipients a message has, no more than the bounds say leave.
func TestTheBucketHolds(t *testing.T) {
	w := newWorld(t, func(s *Settings) {
		s.Params.Odds, s.Params.Hold = 1e9, 0
		s.Params.Bounds = hijack.Bounds{Burst: 5, Hour: 60, Day: 8, Week: 300}
	})
	var to []string
	for n := range 20 {
		to = append(to, fmt.Sprintf("v%d@remote.test", n))
	}
	id, j := w.submit(to...)
	if !j.Waits {
		t.Fatalf("all of them leave: %+v", j)
	}
	waits, wait := w.due(id, to...)
	if waits != 15 || wait != askAgain {
		t.Errorf("%d wait for %v", waits, wait)
	}
	if why := w.WhyWaits(id); !strings.Contains(why, "as many new people as it may") {
		t.Errorf("it waits because %q", why)
	}
	w.open(func(s *Settings) { *s = w.Settings() })
	w.pass(3 * time.Minute) // room for three more
	if waits, _ = w.due(id, to...); waits != 12 {
		t.Errorf("%d wait", waits)
	}
	w.pass(3 * time.Hour) // the day has eight
	if waits, _ = w.due(id, to...); waits != 12 {
		t.Errorf("%d wait", waits)
	}
	// A second message to one who waits waits as well.
	again, _ := w.submit(to[19])
	if waits, _ = w.due(again, to[19]); waits != 1 {
		t.Error("who waits is written to by another message")
	}
	for range 40 {
		w.pass(25 * time.Hour)
		if waits, _ = w.due(id, to...); waits == 0 {
			return
		}
	}
	t.Errorf("%d wait for ever", waits)
}

func TestMoreOddsTakeLonger(t *testing.T) {
	few, many := newWorld(t, func(s *Settings) { s.Params.Odds = 1000 }), newWorld(t, func(s *Settings) { s.Params.Odds = 1e8 })
	a, _ := few.blast(1000, time.Second)
	b, _ := many.blast(1000, time.Second)
	if len(a) >= len(b) || len(many.found) != 1 {
		t.Errorf("%d messages at odds of a thousand, %d at a hundred million", len(a), len(b))
	}
}

func TestObservingDoesNothing(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.Mode = hijack.Observe })
	ids, to := w.blast(30, time.Second)
	if len(ids) != 30 || len(w.found) != 0 {
		t.Fatalf("%d of 30 taken, %d incidents", len(ids), len(w.found))
	}
	for i, id := range ids {
		if waits, _ := w.due(id, to[i]); waits != 0 {
			t.Errorf("message %d waits", i)
		}
	}
	if len(w.told) != 1 || w.told[0].Rule != RuleObserved {
		t.Errorf("told %v", w.told)
	}
}

func TestOffRemembersNothing(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.Mode = hijack.Off })
	if ids, _ := w.blast(30, time.Second); len(ids) != 30 {
		t.Errorf("%d of 30 taken", len(ids))
	}
	must(t, w.st.Scan(t.Context(), store.Prefix([]byte(prefix)), func(k, _ []byte) (bool, error) {
		t.Errorf("%q is remembered", k)
		return true, nil
	}))
}

// Nothing is taken from an account that must be contained and cannot be.
func TestAFaultTakesNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.fails = errors.New("the disk is full")
	ids, _ := w.blast(8, time.Millisecond)
	w.mu.Lock()
	w.mu.Unlock()
	_, j := w.submit("x@remote.test")
	if j.Fault == nil || j.Contained {
		t.Fatalf("%d taken, then %+v", len(ids), j)
	}
	w.fails = nil
	if _, j := w.submit("x@remote.test"); !j.Contained {
		t.Errorf("%+v", j)
	}
}

// After an incident the owner works again, and what the thief wrote to is forgotten.
func TestTheOwnerWorksAgain(t *testing.T) {
	w := newWorld(t, nil)
	alice := addr(t, "alice@local.test")
	_, _ = w.submit("friend@remote.test")
	w.pass(72 * time.Hour)
	_, to := w.blast(1000, 50*time.Millisecond)
	s, err := w.Clearing(alice, w.found[0].Since, false)(t.Context())
	must(t, err)
	_, err = w.st.Apply(t.Context(), store.Tx{Mutations: s.Mutations}, store.Durable)
	must(t, err)
	must(t, s.Done(nil))
	w.mu.Lock()
	delete(w.roles, "alice@local.test")
	w.mu.Unlock()
	w.open(nil)
	if _, j := w.submit("friend@remote.test"); j.Contained || j.Waits {
		t.Errorf("the owner's first message: %+v", j)
	}
	b := newBook(t.Context(), w.st, w.time(), w.o.Limits.HeardFor)
	who := w.o.Key.Account("alice@local.test")
	for _, r := range to {
		if _, known := b.Since(who, w.o.Key.Address(addr(t, r))); known {
			t.Errorf("%s is known", r)
		}
	}
	if _, known := b.Since(who, w.o.Key.Address(addr(t, "friend@remote.test"))); !known {
		t.Error("a friend is forgotten")
	}
}

// Many sessions at once are judged one after the other.
func TestSessionsAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	var all sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for n := range 32 {
		all.Go(func() {
			j := w.Submitted(t.Context(), Submission{Act: Act{Account: addr(t, "alice@local.test")}, Ways: []Way{{Recipient: addr(t, fmt.Sprintf("v%d@r%d.test", n, n))}}})
			mu.Lock()
			defer mu.Unlock()
			if !j.Contained {
				taken++
			}
			j.Done(!j.Contained)
		})
	}
	all.Wait()
	straight := newWorld(t, nil)
	ids, _ := straight.blast(32, 0)
	if taken > len(ids) {
		t.Errorf("%d taken at once, %d one after the other", taken, len(ids))
	}
}

// The same misspelt address again is no other one, and whoever misspells more than are kept
// tries a list.
func TestTheSameMistakeCountsOnce(t *testing.T) {
	w := newWorld(t, nil)
	alice, bob := addr(t, "alice@local.test"), addr(t, "bob@local.test")
	for n := range 3 {
		for _, of := range []mail.Address{alice, bob} {
			if got := w.Mistaken(t.Context(), of, addr(t, "carrol@far.test")); got != (n == 0) {
				t.Errorf("the mistake of %s counts: %t, time %d", of, got, n+1)
			}
		}
	}
	class := func(n int) mail.Address { return addr(t, fmt.Sprintf("pupil%d@far.test", n)) }
	for try := range 5 {
		for n := range 100 { // as a message to a whole class has
			if got := w.Mistaken(t.Context(), alice, class(n)); got != (try == 0) {
				t.Fatalf("pupil %d of a list that is tried again counts: %t, time %d", n, got, try+1)
			}
		}
	}
	for n := range 2 * (mistakesMost + 1) {
		if !w.Mistaken(t.Context(), bob, addr(t, fmt.Sprintf("word%d@far.test", n%(mistakesMost+1)))) {
			t.Errorf("word %d does not count", n)
		}
	}
}

// What is held in memory is bounded, and what was forgotten is read again.
func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	for n := range 40 {
		a := addr(t, fmt.Sprintf("p%d@local.test", n))
		w.Watch.Refused(t.Context(), Act{Account: a}, 1, 2)
	}
	if len(w.accounts) > 2*4 {
		t.Errorf("%d accounts are held", len(w.accounts))
	}
	a, err := w.enter(t.Context(), addr(t, "p0@local.test"))
	must(t, err)
	if a.state == (hijack.State{}) {
		t.Error("an account is forgotten")
	}
}

// A forward that was changed before a burst makes the evidence for it stronger, and is part of the
// incident; also over a restart. What was changed long before is not.
func TestAChangedForwardIsEvidence(t *testing.T) {
	alice := addr(t, "alice@local.test")
	blast := func(before func(w *world)) (incident.Incident, int) {
		t.Helper()
		w := newWorld(t, nil)
		before(w)
		w.open(nil)
		ids, _ := w.blast(100, 50*time.Millisecond)
		if len(w.found) != 1 {
			t.Fatalf("%d incidents", len(w.found))
		}
		return w.found[0], len(ids)
	}
	plain, most := blast(func(w *world) {
		w.event(t.Context(), Act{Account: alice}, hijack.SignedIn{At: w.time()})
		w.pass(8 * time.Hour)
	})
	var at time.Time
	changed, taken := blast(func(w *world) {
		w.Changed(t.Context(), alice, "its forward leads to old@mallory.test as well")
		w.pass(7 * time.Hour)
		at = w.time()
		w.Changed(t.Context(), alice, "its forward leads to x@mallory.test as well")
		w.Changed(t.Context(), addr(t, "bob@local.test"), "its forward leads to other@mallory.test as well")
		w.pass(time.Hour)
	})
	text := strings.Join(changed.Evidence, "\n")
	if !strings.Contains(text, "x@mallory.test") || strings.Contains(text, "other@") || strings.Contains(text, "old@") || !changed.Since.Equal(at) {
		t.Errorf("since %s, and it was changed at %s:\n%s", changed.Since, at, text)
	}
	if taken > most || taken == most && changed.Odds <= plain.Odds {
		t.Errorf("odds of %g after %d messages, and of %g after %d without it", changed.Odds, taken, plain.Odds, most)
	}
	if strings.Contains(strings.Join(plain.Evidence, "\n"), "forward") {
		t.Errorf("%s", plain.Evidence)
	}
}
