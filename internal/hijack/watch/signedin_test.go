package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// The first program with which an account reads is not strange for having sent with others;
// a second one is, and a network is the account's however it came from there.
func TestReadersAreProgramsApart(t *testing.T) {
	w := newWorld(t, nil)
	alice := addr(t, "alice@local.test")
	suspicion := func() hijack.State {
		a, err := w.enter(t.Context(), alice)
		must(t, err)
		defer w.unpin(a)
		defer a.mu.Unlock()
		return a.state
	}
	act := func(program, network string, reads bool) {
		w.SignedIn(t.Context(), Act{Account: alice, Program: program, Network: network, Reads: reads})
	}
	act("mua PLAIN", "192.0.2.0/24", false)
	calm := suspicion()
	act("imap mua", "192.0.2.0/24", true)
	if got := suspicion(); got != calm {
		t.Error("to begin to read is strange")
	}
	act("imap other", "192.0.2.0/24", true)
	alert := suspicion()
	if alert == calm {
		t.Error("a second program that reads is as good as the first")
	}
	act("imap mua", "192.0.2.0/24", true)
	act("mua PLAIN", "192.0.2.0/24", false)
	if suspicion() != alert {
		t.Error("programs that are known are strange")
	}
	act("imap mua", "198.51.100.0/24", true) // the first from which it only reads: another place, and nothing else
	alert, _ = hijack.Advance(alert, hijack.SignedIn{At: w.time(), NewPlace: true}, w.priors(w.time()), w.params(alice))
	if suspicion() != alert {
		t.Error("to begin to read elsewhere is strange")
	}
	act("imap mua", "198.51.7.0/24", true)
	if suspicion() != alert {
		t.Error("a carrier's next address is strange")
	}
	act("imap mua", "203.0.113.0/24", true)
	far := suspicion()
	if far == alert {
		t.Error("a network from which nobody came is as good as another")
	}
	// To send from where it only read is new.
	act("mua PLAIN", "203.0.113.0/24", false)
	if suspicion() == far {
		t.Error("reading makes a network known to those who send")
	}
}

// A phone that reads for a day from a hundred addresses of its carrier's is no theft, and a
// password that is used from as many places as far apart is one.
func TestReadingFromManyPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		network func(n int) string
		found   bool
	}{
		"a carrier": {func(n int) string { return fmt.Sprintf("10.7.%d.0/24", n) }, false},
		"its IPv6":  {func(n int) string { return fmt.Sprintf("2001:db8:%x::/56", n) }, false},
		"a botnet":  {func(n int) string { return fmt.Sprintf("10.%d.1.0/24", n) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			alice := addr(t, "alice@local.test")
			for n := range 100 {
				w.SignedIn(t.Context(), Act{Account: alice, Network: c.network(n), Program: "imap mua", Reads: true})
				w.pass(time.Minute)
			}
			if found := len(w.found) > 0; found != c.found {
				t.Errorf("contained: %v, want %v", found, c.found)
			}
		})
	}
}

// Where as many networks are known as may be, the youngest gives way.
func TestManyNetworksStayKnown(t *testing.T) {
	w := newWorld(t, nil)
	who := w.o.Key.Account("alice@local.test")
	w.o.Limits.Origins = 3
	all := keyOf(prefixFrom, who)
	come := func(network string) bool {
		w.pass(time.Hour)
		fresh, also := w.origin(t.Context(), all, keyOf(prefixFrom, who, w.o.Key.Text("network", network)), w.time())
		if len(also) > 0 {
			_, err := w.st.Apply(t.Context(), store.Tx{Mutations: also}, store.Durable)
			must(t, err)
		}
		return fresh
	}
	for _, n := range []string{"home", "office", "train", "hotel"} {
		if come(n) == (n == "home") {
			t.Errorf("%s", n)
		}
	}
	for n, fresh := range map[string]bool{"home": false, "office": false, "hotel": false} {
		if come(n) != fresh {
			t.Errorf("%s is new: %v", n, !fresh)
		}
	}
	if !come("train") || come("train") || come("home") {
		t.Error("the youngest did not give way, or more than it did")
	}
}

// N04: a password that comes from five places far apart within ten minutes is contained at the
// fifth, by whichever door it comes and however the ten minutes are divided; an account that has
// been there for long and a new one alike.
func TestFivePlacesWithinTenMinutes(t *testing.T) {
	for name, gaps := range map[string][4]time.Duration{
		"at once":       {},
		"evenly":        {150 * time.Second, 150 * time.Second, 150 * time.Second, 150 * time.Second},
		"one, then all": {10 * time.Minute},
		"late":          {0, 0, 0, 10 * time.Minute},
	} {
		for _, old := range []bool{false, true} {
			for _, reads := range []bool{false, true} {
				for own := range 3 {
					t.Run(fmt.Sprintf("%s, old %v, reads %v, own programs %d", name, old, reads, own), func(t *testing.T) {
						w := newWorld(t, nil)
						alice, program := addr(t, "alice@local.test"), "mua"
						if old {
							w.SignedIn(t.Context(), Act{Account: alice, Network: "192.0.2.0/24", Program: "mua", Reads: reads})
							w.pass(30 * 24 * time.Hour)
							if own > 0 {
								program = "another"
							}
						}
						for n := range 5 {
							if len(w.found) > 0 {
								t.Fatalf("contained at place %d", n)
							}
							if old && own > 1 {
								program = fmt.Sprint("bot ", n)
							}
							w.SignedIn(t.Context(), Act{Account: alice, Network: fmt.Sprintf("%d.%d.1.0/24", 20+n, n), Program: program, Reads: reads})
							if n < len(gaps) {
								w.pass(gaps[n])
							}
						}
						if len(w.found) != 1 {
							t.Error("five places are nothing")
						}
					})
				}
			}
		}
	}
}

// A contained account is read on with what was not misused. Where that comes from five new places within ten minutes, whoever had one
// credential has another: it is revoked as well, once. The owner, who comes from one or another, reads on, also right after five
// places contained the account; what a person stopped altogether is nobody's matter here.
func TestAContainedAccountIsReadFromEverywhere(t *testing.T) {
	alice, phone, tablet := addr(t, "alice@local.test"), app("phone"), app("tablet")
	for _, by := range []string{"strangers", "places", "a person"} {
		w := newWorld(t, nil)
		good := []accounts.Credential{app("stolen"), phone, tablet}
		w.Watch.o.Credentials = func(mail.Address) ([]accounts.Credential, error) { return good, nil }
		n := 0
		reads := func(c accounts.Credential, places int) (found int) {
			for range places {
				n++
				w.SignedIn(t.Context(), Act{Account: alice, Used: []accounts.Credential{c}, Network: fmt.Sprintf("%d.%d.1.0/24", 20+n, n), Program: "mua", Reads: true})
				w.pass(time.Second)
			}
			return len(w.found)
		}
		w.SignedIn(t.Context(), Act{Account: alice, Used: []accounts.Credential{phone}, Network: "192.0.2.0/24", Program: "mua", Reads: true})
		w.pass(30 * 24 * time.Hour)
		switch by {
		case "strangers":
			for k := 0; len(w.found) == 0 && k < 20; k++ {
				w.handsIn(app("stolen"), true, fmt.Sprintf("v%d@far%d.test", k, k))
			}
		case "places":
			reads(app("stolen"), 5)
		case "a person":
			w.roles[alice.Key()] = accounts.Account{Address: alice, Role: accounts.RolePerson, Standing: accounts.StandingFrozen}
			if got := reads(phone, 10); got != 0 {
				t.Errorf("what a person stopped altogether is contained %d times", got)
			}
			continue
		}
		if len(w.found) != 1 {
			t.Fatalf("%s: contained %d times", by, len(w.found))
		}
		good = good[1:]
		if got := reads(app("stolen"), 10); got != 1 {
			t.Errorf("%s: what is dead is revoked again", by)
		}
		w.pass(time.Hour)
		if got := reads(tablet, 2); got != 1 {
			t.Errorf("%s: the owner's tablet is revoked in two new places", by)
		}
		w.pass(time.Hour)
		if got := reads(phone, 4); got != 1 {
			t.Errorf("%s: revoked at the fourth place", by)
		}
		if got := reads(phone, 1); got != 2 || !slices.Equal(w.found[1].Used, []string{"app-phone"}) || !strings.Contains(w.found[1].Reason, "places far apart") {
			t.Fatalf("%s: at the fifth place: %+v", by, w.found)
		}
		good = good[1:]
		if got := reads(tablet, 1); got != 2 {
			t.Errorf("%s: the owner's tablet is revoked after the thief", by)
		}
	}
}

// Somebody who is at home, at work, on the way, in a hotel and behind a VPN is one person.
func TestHonestPlaces(t *testing.T) {
	places := []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "20.1.2.0/24", "2001:db8:7::/48"}
	type come struct {
		place, program int
		after          time.Duration
	}
	const sends = 2 * time.Minute // between two that send, when all have read
	for name, day := range map[string][]come{
		"five new machines at once, on the first day":              {{0, 0, 0}, {1, 1, 0}, {2, 2, 0}, {3, 3, 0}, {4, 4, 0}},
		"one of them in two places":                                {{0, 0, 0}, {1, 1, 0}, {2, 2, 0}, {2, 0, 0}, {3, 0, 0}, {4, 4, 0}},
		"one telephone through all within the half hour":           {{0, 0, 0}, {1, 0, 7 * time.Minute}, {2, 0, 7 * time.Minute}, {3, 0, 7 * time.Minute}, {4, 0, 7 * time.Minute}},
		"one telephone with IPv4 and IPv6, at home and on the way": {{0, 0, 0}, {4, 0, 0}, {1, 0, time.Minute}, {2, 0, 0}, {0, 0, time.Minute}, {4, 0, 0}},
		"a telephone and a computer, by turns": {{0, 0, 0}, {0, 1, 0}, {1, 0, time.Minute}, {0, 1, time.Minute}, {2, 0, time.Minute},
			{1, 1, time.Minute}, {3, 0, time.Minute}, {3, 1, 0}, {0, 1, time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			alice := addr(t, "alice@local.test")
			for _, again := range []time.Duration{0, time.Minute, 20 * time.Hour, 20*time.Hour + time.Minute} {
				w.pass(again)
				for _, c := range day {
					w.pass(c.after)
					w.SignedIn(t.Context(), Act{Account: alice, Network: places[c.place], Program: fmt.Sprint("mua ", c.program), Reads: true})
				}
				for _, c := range day {
					w.pass(sends)
					w.SignedIn(t.Context(), Act{Account: alice, Network: places[c.place], Program: fmt.Sprint("mua ", c.program)})
				}
			}
			if len(w.found) > 0 {
				t.Error("contained")
			}
		})
	}
}

// A program whose provider reads from its cloud comes from several networks of it. Two to four that are new
// contain nobody, beside what the account has; the fifth within ten minutes does, and once a person
// said that it was no thief, those are known.
func TestAReaderInACloud(t *testing.T) {
	for news := 2; news <= 5; news++ {
		t.Run(fmt.Sprint(news), func(t *testing.T) {
			w := newWorld(t, nil)
			w.o.Limits.Origins = 100
			alice := addr(t, "alice@local.test")
			come := func(network, program string, reads bool) {
				w.SignedIn(t.Context(), Act{Account: alice, Network: network, Program: program, Reads: reads})
			}
			own := func() {
				come("192.0.2.0/24", "desk", true)
				come("192.0.2.0/24", "desk smtp", false)
				come("198.51.100.0/24", "telephone", true)
			}
			own()
			w.pass(30 * 24 * time.Hour)
			round := func(n int) {
				for i := range n {
					come(fmt.Sprintf("40.%d.1.0/24", 90+i), "cloud", true)
					own()
					w.pass(2 * time.Minute)
				}
			}
			round(news)
			if contained := len(w.found) > 0; contained != (news == 5) {
				t.Fatalf("contained: %v", contained)
			}
			if news < 5 {
				return
			}
			began := w.time().Add(-time.Hour)
			s, err := w.Clearing(alice, began, true)(t.Context())
			must(t, err)
			_, err = w.st.Apply(t.Context(), store.Tx{Mutations: s.Mutations}, store.Durable)
			must(t, err)
			must(t, s.Done(nil))
			delete(w.roles, alice.Key())
			for range 3 {
				round(news)
			}
			if round(news + 4); len(w.found) > 1 {
				t.Error("what a person vouched for is strange again")
			}
		})
	}
}

// New places that follow each other in peace contain nobody; docs/hijack.md tells what does.
func TestPlacesOneAfterAnother(t *testing.T) {
	for every, want := range map[time.Duration]int{2 * time.Minute: 5, 5 * time.Minute: 7, 10 * time.Minute: 29, 12 * time.Minute: 0} {
		t.Run(every.String(), func(t *testing.T) {
			w := newWorld(t, nil)
			w.o.Limits.Origins = 1000
			come := func(network string) {
				w.SignedIn(t.Context(), Act{Account: addr(t, "alice@local.test"), Network: network, Program: "cloud", Reads: true})
			}
			come("192.0.2.0/24")
			w.pass(30 * 24 * time.Hour)
			at := 0
			for n := 1; n <= 200 && at == 0; n++ {
				if come(fmt.Sprintf("40.%d.1.0/24", n)); len(w.found) > 0 {
					at = n
				}
				w.pass(every)
			}
			if at != want {
				t.Errorf("contained at place %d, not %d", at, want)
			}
		})
	}
}

// Networks that an account had when nobody noted places are no new ones.
func TestPlacesOfBefore(t *testing.T) {
	w := newWorld(t, nil)
	alice := addr(t, "alice@local.test")
	who := w.o.Key.Account(alice.Key())
	network := func(n int) string { return fmt.Sprintf("%d.%d.1.0/24", 20+n, n) }
	for n := range 8 {
		key := keyOf(prefixFrom, who, w.o.Key.Text("network", network(n)))
		_, err := w.st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: key, Value: encodeTime(w.time())}}}, store.Durable)
		must(t, err)
	}
	for n := range 8 {
		w.SignedIn(t.Context(), Act{Account: alice, Network: network(n), Program: "mua"})
	}
	if len(w.found) > 0 {
		t.Error("contained")
	}
}
