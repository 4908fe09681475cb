package watch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// refusalsAlone leaves no evidence but that of refused recipients.
func refusalsAlone(s *Settings) {
	p := &s.Params
	p.SiteNovelty.Sure, p.SiteNovelty.Mixed, p.Strangers.Sure, p.Strangers.Mixed = 0, 0, 0, 0
	p.SitePace.Weight, p.SitePace.Slowly, p.AccountPace.Weight = 0, 0, 0
}

// refusals has other servers refuse one recipient after the other, each of a message of his
// own, with so many taken between two, and returns how many it took to contain the account.
func refusals(t *testing.T, between int, submitted bool, to func(n int) string) (int, *world) {
	t.Helper()
	w := newWorld(t, refusalsAlone)
	alice := addr(t, "alice@local.test")
	sent := func(n int, address string, refused bool) {
		if submitted {
			w.submit(address)
		}
		a := Answer{Account: alice, Taken: 1, All: 1}
		if refused {
			a = Answer{Account: alice, Refused: []mail.Address{addr(t, address)}, All: 1}
		}
		w.Answered(t.Context(), a)
	}
	for n := range 40 {
		sent(n, to(n), true)
		if len(w.found) > 0 {
			return n + 1, w
		}
		for k := range between {
			sent(n, fmt.Sprintf("there%d-%d@far.test", n, k), false)
		}
	}
	return 0, w
}

// What other servers refuse contains an account, whether its messages were counted when they
// were submitted or not: until somebody answers they speak for nobody. Whom other servers
// take speaks for the account, and the same address again is no other one.
func TestAnswersOfOtherServers(t *testing.T) {
	gone := func(n int) string { return fmt.Sprintf("gone%d@far.test", n) }
	alone, w := refusals(t, 0, false, gone)
	if alone < 2 || alone > 5 {
		t.Errorf("%d refusals contain an account", alone)
	}
	if told := w.log.String(); !strings.Contains(told, "an account was contained") || strings.Contains(told, "peer=") || strings.Contains(told, "invalid") {
		t.Errorf("what is found by answers of other servers was sent by nobody in particular, and the log says\n%s", told)
	}
	if sent, _ := refusals(t, 0, true, gone); sent != alone {
		t.Errorf("%d refusals contain an account whose messages were submitted, %d one whose were not", sent, alone)
	}
	if mixed, _ := refusals(t, 9, true, gone); mixed != 0 && mixed <= alone {
		t.Errorf("%d refusals contain an account of which nine in ten are taken, as %d do without them", mixed, alone)
	}
	if same, _ := refusals(t, 0, true, func(int) string { return "gone@far.test" }); same != 0 {
		t.Errorf("the same address contains an account, refused %d times", same)
	}
}

// Who is found by what other servers refuse is whoever submitted those messages: the incident
// names his credential, and no other of the account.
func TestRefusalsNameTheCredentialOfTheirMessages(t *testing.T) {
	w := newWorld(t, refusalsAlone)
	alice := addr(t, "alice@local.test")
	stolen := accounts.Credential{ID: "app-stolen", Name: "stolen", Kind: accounts.KindApp, Created: w.time()}
	var thief []mail.ID
	at := w.time()
	w.Watch.o.Submitted = func(_ context.Context, of mail.Address, id mail.ID) (Handed, error) {
		if of != alice || !slices.Contains(thief, id) {
			return Handed{}, errors.New("not known")
		}
		return Handed{Used: []accounts.Credential{stolen}, Session: fact.Session{Peer: netip.MustParseAddr("203.0.113.9"), Door: "submissions", Hello: "thief.test"}, At: at}, nil
	}
	w.pass(time.Hour)
	for n := range 40 {
		id, err := mail.NewID(w.time(), rand.Reader)
		must(t, err)
		thief = append(thief, id)
		w.Answered(t.Context(), Answer{Account: alice, Message: id, Refused: []mail.Address{addr(t, fmt.Sprintf("gone%d@far.test", n))}, All: 1})
		if len(w.found) > 0 {
			break
		}
	}
	if len(w.found) != 1 || !slices.Equal(w.found[0].Used, []string{"app-stolen"}) || w.found[0].Credential != "the app password stolen" {
		t.Fatalf("%+v", w.found)
	}
	if i := w.found[0]; len(i.Seen) != 1 || i.Seen[0].Peer.String() != "203.0.113.9" || i.Seen[0].Program != "thief.test" || !i.Seen[0].At.Equal(at) || i.Since.After(at) {
		t.Errorf("the incident does not say whence they came: since %s, %+v", i.Since, i.Seen)
	}
}

// Who wrote to an account with proof that it was he chooses what his server answers: nobody has an account contained by writing to
// it and refusing its answers. What others refuse counts as ever, and so does it once he is forgotten.
func TestWhoWroteFirstContainsNobodyByRefusing(t *testing.T) {
	for name, c := range map[string]struct {
		hears bool
		later time.Duration
		want  bool
	}{
		"they wrote first":          {true, time.Hour, false},
		"they did not":              {false, time.Hour, true},
		"they wrote a quarter ago":  {true, 100 * 24 * time.Hour, true},
		"they wrote two months ago": {true, 60 * 24 * time.Hour, false},
	} {
		w := newWorld(t, refusalsAlone)
		alice := addr(t, "alice@local.test")
		for n := range 20 {
			if c.hears {
				w.hears(fmt.Sprintf("c%d@evil%d.test", n, n), "alice@local.test")
			}
		}
		w.pass(c.later)
		for n := range 20 {
			who := fmt.Sprintf("c%d@evil%d.test", n, n)
			w.submit(who)
			w.Answered(t.Context(), Answer{Account: alice, Refused: []mail.Address{addr(t, who)}, All: 1})
		}
		if got := len(w.found) > 0; got != c.want {
			t.Errorf("%s: contained %v", name, got)
		}
	}
}

// That correspondents are gone says nothing of the account: a partner's server loses its people, or a class leaves, and whoever
// writes to them as ever is not contained. To whom it wrote for the first time counts, however late the answer comes, and so does
// everybody to whom it wrote first that day. A server behind us, which refuses at once, knew them by their mailboxes.
func TestCorrespondentsWhoAreGoneContainNobody(t *testing.T) {
	people := func(n int) string { return fmt.Sprintf("p%d@partner.test", n) }
	for name, c := range map[string]struct {
		known, late time.Duration // for how long they are known, and until the answer comes
		behind      bool
		want        bool
	}{
		"they are known for two days":      {48 * time.Hour, 0, false, false},
		"they are known since this noon":   {6 * time.Hour, 0, false, true},
		"they are unknown":                 {0, 0, false, true},
		"they are unknown, days later":     {0, 72 * time.Hour, false, true},
		"they are known, of a server here": {48 * time.Hour, 0, true, false},
		"they are unknown, of one here":    {0, 0, true, true},
	} {
		w := newWorld(t, refusalsAlone)
		alice, b := addr(t, "alice@local.test"), newBook(t.Context(), w.st, w.time(), time.Hour)
		var known []hijack.Fingerprint
		for n := range 20 {
			a := addr(t, people(n))
			if known = append(known, w.o.Key.Address(a)); c.behind {
				known[n] = w.o.Key.Account(a.Key())
			}
		}
		if c.known > 0 {
			_, err := w.st.Apply(t.Context(), store.Tx{Mutations: b.learn(hijack.Wrote(w.o.Key.Account(alice.Key()), known, w.time()))}, store.Durable)
			must(t, err)
		}
		w.pass(c.known)
		var sent []mail.ID
		for n := range 20 {
			if c.behind {
				sent = append(sent, mail.ID{})
				continue
			}
			id, _ := w.submit(people(n))
			sent = append(sent, id)
		}
		w.pass(c.late)
		for n := range 20 {
			switch a := addr(t, people(n)); {
			case !c.behind:
				w.Answered(t.Context(), Answer{Account: alice, Message: sent[n], Refused: []mail.Address{a}, All: 1})
			case w.Mistaken(t.Context(), alice, a):
				w.Refused(t.Context(), Act{Account: alice}, 1, 1)
			}
		}
		if got := len(w.found) > 0; got != c.want {
			t.Errorf("%s: contained %v", name, got)
		}
	}
}
