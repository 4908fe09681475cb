package slow

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// errand is what honest senders are to do: so many messages a second, each over a connection of its
// own, every second one under TLS, until they are told to stop.
type errand struct {
	MX        string
	PerSecond int
	Patience  time.Duration // for one message
}

// sent is one message.
type sent struct {
	At   time.Time
	Took time.Duration
	Said string // why it was not taken; "": it was

	Secure bool // under TLS
}

// TestHonest is a child of the sieges.
func TestHonest(t *testing.T) {
	var e errand
	ctx := ordered(t, &e)
	var mu sync.Mutex
	var all []sent
	var under sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(e.PerSecond))
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		select {
		case <-ctx.Done():
			continue
		case <-tick.C:
		}
		under.Go(func() {
			one := sent{At: time.Now(), Secure: i%2 == 1}
			// Twenty senders, each of a network of its own.
			err := e.deliver(&net.TCPAddr{IP: net.IPv4(10, 1, byte(i%20), 7)}, fmt.Sprintf("%d.", i), one.Secure)
			if one.Took = time.Since(one.At); err != nil {
				one.Said = err.Error()
			}
			mu.Lock()
			all = append(all, one)
			mu.Unlock()
		})
	}
	under.Wait()
	reports(t, all)
}

// deliver has one message taken, from the connection to the reply.
func (e *errand) deliver(from net.Addr, subject string, secure bool) error {
	d := net.Dialer{LocalAddr: from, Timeout: e.Patience}
	c, err := d.Dial("tcp", e.MX)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(e.Patience)); err != nil {
		return err
	}
	br := bufio.NewReader(c)
	steps := [][2]string{{"", "220"}, {"EHLO far.invalid", "250"}}
	if secure {
		steps = append(steps, [2]string{"STARTTLS", "220"}, [2]string{"EHLO far.invalid", "250"})
	}
	text := "From: <a@far.test>\r\nSubject: " + subject + "\r\n\r\n" + strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", 40) + "."
	steps = append(steps, [2]string{"MAIL FROM:<a@far.test>", "250"}, [2]string{"RCPT TO:<bob@local.test>", "250"}, [2]string{"DATA", "354"}, [2]string{text, "250"})
	for _, s := range steps {
		if err := exchange(c, br, s[0], s[1]); err != nil {
			return err
		}
		if s[0] == "STARTTLS" {
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			if err := tc.Handshake(); err != nil {
				return fmt.Errorf("handshake: %w", err)
			}
			c, br = tc, bufio.NewReader(tc)
		}
	}
	return nil
}

// exchange says a line, where it is not empty, and wants a code.
func exchange(w io.Writer, br *bufio.Reader, line, code string) error {
	verb := line[:min(len(line), 9)]
	if line != "" {
		if _, err := io.WriteString(w, line+"\r\n"); err != nil {
			return fmt.Errorf("%q: %w", verb, err)
		}
	}
	for {
		got, err := br.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%q: %w", verb, err)
		}
		if !strings.HasPrefix(got, code) {
			return fmt.Errorf("%q answered %q", verb, strings.TrimSpace(got))
		}
		if len(got) > 3 && got[3] != '-' {
			return nil
		}
	}
}

// phase is how honest senders fared in a time.
type phase struct {
	messages       int
	refused        map[string]int
	p50, p99, most time.Duration
}

// within sums up what was begun in a time.
func within(all []sent, from, to time.Time) phase {
	p := phase{refused: map[string]int{}}
	var took []time.Duration
	for _, s := range all {
		if s.At.Before(from) || !s.At.Before(to) {
			continue
		}
		p.messages++
		if s.Said != "" {
			p.refused[s.Said]++
			continue
		}
		took = append(took, s.Took)
	}
	if n := len(took); n > 0 {
		slices.Sort(took)
		p.p50, p.p99, p.most = took[n/2], took[n*99/100], took[n-1]
	}
	return p
}

// failed is how many were not taken.
func (p phase) failed() int {
	n := 0
	for _, times := range p.refused {
		n += times
	}
	return n
}

// String tells it in a line.
func (p phase) String() string {
	round := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("%d messages, half within %v, 99 of 100 within %v, the last within %v, not taken %v", p.messages, round(p.p50), round(p.p99), round(p.most), p.refused)
}
