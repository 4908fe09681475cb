package disk

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// kinds are the ways by which mail comes in, each by some connections.
var kinds = []struct {
	name     string
	conns    int
	octets   int
	pause    time.Duration
	to       string
	signedIn bool
}{
	{name: "small", conns: 8, octets: 2 << 10, pause: 100 * time.Millisecond, to: "bob@local.test"},
	{name: "large", conns: 3, octets: 200 << 10, pause: time.Second, to: "bob@local.test"},
	{name: "out", conns: 4, octets: 2 << 10, pause: 100 * time.Millisecond, to: "a@remote.test", signedIn: true},
}

// try is one message, and what was answered.
type try struct {
	kind, id string
	begun    time.Time
	reply    string // the one that decides; "": none
	octets   int
}

func (x try) acked() bool { return strings.HasPrefix(x.reply, "250 ") }

// queued is the id that a 250 tells.
func (x try) queued() string { _, id, _ := strings.Cut(x.reply, "queued as "); return id }

// traffic sends by all connections until it is stopped.
type traffic struct {
	t      *testing.T
	s      *rig.Server
	paused atomic.Bool
	stop   chan struct{}
	all    sync.WaitGroup

	mu     sync.Mutex
	serial int
	tries  []try
}

func newTraffic(t *testing.T, s *rig.Server) *traffic {
	f := &traffic{t: t, s: s, stop: make(chan struct{})}
	f.paused.Store(true)
	for k := range kinds {
		for range kinds[k].conns {
			f.all.Go(func() { f.sends(k) })
		}
	}
	t.Cleanup(f.end)
	return f
}

func (f *traffic) end() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.all.Wait()
}

// sends sends by one connection, and by the next one when it ends.
func (f *traffic) sends(k int) {
	var c *client
	defer func() { c.close() }()
	for {
		select {
		case <-f.stop:
			return
		case <-time.After(kinds[k].pause):
		}
		if f.paused.Load() {
			continue
		}
		if c == nil {
			var err error
			if c, err = f.connect(k); err != nil {
				f.note(try{kind: kinds[k].name, begun: time.Now(), reply: refusal(err)})
				continue
			}
		}
		f.mu.Lock()
		f.serial++
		x := try{kind: kinds[k].name, id: fmt.Sprintf("%s-%d", kinds[k].name, f.serial), begun: time.Now(), octets: kinds[k].octets}
		f.mu.Unlock()
		var err error
		x.reply, err = c.send(f.sender(k), kinds[k].to, text(x.id, f.sender(k), x.octets))
		f.note(x)
		if err != nil || strings.HasPrefix(x.reply, "421") {
			c.close()
			c = nil
		}
	}
}

func (f *traffic) sender(k int) string {
	if kinds[k].signedIn {
		return f.s.Accounts[0].Address
	}
	return "eve@elsewhere.test"
}

func (f *traffic) note(x try) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries = append(f.tries, x)
}

// since are the tries that began after a moment.
func (f *traffic) since(at time.Time) []try {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []try
	for _, x := range f.tries {
		if x.begun.After(at) {
			found = append(found, x)
		}
	}
	return found
}

// replies counts answers, without what differs from message to message.
func replies(tries []try) map[string]int {
	count := map[string]int{}
	for _, x := range tries {
		reply, _, _ := strings.Cut(x.reply, " as ")
		count[x.kind+": "+digits.ReplaceAllString(reply, "N")]++
	}
	return count
}

var digits = regexp.MustCompile(`\b[0-9]{4,}\b`)

func table(count map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(&b, "\n  %4d  %s", count[k], k)
	}
	return b.String()
}

// text is a message that tells what it is.
func text(id, from string, octets int) string {
	head := "From: <" + from + ">\r\nTo: <x@local.test>\r\nSubject: " + id + "\r\nDate: Mon, 30 Nov 2026 06:00:00 +0000\r\nMessage-ID: <" + id + "@disk.invalid>\r\n" + load.IDField + id + "\r\n\r\n"
	line := "of " + id + " there is no octet that is not sent\r\n"
	return head + strings.Repeat(line, max(1, (octets-len(head))/len(line)))
}

// client is one connection, after EHLO and sign-in.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

// errRefused is an answer that is not what was hoped for.
type errRefused struct{ reply string }

func (e errRefused) Error() string { return e.reply }

func refusal(err error) string {
	var r errRefused
	if errors.As(err, &r) {
		return r.reply
	}
	return ""
}

func (f *traffic) connect(k int) (*client, error) {
	var conn net.Conn
	var err error
	d := &net.Dialer{Timeout: 10 * time.Second}
	if kinds[k].signedIn {
		conn, err = tls.DialWithDialer(d, "tcp", f.s.Listen.Submissions[0], &tls.Config{InsecureSkipVerify: true})
	} else {
		conn, err = d.Dial("tcp", f.s.Listen.MX[0])
	}
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, in: bufio.NewReader(conn)}
	_, err = c.says("", "220")
	if err == nil {
		_, err = c.says("EHLO client.test\r\n", "250")
	}
	if a := f.s.Accounts[0]; err == nil && kinds[k].signedIn {
		_, err = c.says("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+a.Address+"\x00"+a.Password))+"\r\n", "235")
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) close() {
	if c != nil {
		_ = c.conn.Close()
	}
}

// send returns the answer that decides, and an error if the connection is of no more use.
func (c *client) send(from, to, text string) (string, error) {
	for _, step := range [][2]string{{"MAIL FROM:<" + from + ">\r\n", "250"}, {"RCPT TO:<" + to + ">\r\n", "250"}, {"DATA\r\n", "354"}, {text + ".\r\n", "250"}} {
		reply, err := c.says(step[0], step[1])
		var r errRefused
		if errors.As(err, &r) {
			_, err = c.says("RSET\r\n", "250")
			return r.reply, err
		}
		if err != nil {
			return "", err
		}
		if step[1] == "250" && step[0] == text+".\r\n" {
			return reply, nil
		}
	}
	return "", errors.New("not reached")
}

// says sends a line, and wants an answer that begins so.
func (c *client) says(line, want string) (string, error) {
	if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	if _, err := c.conn.Write([]byte(line)); err != nil {
		return "", err
	}
	for {
		reply, err := c.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if reply = strings.TrimSpace(reply); len(reply) > 3 && reply[3] == '-' {
			continue
		}
		if !strings.HasPrefix(reply, want) {
			return reply, errRefused{reply}
		}
		return reply, nil
	}
}

// arrived reports whether a message that was acknowledged is where it belongs.
func (f *traffic) arrived(x try, sink *load.Sink) bool {
	if x.kind == "out" {
		return sink.IDs()[x.id] > 0
	}
	found, err := filepath.Glob(filepath.Join(f.s.MailRoot, "local.test", "bob", "new", "*"+x.queued()+"*"))
	return err == nil && len(found) > 0
}

// outcome counts what became of all messages.
type outcome struct {
	acked, refused, unanswered           int
	twice, refusedThere, unansweredThere int
	lost, changed                        int
}

// notStored is what a client is told while the disk fails; 421 is what those are told who are there
// when the server stops.
const notStored = "452 4.3.1 the message could not be stored; try again later"

// judge holds what is there to what was answered. What left for another server just before a kill
// may be there twice, since its outcome was not synced; what was refused just before one is not
// known to the server that starts, and may be there.
func (f *traffic) judge(sink *load.Sink, killed bool) outcome {
	f.t.Helper()
	there := map[string][]string{}
	add := func(octets []byte) {
		_, rest, _ := bytes.Cut(octets, []byte(load.IDField))
		id, _, _ := bytes.Cut(rest, []byte("\r\n"))
		there[string(id)] = append(there[string(id)], string(octets))
	}
	must(f.t, f.s.Mailboxes(func(m rig.Mail) error { add(m.Octets); return nil }))
	for _, r := range sink.Kept() {
		add(r.Octets)
	}
	var o outcome
	for _, x := range f.since(time.Time{}) {
		if x.id == "" {
			continue
		}
		n := len(there[x.id])
		switch {
		case x.acked():
			o.acked++
			if n == 0 {
				o.lost++
				f.t.Errorf("%s was acknowledged (%s) and is nowhere", x.id, x.reply)
			}
		case x.reply == "":
			o.unanswered++
			o.unansweredThere += min(n, 1)
		default:
			o.refused++
			o.refusedThere += min(n, 1)
			if n > 0 && !killed {
				f.t.Errorf("%s was refused (%s) and is there", x.id, x.reply)
			}
		}
		if n > 1 {
			o.twice++
			if x.kind != "out" || !killed || n > 2 {
				f.t.Errorf("%s is there %d times: %s", x.id, n, x.reply)
			}
		}
		if x.reply != "" && !x.acked() && !strings.HasPrefix(x.reply, notStored) && !strings.HasPrefix(x.reply, "421 4.3.2") {
			f.t.Errorf("%s is answered %q", x.id, x.reply)
		}
		from := "eve@elsewhere.test"
		if x.kind == "out" {
			from = f.s.Accounts[0].Address
		}
		for _, got := range there[x.id] {
			if !strings.HasSuffix(got, text(x.id, from, x.octets)) {
				o.changed++
				f.t.Errorf("%s is not what it was: %.300q", x.id, got)
			}
		}
	}
	return o
}
