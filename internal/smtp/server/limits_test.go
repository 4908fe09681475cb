package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// Each limit on what a session may do, by what goes over it.
func TestSessionLimits(t *testing.T) {
	for name, tt := range map[string]struct{ transcript, end string }{
		"D36 NOOP":    {hello + strings.Repeat("C: NOOP\nS: 250\n", 29) + "C: NOOP\nS: 421 4.7.0\nS.", EndJunk},
		"D36 RSET":    {hello + strings.Repeat("C: RSET\nS: 250\n", 29) + "C: RSET\nS: 421 4.7.0\nS.", EndJunk},
		"VRFY":        {hello + strings.Repeat("C: VRFY x\nS: 252\n", 29) + "C: EXPN x\nS: 421 4.7.0\nS.", EndJunk},
		"EHLO":        {hello + strings.Repeat("C: EHLO x\nS: 250\n", 29) + "C: EHLO x\nS: 421 4.7.0\nS.", EndJunk},
		"F05 BDAT 0":  {toBob + strings.Repeat("C: BDAT 0\n", 40) + strings.Repeat("S: 250\n", 29) + "S: 421 4.7.0\nS.", EndJunk},
		"BDAT, NOOP":  {toBob + "C: BDAT 0\n" + strings.Repeat("C: NOOP\n", 40) + strings.Repeat("S: 250\n", 29) + "S: 421 4.7.0\nS.", EndJunk},
		"BDAT 1":      {toBob + strings.Repeat("C+ \"BDAT 1\\r\\nx\"\n", 45) + strings.Repeat("S: 250\n", 30) + "S: 421 4.7.0\nS.", EndJunk},
		"D37 unknown": {hello + strings.Repeat("C: FOO\nS: 500\n", 10) + "C: NOOP\nS: 421 4.7.0\nS.", EndUnknown},
		"D38 dictionary": {hello + "C: MAIL FROM:<a@remote.test>\nS: 250\n" +
			strings.Repeat("C: RCPT TO:<rnd@remote.test>\n", 25) + strings.Repeat("S: 550\n", 20) + "S: 421 4.7.0\nS.", EndErrors},
		"deferrals": {hello + "C: MAIL FROM:<a@remote.test>\nS: 250\n" +
			strings.Repeat("C: RCPT TO:<busy@local.test>\n", 45) + strings.Repeat("S: 451\n", 40) + "S: 421 4.7.0\nS.", EndErrors},
		"transactions": {hello + strings.Repeat("C: MAIL FROM:<a@remote.test>\nS: 250\nC: RCPT TO:<bob@local.test>\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250\n", 50) +
			"C: MAIL FROM:<a@remote.test>\nS: 421 4.7.0\nS.", EndTransactions},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(KindMX)
			cfg.Limits.Deferrals = 40
			m := &memory{}
			d := connect(t, cfg, nil, m)
			d.run(tt.transcript)
			waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
			if m.ends[0] != tt.end {
				t.Errorf("ended by %s; want %s", m.ends[0], tt.end)
			}
		})
	}
}

// Small chunks are no junk where the message is more than they are: a header that is
// sent for itself, or the end of a line behind a large chunk.
func TestChunksOfHonestSenders(t *testing.T) {
	large := strings.Repeat(strings.Repeat("x", chunkOctets-2)+"\r\n", 15)
	text := "C+ \"BDAT 12\\r\\nSubject: x\\r\\n\"\nS: 250\nC+ \"BDAT 2\\r\\n\\r\\n\"\nS: 250\nC+ " +
		strconv.Quote("BDAT "+strconv.Itoa(len(large))+"\r\n"+large) + "\nS: 250\n" + strings.Repeat("C+ \"BDAT 3\\r\\nx\\r\\n\"\nS: 250\n", 10) + "C+ \"BDAT 0 LAST\\r\\n\"\nS: 250\n"
	cfg := testConfig(KindMX)
	cfg.Limits.Junk = 3
	play(t, cfg, nil, &memory{}, toBob+text)
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

// An accepted message gives room for more of the small commands.
func TestJunkIsForgivenByMail(t *testing.T) {
	one := strings.Repeat("C: NOOP\nS: 250\n", 20) + "C: MAIL FROM:<a@remote.test>\nS: 250\nC: RCPT TO:<bob@local.test>\nS: 250\nC: DATA\nS: 354\nC: .\nS: 250\n"
	play(t, testConfig(KindMX), nil, &memory{}, hello+one+one+one)
}

// Each wait of the server ends, with its reply where somebody may still read it.
func TestTimeouts(t *testing.T) {
	for name, tt := range map[string]struct{ transcript, end string }{
		"of a command":       {hello + "S: 421 4.4.2\nS.", EndTimeout},
		"of half a command":  {hello + "C+ \"NOO\"\nS: 421 4.4.2\nS.", EndTimeout},
		"in a transaction":   {toBob + "S: 421 4.4.2\nS.", EndTimeout},
		"of data":            {toBob + "C: DATA\nS: 354\nC: abc\nS: 421 4.4.2\nS.", EndTimeout},
		"of a chunk":         {toBob + "C+ \"BDAT 10\\r\\nabc\"\nS: 421 4.4.2\nS.", EndTimeout},
		"of the next chunk":  {toBob + "C+ \"BDAT 5\\r\\nabc\\r\\n\"\nS: 250\nS: 421 4.4.2\nS.", EndTimeout},
		"of unwanted octets": {hello + "C+ \"BDAT 10\\r\\nabc\"\nS: 421 4.4.2\nS.", EndTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(KindMX)
			cfg.Limits.CommandTimeout, cfg.Limits.DataTimeout = 150*time.Millisecond, 150*time.Millisecond
			m := &memory{}
			connect(t, cfg, nil, m).run(tt.transcript)
			waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
			if m.ends[0] != tt.end || len(m.snapshot()) > 0 {
				t.Errorf("ended by %s, delivered %q", m.ends[0], m.delivered())
			}
		})
	}
}

// A command that drips in is bounded as a whole, not octet by octet.
func TestDrippingCommand(t *testing.T) {
	cfg := testConfig(KindMX)
	cfg.Limits.CommandTimeout = 200 * time.Millisecond
	d := connect(t, cfg, nil, &memory{})
	d.steps("S: 220")
	go func() {
		for range 1000 {
			if _, err := d.raw.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	start := time.Now()
	d.steps("S: 421 4.4.2")
	if took := time.Since(start); took > 10*time.Second { // octet by octet it would take twice as long
		t.Errorf("it took %v", took)
	}
}

// Data that drips in below the rate is ended although each octet comes in time.
func TestDrippingData(t *testing.T) {
	cfg := testConfig(KindMX)
	cfg.Limits.MinDataRate, cfg.Limits.DataRateGrace = 1000, 100*time.Millisecond
	m := &memory{}
	d := connect(t, cfg, nil, m)
	d.steps(toBob + "C: DATA\nS: 354")
	go func() {
		for range 200 {
			if _, err := d.raw.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	d.steps("S: 421 4.4.2")
	waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
	if m.ends[0] != EndSlow {
		t.Error(m.ends)
	}
}

func TestMeter(t *testing.T) {
	p := pace{rate: 100, grace: time.Second, advance: time.Minute}
	for _, tt := range []struct {
		octets int
		waited time.Duration
		slow   bool
	}{
		{0, time.Second, false}, {0, time.Second + 1, true}, {200, 2 * time.Second, false}, {199, 2 * time.Second, true}, {1 << 30, time.Hour, false},
	} {
		if got := (meter{}).add(tt.octets, tt.waited, p).tooSlow(p); got != tt.slow {
			t.Errorf("%d octets in %v: %v", tt.octets, tt.waited, got)
		}
	}
	none := pace{grace: 1}
	if (meter{}).add(0, time.Hour, none).tooSlow(none) {
		t.Error("no minimum, and too slow")
	}
	// However much came at once, it excuses no more than the advance.
	hasty := (meter{}).add(1<<30, time.Second, p)
	if hasty.add(0, time.Minute, p).tooSlow(p) || !hasty.add(0, time.Minute+1, p).tooSlow(p) {
		t.Error("what came at once excuses another time than the advance")
	}
}

func TestSessionDuration(t *testing.T) {
	cfg := testConfig(KindMX)
	cfg.Limits.SessionDuration = time.Second
	d := connect(t, cfg, nil, &memory{})
	d.steps("S: 220\nC: NOOP\nS: 250")
	time.Sleep(1010 * time.Millisecond)
	d.run("C: NOOP\nS: 421 4.7.0\nS.")
}

// trickle writes each of the pieces after a pause, until the server has had enough.
func (d *dialogue) trickle(every time.Duration, pieces ...string) {
	go func() {
		for _, p := range pieces {
			time.Sleep(every)
			if _, err := io.WriteString(d.nc, p); err != nil {
				return
			}
		}
	}()
}

// Time bounds hold in the middle of a message as they do between commands: each piece
// comes in time, and the whole does not.
func TestTimeBoundsHoldInTheMiddle(t *testing.T) {
	octets := slices.Repeat([]string{"x"}, 500)
	for name, tt := range map[string]struct {
		limit func(*Limits)
		begin string
		send  []string
		end   string
	}{
		"rate of a line of data without end": {rate, toBob + "C: DATA\nS: 354", octets, EndSlow},
		"rate of lines of data":              {rate, toBob + "C: DATA\nS: 354", slices.Repeat([]string{"\r\n"}, 500), EndSlow},
		"rate of a chunk":                    {rate, toBob + "C+ \"BDAT 1000\\r\\n\"", octets, EndSlow},
		"rate of a chunk that is refused":    {rate, hello + "C+ \"BDAT 1000\\r\\n\"", octets, EndSlow},
		// Each chunk comes at once; between them is the time.
		"rate over chunks": {rate, toBob, slices.Repeat([]string{"BDAT 3\r\na\r\n"}, 500), EndSlow},
		// So are those whose messages and commands were fast before.
		"rate of data after much of it": {spent, toBob + "C: DATA\nS: 354\nC+ \"" + strings.Repeat(strings.Repeat("x", 998)+`\r\n`, 9) + "\"", octets, EndSlow},
		"rate of a command":             {dawdle, hello, octets, EndSlow},
		"rate of many commands":         {dawdle, hello, strings.Split(strings.Repeat("NOOP\r\n", 90), ""), EndSlow},
		"rate after many commands":      {dawdle, hello + strings.Repeat("C: NOOP\nS: 250\n", 300), octets, EndSlow},
		"session in a command":          {session, hello, octets, EndDuration},
		"session between commands":      {session, hello, []string{"NOOP\r\n"}, EndDuration},
		"session in data":               {session, toBob + "C: DATA\nS: 354", octets, EndDuration},
		"session in a chunk":            {session, toBob + "C+ \"BDAT 1000\\r\\n\"", octets, EndDuration},
		"session between chunks":        {session, toBob, []string{"BDAT 3\r\na\r\n"}, EndDuration},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(KindMX)
			cfg.Limits.Junk = 1000
			tt.limit(&cfg.Limits)
			m := &memory{}
			d := connect(t, cfg, nil, m)
			d.steps(tt.begin)
			d.trickle(10*time.Millisecond, tt.send...)
			// Nothing else ends it: 5 s of trickle are more than any bound here.
			waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
			if m.ends[0] != tt.end || len(m.snapshot()) > 0 {
				t.Errorf("ended by %s, delivered %q", m.ends[0], m.delivered())
			}
		})
	}
}

func rate(l *Limits) { l.MinDataRate, l.DataRateGrace = 100_000, 100*time.Millisecond }
func dawdle(l *Limits) {
	l.MinCommandRate, l.CommandRateGrace, l.CommandTimeout = 300, 200*time.Millisecond, time.Hour
}

// spent has nine thousand octets be worth 9 s, of which 100 ms count.
func spent(l *Limits) {
	l.MinDataRate, l.DataRateGrace, l.DataTimeout = 1000, 50*time.Millisecond, time.Second
}
func session(l *Limits) { l.SessionDuration = 300 * time.Millisecond }

// endless is a mechanism that has always another challenge.
type endless struct{}

func (endless) Next(context.Context, []byte) ([]byte, bool, mail.Reply) {
	return []byte("more"), false, mail.Reply{}
}

// All responses of a sign-in have the time of one command together, though each comes in
// time by itself.
func TestSignInIsBoundedAsAWhole(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmission))
	cfg.Limits.CommandTimeout, cfg.Limits.AuthRounds = 300*time.Millisecond, 1000
	m := &memory{sasl: func(string) SASL { return endless{} }}
	d := connect(t, cfg, client, m)
	d.steps(tlsHello + "C: AUTH LOGIN\nS: 334")
	d.trickle(20*time.Millisecond, slices.Repeat([]string{"eA==\r\n"}, 500)...)
	waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
	if m.ends[0] != EndTimeout {
		t.Errorf("ended by %s", m.ends[0])
	}
}

// A client that does not read its replies does not hold the server.
func TestClientThatDoesNotRead(t *testing.T) {
	cfg := testConfig(KindMX)
	cfg.Limits.WriteTimeout, cfg.Limits.Junk = 100*time.Millisecond, 1<<30
	m := &memory{}
	a, b := net.Pipe() // holds nothing back: a write waits for its reader
	go func() {
		br := bufio.NewReader(a)
		_, _ = br.ReadString('\n')
		for {
			if _, err := a.Write([]byte("NOOP\r\n")); err != nil {
				return
			}
		}
	}()
	ServeConn(context.Background(), b, cfg, m)
	if m.check(t, 1); m.ends[0] != EndTimeout {
		t.Error(m.ends)
	}
}

// dripping is a transport that lets what is written drip, octet by octet, once it is on.
type dripping struct {
	net.Conn
	on    bool
	every time.Duration
}

func (d *dripping) Write(p []byte) (int, error) {
	if !d.on {
		return d.Conn.Write(p)
	}
	for i := range p {
		time.Sleep(d.every)
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// Under TLS a command is seen when its record is whole: the time that the record took counts.
func TestDrippingRecords(t *testing.T) {
	for name, limit := range map[string]func(*Limits){
		"one too long":  func(l *Limits) { l.MinCommandRate, l.CommandRateGrace = 0, 100*time.Millisecond },
		"many too slow": func(l *Limits) { l.MinCommandRate, l.CommandRateGrace = 300, 500*time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, client := withTLS(t, testConfig(KindSubmission))
			cfg.Limits.Junk = 1000
			limit(&cfg.Limits)
			m := &memory{}
			d := connect(t, cfg, client, m)
			drip := &dripping{Conn: d.raw, every: 10 * time.Millisecond}
			d.raw = drip
			d.steps(tlsHello)
			drip.on = true
			go func() { // a record of NOOP has more than twenty octets
				for range 50 {
					if _, err := io.WriteString(d.nc, "NOOP\r\n"); err != nil {
						return
					}
				}
			}()
			waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
			if m.ends[0] != EndSlow {
				t.Errorf("ended by %s", m.ends[0])
			}
		})
	}
}
