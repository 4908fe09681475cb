package intake_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/intake"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/smtp/server"
)

// endless is a header section without an end; it ends when told.
type endless struct {
	left   int
	paused func()
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left -= len(p); e.left < 0 {
		e.paused()
		return 0, io.ErrUnexpectedEOF
	}
	return copy(p, strings.Repeat("X-Long: "+strings.Repeat("y", 90)+"\r\n", len(p)/100+1)), nil
}

// What is held of headers that do not end is counted; strangers are deferred when
// three quarters are held, people who signed in when all is, and who has gone leaves
// nothing behind.
func TestHeadersThatDoNotEndAreBounded(t *testing.T) {
	l := intake.DefaultLimits()
	memory := allowance.New(4 << 20)
	w := newWorldOf(t, setup{limits: l, memory: memory})
	stranger, person := w.connect(server.KindMX), w.signedIn("alice@local.test")
	var hold func(depth int)
	hold = func(depth int) {
		if depth == 0 {
			late := w.connect(server.KindMX)
			late.want(late.from("<x@far.test>"), 250)
			late.want(late.to("<bob@local.test>"), 250)
			late.want(late.data("Subject: "+strings.Repeat("x", 1000)+"\r\n\r\n"+strings.Repeat("0123456789\r\n", 80_000)), 452)
			w.oneFact("memory-crowded")
			person.want(person.from("<alice@local.test>"), 250)
			person.want(person.to("<bob@local.test>"), 250)
			person.want(person.data(message), 250)
			return
		}
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<bob@local.test>"), 250)
		c.t.Data(t.Context(), &endless{left: 900 << 10, paused: func() { hold(depth - 1) }})
	}
	hold(3)
	if u := memory.Use(); u.Used != 0 || u.Peak > 4<<20 || u.Peak < 2<<20 || u.Refused == 0 {
		t.Errorf("%+v", u)
	}
	stranger.want(stranger.from("<x@far.test>"), 250)
}

// Strangers of one network leave memory to those of others, to people of ours, and to this host.
func TestOneNetworkLeavesMemoryToOthers(t *testing.T) {
	memory := allowance.New(8 << 20) // of which a network has 1 MiB
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), memory: memory})
	person := w.signedIn("alice@local.test")
	large := "Subject: x\r\nX-Long: " + strings.Repeat("y", 40<<10) + "\r\n\r\nx\r\n" // 160 KiB
	send := func(from netip.Prefix) int {
		w.network = from
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<bob@local.test>"), 250)
		return c.data(large).Code
	}
	one := netip.MustParsePrefix("198.51.100.0/24")
	w.network = one
	hog := w.connect(server.KindMX)
	hog.want(hog.from("<x@far.test>"), 250)
	hog.want(hog.to("<bob@local.test>"), 250)
	hog.t.Data(t.Context(), &endless{left: 950 << 10, paused: func() {
		for from, want := range map[netip.Prefix]int{one: 452, netip.MustParsePrefix("198.51.101.0/24"): 250, {}: 250} {
			if got := send(from); got != want {
				t.Errorf("beside a network that has all it may, %v is answered %d, want %d", from, got, want)
			}
		}
		person.want(person.from("<alice@local.test>"), 250)
		person.want(person.to("<bob@local.test>"), 250)
		person.want(person.data(message+strings.Repeat("a line\r\n", 10_000)), 250)
	}})
	if got := send(one); got != 250 {
		t.Errorf("afterwards: %d", got)
	}
	if u := memory.Use(); u.Used != 0 {
		t.Errorf("%+v", u)
	}
}

// Recipients are counted, too.
func TestRecipientsAreBounded(t *testing.T) {
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), memory: allowance.New(64 << 10)})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	taken := 0
	for i := range 1000 {
		r := c.to("<bob+" + strings.Repeat("x", 1+i%50) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + "@local.test>")
		if r.Code == 452 {
			break
		}
		taken++
	}
	if taken < 10 || taken > 60 {
		t.Errorf("%d recipients", taken)
	}
	w.facts()
	c.want(c.data(message), 452)
	if u := w.in.Memory.Use(); u.Used != 0 {
		t.Errorf("%+v", u)
	}
}

// Whatever a client sends over its connection, and wherever it stops, it leaves
// nothing behind.
func TestNoSessionLeavesMemoryBehind(t *testing.T) {
	pieces := []string{
		"EHLO client.test\r\n", "MAIL FROM:<x@far.test>\r\n", "RCPT TO:<bob@local.test>\r\n", "RCPT TO:<bob+x@local.test>\r\n", "DATA\r\n", "Subject: x\r\n", "\r\n", ".\r\n",
		"RSET\r\n", "NOOP\r\n", "BDAT 10\r\n0123456789", "BDAT 4 LAST\r\n\r\n\r\n", "BDAT 50000\r\n",
		strings.Repeat("X: 0123456789\r\n", 3000), "MAIL FROM:<" + strings.Repeat("y", 600),
		"AUTH PLAIN " + strings.Repeat("A", 5000),
		"bare\n", "QUIT\r\n", "RCPT TO:<nobody@local.test>\r\n",
	}
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		memory := allowance.New(rapid.SampledFrom([]int64{1 << 10, 40 << 10, 200 << 10, 16 << 20}).Draw(t, "budget"))
		w := newWorldOf(outer, setup{limits: intake.DefaultLimits(), memory: memory})
		near, far := net.Pipe()
		served := make(chan struct{})
		limits := server.DefaultLimits()
		limits.GreetDelay, limits.LingerTimeout = 0, time.Millisecond
		limits.CommandTimeout, limits.DataTimeout = 50*time.Millisecond, 50*time.Millisecond
		go func() {
			defer close(served)
			server.ServeConn(context.Background(), far,
				server.Config{Kind: server.KindMX, Hostname: domain(outer, "mx.local.test"), Limits: limits, Logger: w.in.Logger, Now: time.Now, Memory: memory},
				w.in)
		}()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		script := append([]string{"EHLO client.test\r\n"}, rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "script")...)
		_ = near.SetWriteDeadline(time.Now().Add(5 * time.Second))
		for _, p := range script {
			if _, err := io.WriteString(near, p); err != nil {
				break
			}
		}
		if rapid.Bool().Draw(t, "hang") {
			<-served // until it times out
		}
		_ = near.Close()
		<-served
		if u := memory.Use(); u.Used != 0 {
			t.Fatalf("%q leaves %+v", script, u)
		}
	})
}
