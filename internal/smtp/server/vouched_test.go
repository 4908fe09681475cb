package server

import (
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/door"
)

// Over sockets: strangers hold every turn there is, and another stranger waits behind them;
// somebody of ours is served meanwhile, until his account gives no right any more.
func TestStrangersKeepNobodyOfOursWaiting(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	cfg.Limits.HandshakesAtOnce, cfg.Limits.HandshakeTurn = 1, time.Hour
	cfg.Admission, cfg.TLS = NewAdmission(door.NewAdmission()), door.TLS{}.Of(cfg.TLS, true).Own()
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
	served := func() bool {
		nc, err := tls.DialWithDialer(&net.Dialer{Timeout: 500 * time.Millisecond}, "tcp", addr, client)
		if err == nil {
			nc.Close()
		}
		return err == nil
	}
	for begun := time.Now(); served(); {
		if time.Since(begun) > 20*time.Second {
			t.Fatal("a stranger did not wait for his turn")
		}
	}
	var still atomic.Bool
	still.Store(true)
	cfg.Admission.Vouch(netip.MustParseAddr("127.0.0.1"), cfg.Now(), still.Load)
	for range 3 {
		if !served() {
			t.Error("somebody of ours waits for strangers")
		}
	}
	if still.Store(false); served() {
		t.Error("who was contained has a lane of his own")
	}
}

// halfDeaf hears nothing.
type halfDeaf struct{ net.Conn }

func (c halfDeaf) Read([]byte) (int, error) { select {} }
