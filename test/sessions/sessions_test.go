package sessions

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

// What a session may cost.
const (
	idleOctets   = 64 << 10  // before DATA
	dataOctets   = 256 << 10 // during a message
	largeOctets  = 128 << 20 // 200 of 50 MB at once, together
	longestGreet = 100 * time.Millisecond
)

const (
	mib     = 1 << 20
	patient = 2 * time.Minute // for one answer
)

// many is how many idle sessions are asked for; 0: these tests are not.
func many(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("SALLYPORT_SESSIONS"))
	if err != nil || n < 100 {
		t.Skip("SALLYPORT_SESSIONS says how many sessions are idle at once: make sessions")
	}
	return n
}

// world is a server that runs, with room for so many sessions.
func world(t *testing.T, room int) *rig.Server {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv("SALLYPORT_SESSIONS_DIR"), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	// A quarter is kept from the world, an eighth for who has signed in.
	limits := fmt.Sprintf("\n[limits]\nconnections = %d\nmessage_size = \"64MiB\"\nunjudged_memory = \"256MiB\"\n", room*3/2+1000)
	s, err := rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: filepath.Join(dir, "server"), Remote: "127.0.0.1:9", Extra: limits, Patience: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s.Flags = []string{"--paused"}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// session is one side of a session, which never speaks before it was answered.
type session struct {
	net.Conn
	br *bufio.Reader
}

func dial(at string, cfg *tls.Config) (*session, error) {
	c, err := net.DialTimeout("tcp", at, patient)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		return nil, err
	}
	if cfg != nil {
		c = tls.Client(c, cfg)
	}
	s := &session{c, bufio.NewReaderSize(c, 512)}
	return s, s.expect("220")
}

// say sends a line and demands the code of the answer.
func (s *session) say(line, code string) error {
	if _, err := io.WriteString(s, line+"\r\n"); err != nil {
		return err
	}
	return s.expect(code)
}

func (s *session) expect(code string) error {
	for {
		line, err := s.br.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("answered %q, want %s", line, code)
		}
		if len(line) < 4 || line[3] != '-' {
			return nil
		}
	}
}

// trust is for a client that knows the server's authority, and shares what it remembers.
func trust(t *testing.T, s *rig.Server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: s.Hostname}
}

// all has n sessions begin, some at once, and brings each to where it is to stay.
func all(t *testing.T, n int, open func(i int) (*session, error)) []*session {
	t.Helper()
	out := make([]*session, n)
	next := make(chan int)
	var opening sync.WaitGroup
	for range 32 {
		opening.Go(func() {
			for i := range next {
				var err error
				if out[i], err = open(i); err != nil {
					t.Errorf("session %d: %v", i, err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	opening.Wait()
	t.Cleanup(func() {
		for _, s := range out {
			if s != nil && s.Conn != nil {
				s.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// resident is the memory of the server's process.
func resident(t *testing.T, s *rig.Server) int64 {
	t.Helper()
	n, err := s.RSS()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// settled is what the process has when it has stopped growing.
func settled(t *testing.T, s *rig.Server) int64 {
	t.Helper()
	last := resident(t, s)
	for range 20 {
		time.Sleep(250 * time.Millisecond)
		now := resident(t, s)
		if now-last < mib/4 {
			return now
		}
		last = now
	}
	return last
}

// Thousands of sessions under TLS wait, and whoever comes then is greeted at once.
func TestIdleUnderTLS(t *testing.T) {
	n := many(t)
	s := world(t, n)
	cfg := trust(t, s)
	warm(t, s, cfg)
	before := settled(t, s)
	began := time.Now()
	all(t, n, func(int) (*session, error) { return greeted(s, cfg) })
	opened := time.Since(began)
	grown := settled(t, s) - before
	t.Logf("%d idle sessions under TLS, opened in %v: %d MiB before, %.1f KiB each", n, opened.Round(time.Second), before/mib, float64(grown)/float64(n)/1024)
	if grown/int64(n) > idleOctets {
		t.Errorf("an idle session takes %d octets", grown/int64(n))
	}
	for door, cfg := range map[string]*tls.Config{s.Listen.MX[0]: nil, s.Listen.Submissions[0]: cfg} {
		var took []time.Duration
		for range 200 {
			began := time.Now()
			c, err := dial(door, cfg)
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(began))
			c.Close()
		}
		slices.Sort(took)
		t.Logf("beside them, greeted (TLS %t): half within %v, 99 of 100 within %v, the last within %v", cfg != nil, took[100], took[198], took[199])
		if took[198] > longestGreet {
			t.Errorf("a new session is greeted after %v", took[198])
		}
	}
}

// greeted is a session under TLS that has said EHLO.
func greeted(s *rig.Server, cfg *tls.Config) (*session, error) {
	c, err := dial(s.Listen.Submissions[0], cfg)
	if err != nil {
		return nil, err
	}
	return c, c.say("EHLO idle.invalid", "250")
}

// warm has the server do once what it is measured at.
func warm(t *testing.T, s *rig.Server, cfg *tls.Config) {
	t.Helper()
	for range 50 {
		c, err := greeted(s, cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if c, err = recipient(s, 1); err == nil {
			err = c.whole(20_000)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// fill has the store take its memory: it gathers what came last, whoever brought it.
func fill(t *testing.T, s *rig.Server) {
	t.Helper()
	const clients, each, octets = 10, 100, 100_000 // three times what it gathers in one table
	var filling sync.WaitGroup
	for range clients {
		filling.Go(func() {
			for range each {
				c, err := recipient(s, 1)
				if err == nil {
					err = c.whole(octets)
				}
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
			}
		})
	}
	filling.Wait()
}

// recipient is a session in clear that has named recipients, all of them bob.
func recipient(s *rig.Server, n int) (*session, error) {
	c, err := dial(s.Listen.MX[0], nil)
	if err != nil {
		return nil, err
	}
	if err := c.say("EHLO far.invalid", "250"); err != nil {
		return c, err
	}
	if err := c.say("MAIL FROM:<somebody@far.test>", "250"); err != nil {
		return c, err
	}
	for range n {
		if err := c.say("RCPT TO:<bob@local.test>", "250"); err != nil {
			return c, err
		}
	}
	return c, nil
}

const (
	head = "From: <somebody@far.test>\r\nTo: <bob@local.test>\r\nSubject: large\r\n\r\n"
	line = "The quick brown fox jumps over the lazy dog, 0123456789 times over.\r\n"
)

// lines is about 64 KiB of a message.
var lines = strings.Repeat(line, 64<<10/len(line))

// most sends all of a message but its end.
func (s *session) most(octets int) error {
	if err := s.say("DATA", "354"); err != nil {
		return err
	}
	if _, err := io.WriteString(s, head); err != nil {
		return err
	}
	for sent := len(head); sent < octets; {
		n := max(len(line), min(octets-sent, len(lines))/len(line)*len(line))
		if _, err := io.WriteString(s, lines[:n]); err != nil {
			return err
		}
		sent += n
	}
	return nil
}

func (s *session) whole(octets int) error {
	if err := s.most(octets); err != nil {
		return err
	}
	return s.say(".", "250")
}

// Before DATA a session takes little, whatever it has said.
func TestBeforeData(t *testing.T) {
	many(t)
	const n = 500
	for name, recipients := range map[string]int{"one recipient": 1, "a hundred recipients": 100} {
		s := world(t, n)
		warm(t, s, trust(t, s))
		before := settled(t, s)
		all(t, n, func(int) (*session, error) { return recipient(s, recipients) })
		grown := settled(t, s) - before
		t.Logf("%d sessions before DATA with %s: %.1f KiB each", n, name, float64(grown)/n/1024)
		if grown/n > idleOctets {
			t.Errorf("a session with %s takes %d octets before DATA", name, grown/n)
		}
	}
}

// During a message a session takes little, whatever the size of the message, and the process does
// not grow when many come whole.
func TestDuringAMessage(t *testing.T) {
	many(t)
	for _, row := range []struct {
		name      string
		n, octets int
		most      int64 // growth of the process
	}{
		{"1 KB", 200, 1000, 200 * dataOctets},
		{"100 KB", 200, 100_000, 200 * dataOctets},
		{"1 MB", 200, 1_000_000, 200 * dataOctets},
		{"50 MB", 200, 50_000_000, largeOctets},
	} {
		t.Run(row.name, func(t *testing.T) { during(t, row.n, row.octets, row.most) })
	}
}

func during(t *testing.T, n, octets int, most int64) {
	s := world(t, n)
	warm(t, s, trust(t, s))
	fill(t, s)
	before := settled(t, s)
	open := all(t, n, func(int) (*session, error) { return recipient(s, 1) })
	peak := watch(t, s)
	var sending sync.WaitGroup
	for i, c := range open {
		sending.Go(func() {
			if err := c.most(octets); err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		})
	}
	sending.Wait()
	standing := settled(t, s) - before
	for i, c := range open {
		sending.Go(func() {
			if err := c.say(".", "250"); err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		})
	}
	sending.Wait()
	grown := peak() - before
	t.Logf("%d messages of %d octets at once: %d MiB before, at their end %.1f KiB each, at most %d MiB more, %.1f KiB each",
		n, octets, before/mib, float64(standing)/float64(n)/1024, grown/mib, float64(grown)/float64(n)/1024)
	if standing/int64(n) > dataOctets {
		t.Errorf("a session takes %d octets during a message of %d", standing/int64(n), octets)
	}
	if grown > most {
		t.Errorf("%d messages of %d octets at once grow the process by %d MiB", n, octets, grown/mib)
	}
}

// watch looks at the memory of the server until it is asked for the most that it saw.
func watch(t *testing.T, s *rig.Server) func() int64 {
	done, seen := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		for {
			if now, err := s.RSS(); err == nil {
				most = max(most, now)
			}
			select {
			case <-done:
				seen <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(done)
		return <-seen
	}
}
