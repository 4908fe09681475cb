package server

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/screen"
)

// silent opens a connection of a client behind the balancer, and waits for the banner.
func silent(t *testing.T, at, client string) *dialogue {
	t.Helper()
	d := dial(t, at)
	d.steps(proxied(client) + "S: 220")
	return d
}

func proxied(client string) string {
	if a := netip.MustParseAddr(client); a.Is4() {
		return fmt.Sprintf("C: PROXY TCP4 %s 192.0.2.1 1 25\n", client)
	}
	return fmt.Sprintf("C: PROXY TCP6 %s 2001:db8:ffff::1 1 25\n", client)
}

// A home line that opens a connection from each of its /64 has a bounded number of them,
// and those that are silent make room, with a 421, for who comes from elsewhere.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	cfg := balanced(KindMX)
	cfg.Limits.Connections, cfg.Limits.ConnectionsPerNetwork = 10, 2
	cfg.Admission = NewAdmission(door.NewAdmission())
	at, _ := serve(t, cfg, &memory{})
	var mine []*dialogue
	for i := range 4 {
		mine = append(mine, silent(t, at, fmt.Sprintf("2001:db8:0:%x::1", i)))
	}
	// The /56 has all that it may.
	dial(t, at).steps(proxied("2001:db8:0:77::1") + "S: 421 4.7.0\nS.")
	waitFor(t, func() bool { return cfg.Admission.Open() == len(mine) }) // until it was known it had a place
	// A message in the making stays, whatever comes.
	busy := silent(t, at, "2001:db8:1::1")
	busy.steps("C: EHLO x\nS: 250\nC: MAIL FROM:<a@remote.test>\nS: 250\nC: RCPT TO:<bob@local.test>\nS: 250\nC: DATA\nS: 354")
	var others []*dialogue
	for i := range 5 {
		others = append(others, silent(t, at, fmt.Sprintf("2001:db8:2:%x00::1", i)))
	}
	if n := cfg.Admission.Open(); n != 10 {
		t.Fatalf("%d open", n)
	}
	dial(t, at).steps(proxied("198.51.100.1") + "S: 220\nC: EHLO x\nS: 250\nC: QUIT\nS: 221")
	// The first of the most crowded network had to go, and was told.
	others[0].steps("S: 421 4.7.0\nS.")
	for _, d := range append(mine, others[1:]...) {
		d.steps("C: NOOP\nS: 250")
	}
	busy.steps("C: Subject: x\nC: \nC: x\nC: .\nS: 250\nC: QUIT\nS: 221")
}

// On the submission doors the last places are for those who have signed in, and silence
// goes for who comes: within a handshake, too, and whoever does not read the answer.
func TestReserveIsForThoseWhoSignIn(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmission))
	var later atomic.Int64
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	cfg.Limits.Connections, cfg.Limits.Reserved = 6, 2
	cfg.Admission = NewAdmission(door.NewAdmission())
	at, _ := serve(t, cfg, &memory{auth: true})
	signIn := func() *dialogue {
		d := dial(t, at)
		d.client = client
		d.steps("S: 220\nC: EHLO x\nS: 250\nC: STARTTLS\nS: 220\nTLS\nC: EHLO x\nS: 250\nC: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 235")
		return d
	}
	first := signIn()
	var mute []*dialogue
	for i := range 4 {
		d := dial(t, at)
		d.steps("S: 220\nC: EHLO x\nS: 250")
		if i == 0 {
			d.steps("C: STARTTLS\nS: 220") // and no handshake
		}
		mute = append(mute, d)
	}
	// Four have not signed in, and the other two places are not for such.
	dial(t, at).steps("S: 421 4.7.0\nS.")
	later.Store(int64(screen.SeatGrace))
	second := signIn()
	mute[0].steps("S.")
	third := signIn() // which takes the place that the second left when it signed in
	for _, d := range []*dialogue{first, second, third} {
		d.steps("C: NOOP\nS: 250")
	}
	mute[1].steps("C: NOOP\nS: 250")
}

// Whoever is known without AUTH, by the certificate of TLS, keeps his place as if he had signed in.
func TestWhoIsKnownWithoutAUTHKeepsHisPlace(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmission))
	var later atomic.Int64
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	cfg.Limits.Connections, cfg.Limits.Reserved = 3, 1
	cfg.Admission = NewAdmission(door.NewAdmission())
	at, _ := serve(t, cfg, &memory{auth: true})
	connect := func(from string) *dialogue {
		d := dial(t, at)
		d.client = client
		d.steps("S: 220\nC: EHLO x\nS: 250\nC: STARTTLS\nS: 220\nTLS\nC: EHLO x\nS: 250\nC: MAIL FROM:<" + from + "@local.test>\nS: \nC: RSET\nS: 250")
		return d
	}
	devices := []*dialogue{connect("device"), connect("device")}
	first := connect("stranger")
	later.Store(int64(screen.SeatGrace))
	second := connect("stranger") // room is made by the only one who is nobody's
	for _, d := range append(devices, second) {
		d.steps("C: NOOP\nS: 250")
	}
	first.steps("S: 421")
}
