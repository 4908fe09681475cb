package site

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/test/load"
)

// inbox returns the letters of a mailbox.
func (s *Site) inbox(local string) (all []string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Config.Maildir.Root, "local.test", local, "new", "*"))
	Must(s.t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		Must(s.t, err)
		all = append(all, string(load.Wire(b)))
	}
	return all
}

// Bounces of what was never sent from here come by the hundred: the mailbox gets the first ones and
// one digest that counts the others, which wait in the queue and are let go by one command. A
// bounce of our own mail comes through, and nothing that was acknowledged is lost, over a restart
// as well.
func TestAFloodOfBouncesIsOneDigest(t *testing.T) {
	s := New(t, nil, "[authentication]\ncheck = \"off\"\n")
	var later atomic.Int64
	o := s.Options()
	o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	opened, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	n := s.Serve(opened)
	s.Populate(n.Node)
	account := s.SignIn(n, false, "alice@local.test")
	if sent := account.Send("alice@local.test", "From: alice@local.test\r\nMessage-ID: <Sent@local.test>\r\nSubject: hi\r\n\r\nhello\r\n", "x@remote.test"); !strings.HasPrefix(sent, "250") {
		t.Fatal(sent)
	}
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO far.test")
	bounce := func(to, id string, k int) {
		t.Helper()
		r := c.Send("", "From: MAILER-DAEMON@far.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"+
			"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; far.test\r\n\r\nFinal-Recipient: rfc822; "+fmt.Sprintf("nobody%d@d%d.test", k, k%3)+"\r\nStatus: 5.1.1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"+
			"Message-ID: "+id+"\r\nFrom: eve@elsewhere.test\r\n\r\nhello\r\n--b--\r\n", to)
		if !strings.HasPrefix(r, "250") {
			t.Fatalf("bounce %d: %s", k, r)
		}
	}
	const flooded = 110
	for k := range flooded {
		bounce("alice@local.test", fmt.Sprintf("<never%d@elsewhere.test>", k), k)
	}
	bounce("alice@local.test", "<sent@local.test>", 0)
	bounce("bob@local.test", "<never@elsewhere.test>", 0)
	const readable = 20
	Eventually(t, "the mailbox", func() bool { return len(s.inbox("alice")) == readable+1 && len(s.inbox("bob")) == 1 })
	n.Stopped()
	later.Store(int64(11 * time.Minute))
	opened, err = node.Open(t.Context(), s.Config, o)
	Must(t, err)
	n = s.Serve(opened)
	Eventually(t, "the mailbox", func() bool { return len(s.inbox("alice")) == readable+2 })
	digest := ""
	for _, l := range s.inbox("alice") {
		if strings.Contains(l, "kept back") {
			digest += l
		}
	}
	for _, want := range []string{"Subject: 90 bounces to alice@local.test kept back", "      90  127.0.0.1\r\n", "      90  5.1.1 no such mailbox\r\n", "      30  d0.test\r\n", "90 bounces held", "sallyport queue release --held --sender '<>' --recipient alice@local.test"} {
		if !strings.Contains(digest, want) {
			t.Errorf("the digest lacks %q:\n%s", want, digest)
		}
	}
	yes := true
	changed, err := n.Operator().QueueRelease(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{Held: &yes, Sender: "<>", Recipient: "alice@local.test"}})
	Must(t, err)
	if changed.Count != flooded-readable {
		t.Errorf("%d released", changed.Count)
	}
	Eventually(t, "the mailbox", func() bool { return len(s.inbox("alice")) == flooded+2 })
	n.Stopped()
	later.Store(int64(3 * time.Hour))
	opened, err = node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Serve(opened)
	time.Sleep(300 * time.Millisecond) // a start looks at once
	if got := len(s.inbox("alice")); got != flooded+2 {
		t.Errorf("%d letters after all was let go", got)
	}
}
