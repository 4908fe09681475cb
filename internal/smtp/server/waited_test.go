package server

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/door"
)

// Whoever had a message taken is greeted at once, over loopback as from anywhere; a connection
// that ends for what it did takes that away.
func TestWhoeverWaitedIsGreetedAtOnce(t *testing.T) {
	const delay = 300 * time.Millisecond
	cfg := testConfig(KindMX)
	cfg.Limits.GreetDelay, cfg.Admission = delay, NewAdmission(door.NewAdmission())
	waits := func(after, transcript string, want bool) {
		t.Helper()
		begun := time.Now()
		d := connect(t, cfg, nil, &memory{})
		if _, err := d.br.Peek(1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); (took >= delay) != want {
			t.Errorf("after %s the greeting took %s", after, took)
		}
		d.run(transcript)
	}
	const letter = toBob + "C: DATA\nS: 354\nC: Subject: x\nC: \nC: .\nS: 250 2"
	waits("nothing", hello, true)
	waits("a session without mail", letter, true)
	waits("a message", hello, false)
	waits("another session without mail", "S: 220\nC+ \"NOOP\\n\"\nS: 554 5.5.2\nS.", false)
	waits("a bare LF", hello, true)
}

func TestWhoIsTrustedToWait(t *testing.T) {
	w, a, now := newWaited(), netip.MustParseAddr("192.0.2.1"), time.Unix(1e9, 0)
	if w.trusts(a, now) {
		t.Error("an address is trusted for nothing")
	}
	w.earns(a, now)
	for after, want := range map[time.Duration]bool{0: true, GreetTrust - 1: true, GreetTrust: false, -1: false} {
		if got := w.trusts(a, now.Add(after)); got != want {
			t.Errorf("%s after a message: %v", after, got)
		}
	}
	if w.trusts(a.Next(), now) {
		t.Error("a neighbour is trusted")
	}
	for _, end := range []string{EndQuit, EndEOF, EndTimeout, EndCrowded, EndShutdown, EndTransactions} {
		if w.loses(a, end); !w.trusts(a, now) {
			t.Errorf("%s takes the record away", end)
		}
	}
	for _, end := range []string{EndSmuggling, EndEarlyTalker, EndInjection, EndNotSMTP, EndErrors, EndJunk, EndUnknown, EndAuthFailures} {
		w.earns(a, now)
		if w.loses(a, end); w.trusts(a, now) {
			t.Errorf("%s leaves the record", end)
		}
	}
	w.earns(netip.Addr{}, now)
	if w.trusts(netip.Addr{}, now) {
		t.Error("clients without an address share a record")
	}
}
