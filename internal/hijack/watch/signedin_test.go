package watch

import (
	"testing"

	"sallyport/internal/hijack"
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
	act("imap mua", "198.51.100.0/24", true)
	if suspicion() == alert {
		t.Error("a network from which nobody came is as good as another")
	}
}
