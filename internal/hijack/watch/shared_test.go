package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/store"
)

// office is where everybody is at home, and cafe a network that nobody used before.
const (
	office = "192.0.2.0/24"
	cafe   = "203.0.113.0/24"
)

// settle makes a site with history, whose people have signed in from the office for long.
func (w *world) settle(people int) (all []string) {
	w.t.Helper()
	for n := range 400 {
		e := hijack.Submitted{At: w.time().Add(time.Duration(n) * time.Second), Recipients: hijack.Recipients{Known: 1, Acquainted: true}}
		w.learnt(e, hijack.Verdict{}, hijack.DefaultParams())
	}
	for n := range people {
		who := fmt.Sprintf("u%d@local.test", n)
		all = append(all, who)
		w.SignedIn(w.t.Context(), Act{Account: addr(w.t, who), Network: office, Offer: "304-own"})
	}
	w.pass(3 * 24 * time.Hour)
	w.learnt(hijack.Submitted{At: w.time(), Recipients: hijack.Recipients{Known: 1}}, hijack.Verdict{}, hijack.DefaultParams())
	w.priors(w.time())
	return all
}

// sends submits a message as an account, and makes it durable where it is taken.
func (w *world) sends(m Submission, account, to string) (Submission, Judged) {
	w.t.Helper()
	m.ID = w.nextID()
	m.Account, m.Ways = addr(w.t, account), []Way{{Recipient: addr(w.t, to)}}
	j := w.Submitted(w.t.Context(), m)
	if !j.Contained && j.Fault == nil && j.Paused.IsZero() {
		_, err := w.st.Apply(w.t.Context(), store.Tx{Mutations: j.Also}, store.Durable)
		must(w.t, err)
		j.Done(true)
	}
	w.pass(500 * time.Millisecond)
	return m, j
}

// crowd has each account write to a stranger, until something is paused.
func (w *world) crowd(all []string, of func(n int) Submission) (taken []Submission, paused incident.Shared) {
	for n, who := range all {
		m, j := w.sends(of(n), who, fmt.Sprintf("v%d@remote%d.test", n, n))
		if !j.Paused.IsZero() {
			return taken, j.Paused
		}
		taken = append(taken, m)
	}
	return taken, incident.Shared{}
}

func stolen(n int) Submission { return Submission{Act: Act{Network: cafe}} }

// Many accounts that do a little each, from a network that none of them used before, have
// it paused; nothing of it leaves, and no account is stopped.
func TestASharedNetworkIsPaused(t *testing.T) {
	w := newWorld(t, nil)
	people := w.settle(20)
	taken, of := w.crowd(people, stolen)
	want := incident.Shared{Kind: incident.KindNetwork, Text: cafe}
	if of != want || len(taken) > 5 || len(w.found) != 1 {
		t.Fatalf("%s is paused after %d messages, with %d incidents", of, len(taken), len(w.found))
	}
	i := w.found[0]
	if i.Shared != want || !i.Account.IsZero() || i.Rule != RuleShared || i.Odds < 1e4 ||
		len(i.Accounts) < 5 || len(i.Evidence) != len(i.Accounts) || !strings.Contains(i.Reason, cafe) ||
		!strings.HasSuffix(i.Reason, "odds "+hijack.OddsWords(i.Odds)) {
		t.Errorf("%+v", i)
	}
	wait := func(what string, want int) {
		t.Helper()
		for _, m := range taken {
			if waits, _ := w.Waits(t.Context(), m.ID, m.Ways); len(waits) != want {
				t.Errorf("%s: %d of the message of %s wait", what, len(waits), m.Account)
			}
		}
	}
	w.pass(time.Hour)
	wait("an hour later", 1)
	if why := w.WhyWaits(taken[0].ID); !strings.Contains(why, "paused for all accounts: "+want.String()+" ") {
		t.Errorf("it waits because %q", why)
	}
	w.open(nil)
	wait("after a restart", 1)
	if _, j := w.sends(stolen(0), people[7], "friend@remote.test"); j.Paused != want {
		t.Errorf("after a restart it is paused no more: %+v", j)
	}
	if _, j := w.sends(Submission{Act: Act{Network: office}}, people[0], "friend@remote.test"); !j.Paused.IsZero() || j.Contained {
		t.Errorf("an account is stopped: %+v", j)
	}
	// A person ends it.
	tx, done, err := store.Tx{}.With(t.Context(), w.Resuming(want))
	must(t, err)
	_, err = w.st.Apply(t.Context(), tx, store.Durable)
	must(t, done(err))
	if why := w.WhyWaits(taken[0].ID); why != "" {
		t.Errorf("nothing is paused, and it waits because %q", why)
	}
	wait("in the end", 0)
	w.open(nil)
	if _, j := w.sends(stolen(0), people[7], "friend@remote.test"); !j.Paused.IsZero() {
		t.Errorf("it is paused still: %+v", j)
	}
}

// A program and a text are paused as a network is, wherever they come from.
func TestSharedProgramsAndTextsArePaused(t *testing.T) {
	for kind, of := range map[incident.Kind]func(n int) Submission{
		incident.KindTLS: func(n int) Submission {
			return Submission{Act: Act{Network: fmt.Sprintf("198.51.%d.0/24", n), Offer: "303-evil"}}
		},
		incident.KindText: func(n int) Submission {
			return Submission{Act: Act{Network: fmt.Sprintf("198.51.%d.0/24", n), Offer: fmt.Sprintf("304-%d", n)}, Gist: "abc"}
		},
	} {
		w := newWorld(t, nil)
		if taken, paused := w.crowd(w.settle(20), of); paused.Kind != kind || len(taken) > 5 {
			t.Errorf("%s: %s is paused after %d messages", kind, paused, len(taken))
		}
	}
}

// What honest people have in common is not paused: a text that many colleagues send from
// home, a new version of a program, a network of which all come, a journey with one's own computer to
// known people, this host itself, and accounts that are new.
func TestHonestCrowdsAreNotPaused(t *testing.T) {
	fresh := make([]string, 20)
	for n := range fresh {
		fresh[n] = fmt.Sprintf("new%d@local.test", n)
	}
	for what, c := range map[string]struct {
		who []string
		of  func(n int) Submission
	}{
		"a newsletter": {nil, func(int) Submission { return Submission{Act: Act{Network: office}, Gist: "abc"} }},
		"an update":    {nil, func(int) Submission { return Submission{Act: Act{Network: office, Offer: "304-next"}} }},
		"this host":    {nil, func(int) Submission { return Submission{Act: Act{Network: "127.0.0.0/24"}, Gist: "abc"} }},
		"no network":   {nil, func(int) Submission { return Submission{Gist: "abc"} }},
		"new accounts": {fresh, stolen},
	} {
		w := newWorld(t, nil)
		who := w.settle(20)
		if c.who != nil {
			who = c.who
		}
		if taken, of := w.crowd(who, c.of); !of.IsZero() || len(taken) != len(who) {
			t.Errorf("%s: %s is paused after %d messages", what, of, len(taken))
		}
	}
	// A site without history pauses nothing.
	w := newWorld(t, nil)
	var all []string
	for n := range 20 {
		all = append(all, fmt.Sprintf("u%d@local.test", n))
		w.SignedIn(t.Context(), Act{Account: addr(t, all[n]), Network: office})
	}
	w.pass(25 * time.Hour)
	if _, of := w.crowd(all, stolen); !of.IsZero() {
		t.Errorf("on the second day %s is paused", of)
	}
}

// Whoever was at home in it a day before is not concerned.
func TestWhoIsAtHomeGoesOn(t *testing.T) {
	w := newWorld(t, nil)
	people := w.settle(20)
	w.SignedIn(t.Context(), Act{Account: addr(t, people[19]), Network: cafe})
	w.pass(hijack.Settled)
	if _, of := w.crowd(people[:19], stolen); of.Text != cafe {
		t.Fatalf("%s is paused", of)
	}
	if _, j := w.sends(stolen(0), people[19], "friend@remote.test"); !j.Paused.IsZero() {
		t.Errorf("who is at home there is put off: %+v", j)
	}
	if _, j := w.sends(stolen(0), people[0], "friend@remote.test"); j.Paused.IsZero() {
		t.Error("who is not at home there is not put off")
	}
}

// What only observes pauses nothing, and says so.
func TestObservedSharing(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.Mode = hijack.Observe })
	taken, of := w.crowd(w.settle(20), stolen)
	if !of.IsZero() || len(taken) != 20 || len(w.found) != 0 {
		t.Errorf("%s is paused after %d messages", of, len(taken))
	}
	if !slices.ContainsFunc(w.told, func(f fact.Fact) bool { return strings.Contains(f.Text, cafe+" would be paused") }) {
		t.Errorf("%v", w.told)
	}
}

// An incident that cannot be written takes no message, and the next one tries again.
func TestAPauseThatFails(t *testing.T) {
	w := newWorld(t, nil)
	people := w.settle(20)
	w.fails = fmt.Errorf("no")
	n := 0
	for ; n < 19; n++ {
		if _, j := w.sends(stolen(0), people[n], fmt.Sprintf("v%d@remote.test", n)); j.Fault != nil {
			break
		}
	}
	if n > 5 {
		t.Fatalf("%d messages were taken", n)
	}
	w.fails = nil
	if _, j := w.sends(stolen(0), people[n+1], "x@remote.test"); j.Paused.IsZero() || len(w.found) != 1 {
		t.Errorf("%+v, %d incidents", j, len(w.found))
	}
}

// What is known of what accounts share is bounded, and forgotten when nobody bears it.
func TestSharedIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	people := w.settle(2)
	for n := range 200 {
		w.sends(Submission{Act: Act{Network: fmt.Sprintf("10.%d.0.0/24", n)}}, people[0], fmt.Sprintf("v%d@remote.test", n))
		w.pass(time.Hour)
	}
	count := func() (stored int) {
		must(t, w.st.Scan(t.Context(), store.Prefix([]byte(prefixShared)), func(_, _ []byte) (bool, error) { stored++; return true, nil }))
		return stored
	}
	if n := len(w.shared.all); n > w.o.Limits.Shared || n == 0 || count() > n {
		t.Errorf("%d are known, %d are stored", n, count())
	}
	w.pass(w.o.Limits.SharedFor + time.Hour)
	w.fade(t.Context())
	if n := len(w.shared.all); n != 0 || count() != 0 {
		t.Errorf("%d are known, %d are stored", n, count())
	}
}
