package server

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/kit/allowance"
	smtpwire "sallyport/internal/smtp/wire"
)

// A client that was told to send its message and sends nothing is a silent one: it goes for who comes,
// and another of its network, whose message comes, stays.
func TestAMessageThatDoesNotBeginMakesRoom(t *testing.T) {
	cfg := balanced(KindMX)
	cfg.Limits.Connections, cfg.Limits.ConnectionsPerNetwork = 3, 3
	cfg.Admission = NewAdmission(door.NewAdmission())
	cfg.Memory = allowance.New(1 << 20)
	at, _ := serve(t, cfg, &memory{})
	mute, other, busy := silent(t, at, "2001:db8:1::1"), silent(t, at, "2001:db8:1::2"), silent(t, at, "2001:db8:1::3")
	for _, d := range []*dialogue{mute, other, busy} {
		d.steps("C: EHLO x\nS: 250\nC: MAIL FROM:<a@remote.test>\nS: 250\nC: RCPT TO:<bob@local.test>\nS: 250\nC: DATA\nS: 354")
	}
	busy.steps("C: Subject: x\nC: \n" + strings.Repeat("C: "+strings.Repeat("x", 900)+"\n", 4))
	waitFor(t, func() bool { return cfg.Memory.Use().Used > 0 }) // it was read
	dial(t, at).steps(proxied("198.51.100.1") + "S: 220\nC: QUIT\nS: 221")
	mute.steps("S: 421 4.7.0\nS.")
	other.steps("C: Subject: x\nC: \nC: .\nS: 250")
	busy.steps("C: x\nC: .\nS: 250\nC: QUIT\nS: 221")
}

// room is one place, in the time of a bubble.
type room struct {
	t     *testing.T
	s     *server
	conns sync.WaitGroup
}

func newRoom(t *testing.T) *room {
	t.Helper()
	cfg := testConfig(KindMX)
	cfg.Now, cfg.Limits = time.Now, DefaultLimits()
	cfg.Limits.GreetDelay, cfg.Limits.Connections = 0, 1
	cfg.Admission = NewAdmission(door.NewAdmission())
	s, err := newServer(cfg, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	return &room{t: t, s: s}
}

// visitor is who comes, and reads what he is told.
type visitor struct {
	net.Conn
	br *bufio.Reader
}

func (r *room) enter() *visitor {
	ours, theirs := net.Pipe()
	r.conns.Go(func() { r.s.admit(r.t.Context(), ours, &r.conns) })
	return &visitor{theirs, bufio.NewReader(theirs)}
}

// told returns the last line of the next reply, after something is said; "" at the end.
func (v *visitor) told(text string) string {
	if text != "" {
		if _, err := v.Write([]byte(text)); err != nil {
			return ""
		}
	}
	for {
		line, err := v.br.ReadString('\n')
		if err != nil || line[3] == ' ' {
			return line
		}
	}
}

// A message that stands still, or comes an octet now and then, keeps its place for as long as a silent
// connection does, and one that comes at its pace keeps it whatever comes.
func TestAMessageThatStandsStillMakesRoom(t *testing.T) {
	line := strings.Repeat("x", 98) + "\r\n"
	for name, row := range map[string]struct {
		piece string
		every time.Duration
		stays bool
	}{
		"nothing more":      {"", time.Second, false},
		"an octet":          {"x", 9 * time.Second, false},
		"an octet, late":    {"x", 49 * time.Second, false},
		"at its pace":       {strings.Repeat(line, 5), time.Second, true},
		"in fits, on time":  {strings.Repeat(line, 60), 20 * time.Second, true},
		"in fits, too late": {strings.Repeat(line, 2), 20 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRoom(t)
				first := r.enter()
				for _, step := range []string{"", "EHLO x\r\n", "MAIL FROM:<a@remote.test>\r\n", "RCPT TO:<bob@local.test>\r\n", "DATA\r\n"} {
					if got := first.told(step); got == "" || got[0] > '3' {
						t.Fatalf("%q: %q", step, got)
					}
				}
				if _, err := first.Write([]byte("Subject: x\r\n\r\n" + strings.Repeat(line, 5))); err != nil {
					t.Fatal(err)
				}
				for began := time.Now(); time.Since(began) < 50*time.Second; time.Sleep(row.every) {
					if row.piece == "" {
						continue
					}
					if _, err := first.Write([]byte(row.piece)); err != nil {
						t.Fatal(err)
					}
				}
				second := r.enter()
				want := "421"
				if !row.stays {
					want = "220"
				}
				got := second.told("")
				if !strings.HasPrefix(got, want) {
					t.Errorf("who comes is told %q, want %s", got, want)
				}
				if row.stays {
					if got := first.told(".\r\n"); !strings.HasPrefix(got, "250") {
						t.Errorf("the message: %q", got)
					}
				}
				_, _ = first.Close(), second.Close()
				r.conns.Wait()
			})
		})
	}
}

// Whoever is told to send his message, or lets it drip, holds no large buffer; one whose octets
// come does, until they come slowly.
func TestWhoSendsNothingHoldsNothing(t *testing.T) {
	for _, begin := range []string{"C: DATA\nS: 354", "C+ \"BDAT 9000\\r\\n\""} {
		cfg := testConfig(KindMX)
		cfg.Memory = allowance.New(1 << 20)
		d := connect(t, cfg, nil, &memory{})
		d.steps(toBob + begin)
		used := func(want int64) {
			t.Helper()
			waitFor(t, func() bool { return cfg.Memory.Use().Used == want })
		}
		used(0)
		for range 3 {
			d.steps("C+ \"x\"")
			time.Sleep(10 * time.Millisecond)
			used(0)
		}
		d.steps("C+ \"" + strings.Repeat(strings.Repeat("x", 98)+"\\r\\n", 20) + "\"")
		used(smtpwire.LargeBufferOctets)
		waitFor(t, func() bool { // one that comes by itself is read by itself
			d.steps("C+ \"x\"")
			time.Sleep(5 * time.Millisecond)
			return cfg.Memory.Use().Used == 0
		})
		d.nc.Close()
	}
}

// Connections of one network borrow a part of the memory alone, and those of others have theirs.
func TestOneNetworkBorrowsItsPart(t *testing.T) {
	cfg := balanced(KindMX)
	cfg.Memory = allowance.New(8 * 3 * smtpwire.LargeBufferOctets / 2) // one large buffer for each network
	at, _ := serve(t, cfg, &memory{})
	begin := func(from string) *dialogue {
		d := silent(t, at, from)
		d.steps("C: EHLO x\nS: 250\nC: MAIL FROM:<a@remote.test>\nS: 250\nC: RCPT TO:<bob@local.test>\nS: 250")
		return d
	}
	first, second, other := begin("198.51.100.1"), begin("198.51.100.2"), begin("198.51.101.1")
	first.steps("C: DATA\nS: 354\n" + strings.Repeat("C: "+strings.Repeat("x", 900)+"\n", 4))
	waitFor(t, func() bool { return cfg.Memory.Use().Used > 0 })
	second.steps("C: DATA\nS: 452 4.3.1")
	other.steps("C: DATA\nS: 354\nC: x\nC: .\nS: 250")
	first.steps("C: .\nS: 250")
	second.steps("C: DATA\nS: 354\nC: x\nC: .\nS: 250")
}

// The first octet of a message moves nothing, nor does one now and then; a packet does, and
// whatever comes where any pace is enough.
func TestMoves(t *testing.T) {
	p := pace{rate: 256, grace: time.Minute, advance: time.Minute}
	for _, c := range []struct {
		octets int
		waited time.Duration
		still  bool
		want   bool
	}{
		{1, time.Millisecond, true, false}, {255, 0, true, false}, {256, 0, true, true}, {256, time.Second, true, false}, {768, time.Second, true, true},
		{1, 0, false, true}, {256, time.Second, false, true}, {255, time.Second, false, false},
	} {
		if got := (meter{}).add(c.octets, c.waited, p).moves(p, c.still); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if any := (pace{}); !(meter{}).add(1, time.Hour, any).moves(any, true) {
		t.Error("any pace is enough, and it does not move")
	}
}
