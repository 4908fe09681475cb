package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/hijack"
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
	act("imap mua", "198.51.100.0/24", true) // the first from which it only reads
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
