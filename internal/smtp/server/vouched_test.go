package server

import (
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Who signed in is remembered for a while, as long as the sign-in gives a right and no
// connection from there ends for what it did.
func TestWhoIsVouchedFor(t *testing.T) {
	v, a, now, still := newVouched(), netip.MustParseAddr("192.0.2.1"), time.Unix(1e9, 0), true
	if v.trusts(a, now) {
		t.Error("an address is trusted for nothing")
	}
	v.earns(a, now, func() bool { return still })
	for after, want := range map[time.Duration]bool{0: true, VouchTime - 1: true, VouchTime: false, -1: false} {
		if got := v.trusts(a, now.Add(after)); got != want {
			t.Errorf("%s after a sign-in: %v", after, got)
		}
	}
	if still = false; v.trusts(a, now) {
		t.Error("the account was contained, and its address is trusted")
	}
	still = true
	if v.trusts(a.Next(), now) {
		t.Error("a neighbour is trusted")
	}
	if v.loses(a, EndQuit); !v.trusts(a, now) {
		t.Error("a farewell takes it away")
	}
	if v.loses(a, EndAuthFailures); v.trusts(a, now) {
		t.Error("who guesses keeps it")
	}
	v.earns(netip.Addr{}, now, func() bool { return true })
	if v.trusts(netip.Addr{}, now) {
		t.Error("clients without an address share a record")
	}
	for range 2 * Vouched {
		a = a.Next()
		v.earns(a, now, func() bool { return true })
	}
	if n := v.addresses.Len(); n != Vouched {
		t.Errorf("%d addresses are remembered", n)
	}
}

// The turns of a lane go round in the order in which they were asked for; nobody of the other
// lane waits for them, and who lost his place, or his patience, gets none.
func TestTurnsOfHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := DefaultLimits()
		l.Handshakes, l.HandshakesAtOnce, l.HandshakeTurn, l.HandshakeTimeout, l.HandshakeRush = 100, 1, time.Hour, time.Minute, time.Minute
		a, slots := NewAdmission(), runtime.GOMAXPROCS(0)
		var order []int
		begin := func(n int, of lane) *handshake {
			h := a.beginHandshake(&l, of, func() {})
			go func() {
				h.await()
				if h.turn != nil {
					order = append(order, n)
				}
			}()
			synctest.Wait()
			return h
		}
		var first *handshake
		for n := range slots {
			if h := begin(n, laneStranger); n == 0 {
				first = h
			}
		}
		waits := []*handshake{begin(100, laneStranger), begin(101, laneStranger), begin(102, laneStranger)}
		begin(200, laneVouched)
		want := append(upTo(slots), 200)
		if !slices.Equal(order, want) {
			t.Fatalf("%v had their turn, want %v", order, want)
		}
		waits[0].end() // its connection ended: it still stands in the line, and passes its turn on
		first.end()
		first.end()
		synctest.Wait()
		waits[0].end()
		waits[1].end()
		synctest.Wait()
		if want = append(want, 100, 101); !slices.Equal(order, want) && !slices.Equal(order, append(want, 102)) {
			t.Fatalf("%v had their turn, want %v and then 102", order, want)
		}
		// The next one waits longer than a handshake may take.
		begin(103, laneStranger)
		time.Sleep(2 * time.Minute)
		if slices.Contains(order, 103) {
			t.Errorf("103 had a turn that there was not: %v", order)
		}
		// Turns end by themselves, however long the handshakes stall.
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for _, lane := range a.handshakes {
			if lane.working != 0 || lane.waiting.Len() != 0 {
				t.Errorf("%d turns are out, %d wait", lane.working, lane.waiting.Len())
			}
		}
	})
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// Over sockets: strangers hold every turn there is, and another stranger waits behind them;
// somebody of ours is served meanwhile, until his account gives no right any more.
func TestStrangersKeepNobodyOfOursWaiting(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	cfg.Limits.HandshakesAtOnce, cfg.Limits.HandshakeTurn = 1, time.Hour
	cfg.Admission, cfg.TLS = NewAdmission(), fresh(cfg.TLS, KindSubmissions)
	addr, _ := serve(t, cfg, &memory{})
	// Each says what it offers, and nothing more.
	for range runtime.GOMAXPROCS(0) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		mute := tls.Client(halfDeaf{nc}, client)
		go func() { _ = mute.Handshake() }()
	}
	for a := cfg.Admission; ; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		n := a.handshakes[laneStranger].working
		a.mu.Unlock()
		if n == runtime.GOMAXPROCS(0) {
			break
		}
	}
	served := func() bool {
		nc, err := tls.DialWithDialer(&net.Dialer{Timeout: 500 * time.Millisecond}, "tcp", addr, client)
		if err == nil {
			nc.Close()
		}
		return err == nil
	}
	if served() {
		t.Error("a stranger did not wait for his turn")
	}
	still := true
	cfg.Admission.vouched.earns(netip.MustParseAddr("127.0.0.1"), cfg.Now(), func() bool { return still })
	for range 3 {
		if !served() {
			t.Error("somebody of ours waits for strangers")
		}
	}
	if still = false; served() {
		t.Error("who was contained has a lane of his own")
	}
}

// halfDeaf hears nothing.
type halfDeaf struct{ net.Conn }

func (c halfDeaf) Read([]byte) (int, error) { select {} }
