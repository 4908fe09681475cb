package slow

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/test/group"
	"sallyport/test/load/rig"
)

const (
	groupOctets  = 512 << 20
	idleSessions = 6000
	headerOctets = 900_000 // of a header section that does not end
	headers      = 400
	largeOctets  = 5 << 20
	larges       = 60
)

// burden is what weighs on the server's memory.
type burden struct {
	t *testing.T
	*rig.Server

	mu      sync.Mutex
	open    []net.Conn
	replies map[string]int
	taken   []string // subjects of what was acknowledged
}

// session is one that goes on for as long as it is answered what it expects; it is kept until the burden is
// lifted. code is the answer that it got instead.
func (b *burden) session(at string, secure bool, steps ...[2]string) (nc net.Conn, code string) {
	c, err := net.DialTimeout("tcp", at, time.Minute)
	if err != nil {
		return nil, "no connection"
	}
	b.mu.Lock()
	b.open = append(b.open, c)
	b.mu.Unlock()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	br := bufio.NewReaderSize(c, 512)
	for _, s := range steps {
		if err := exchange(c, br, s[0], s[1]); err != nil {
			return c, answered(err)
		}
	}
	return c, ""
}

var refusal = regexp.MustCompile(`answered "([0-9]{3})`)

// answered is the code that stands in an error, or that there was none.
func answered(err error) string {
	if m := refusal.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return "no answer"
}

func (b *burden) note(code, subject string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if code == "" {
		code = "fine"
	}
	if b.replies[code]++; subject != "" && code == "fine" {
		b.taken = append(b.taken, subject)
	}
}

// toData are the steps up to a message.
func toData() [][2]string {
	return [][2]string{{"", "220"}, {"EHLO far.invalid", "250"}, {"MAIL FROM:<a@far.test>", "250"}, {"RCPT TO:<bob@local.test>", "250"}, {"DATA", "354"}}
}

// lay lays it on: sessions that idle under TLS, header sections that do not end, and large messages.
func (b *burden) lay() {
	var all sync.WaitGroup
	next := make(chan func())
	for range 64 {
		all.Go(func() {
			for work := range next {
				work()
			}
		})
	}
	header := "Subject: " + strings.Repeat("x", 900) + "\r\n"
	large := strings.Repeat("The quick brown fox jumps over the lazy dog, 0123456789 times over.\r\n", largeOctets/69)
	for i := range max(idleSessions, headers, larges) {
		if i < idleSessions {
			next <- func() {
				_, code := b.session(b.Listen.Submissions[0], true, [2]string{"", "220"}, [2]string{"EHLO idle.invalid", "250"})
				b.note(code, "")
			}
		}
		if i%(idleSessions/headers) == 0 {
			next <- func() {
				c, code := b.session(b.Listen.MX[0], false, toData()...)
				if code == "" {
					for sent := 0; sent < headerOctets && code == ""; sent += len(header) {
						if _, err := io.WriteString(c, header); err != nil {
							code = "no answer"
						}
					}
				}
				b.note(code, "")
			}
		}
		if i%(idleSessions/larges) == 0 {
			next <- func() {
				subject := fmt.Sprintf("large-%d.", i)
				_, code := b.session(b.Listen.MX[0], false, append(toData(), [2]string{"From: <a@far.test>\r\nSubject: " + subject + "\r\n\r\n" + large + ".", "250"})...)
				b.note(code, subject)
			}
		}
	}
	close(next)
	all.Wait()
}

// lift takes it away.
func (b *burden) lift() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.open {
		_ = c.Close()
	}
}

// honest has honest messages sent, one after the other, until done is closed, and returns what they
// were answered.
func (b *burden) honest(done <-chan struct{}) map[string]int {
	codes := map[string]int{}
	for i := 0; ; i++ {
		select {
		case <-done:
			return codes
		case <-time.After(100 * time.Millisecond):
		}
		subject := fmt.Sprintf("honest-%d.", i)
		code := "fine"
		if err := deliver(b.Listen.MX[0], subject); err != nil {
			code = answered(err)
		}
		b.note(code, subject)
		codes[code]++
	}
}

// Loaded beyond the memory that it may have, by its control group or by its configuration, the
// server goes on: it tells who comes to come again, does not spin, keeps what it acknowledged, and
// serves honest people within 5 s of the load's end.
func TestNoMemoryLeft(t *testing.T) {
	asked(t)
	for _, row := range []struct{ name, limits string }{
		{"of its control group", ""},
		{"of its configuration", "memory = \"400MiB\"\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			binary, err := rig.Build(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			s, err := rig.Prepare(t.Context(), rig.Options{
				Binary: binary, Dir: filepath.Join(dir, "server"), Remote: "127.0.0.1:9", Extra: "[limits]\nconnections = 20000\nunjudged_memory = \"1GiB\"\n" + row.limits,
			})
			if err != nil {
				t.Fatal(err)
			}
			wrap, killed := []string{"prlimit", "--nofile=20000:20000", "--"}, func() int { return 0 }
			var g *group.Group
			if row.limits == "" {
				g = group.New(t, groupOctets)
				wrap, killed = append(g.Wrap(), wrap...), func() int {
					n, err := g.Killed()
					if err != nil {
						t.Fatal(err)
					}
					return n
				}
			}
			if err := s.Start(t.Context(), wrap...); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Kill() })
			(&burden{t: t, Server: s, replies: map[string]int{}}).weigh(killed, g)
		})
	}
}

func (b *burden) weigh(killed func() int, g *group.Group) {
	t := b.t
	t.Helper()
	pid, err := b.PID()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		subject := fmt.Sprintf("before-%d.", i)
		if err := deliver(b.Listen.MX[0], subject); err != nil {
			t.Fatal(err)
		}
		b.note("", subject)
	}
	done, codes := make(chan struct{}), make(chan map[string]int)
	go func() { codes <- b.honest(done) }()
	b.lay()
	before := busy(t, b.Server)
	time.Sleep(watched)
	took := busy(t, b.Server) - before
	rss, err := b.RSS()
	if err != nil {
		t.Fatal(err)
	}
	close(done)
	honest := <-codes
	b.lift()
	ended := time.Now()
	for err = deliver(b.Listen.MX[0], "after-0."); err != nil && time.Since(ended) < recovery; err = deliver(b.Listen.MX[0], "after-0.") {
		time.Sleep(20 * time.Millisecond)
	}
	recovered := time.Since(ended)
	if err != nil || recovered > recovery {
		t.Fatalf("no honest mail %v after the load: %v", recovered, err)
	}
	b.note("", "after-0.")
	if now, err := b.PID(); err != nil || now != pid || killed() > 0 {
		t.Errorf("the process is another (%v), or was killed %d times", err, killed())
	}
	if took > mostBusy {
		t.Errorf("without memory it took %v of a processor in %v", took, watched)
	}
	for code, times := range b.replies {
		if code[0] == '5' {
			t.Errorf("%d were answered %s", times, code)
		}
	}
	for code, times := range honest {
		if code != "fine" && code[0] != '4' {
			t.Errorf("%d honest messages were answered %s", times, code)
		}
	}
	if b.replies["421"]+b.replies["452"] == 0 {
		t.Error("nobody was told to come again: it was no load")
	}
	b.nothingLost()
	most := 0
	if g != nil {
		most = g.Most() >> 20
	}
	t.Logf("answers %v, to honest people meanwhile %v; %d MiB resident, %d MiB of the group at most, %v of a processor in %v, honest mail %v after the end",
		b.replies, honest, rss>>20, most, took, watched, recovered.Round(time.Millisecond))
	said, err := os.ReadFile(b.LogFile())
	if err != nil || !strings.Contains(string(said), "there is memory again") {
		t.Errorf("the log does not say that there is memory again: %v\n%s", err, b.LogTail())
	}
}

// nothingLost demands every acknowledged message once.
func (b *burden) nothingLost() {
	b.t.Helper()
	if left, err := b.WaitEmpty(b.t.Context(), time.Minute); err != nil || len(left) > 0 {
		b.t.Fatalf("%d messages stay in the queue: %v", len(left), err)
	}
	seen := map[string]int{}
	if err := b.Mailboxes(func(m rig.Mail) error {
		_, rest, _ := strings.Cut(string(m.Octets), "Subject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		seen[subject]++
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	for _, subject := range b.taken {
		if seen[subject] != 1 {
			b.t.Errorf("message %s is there %d times", subject, seen[subject])
		}
	}
}
