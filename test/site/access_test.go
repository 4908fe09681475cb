package site

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/operate"
	"sallyport/test/port"
)

// reader connects to imaps.
func reader(t *testing.T, s *Site, at string) *bufio.ReadWriter {
	t.Helper()
	nc, err := tls.Dial("tcp", at, &tls.Config{RootCAs: s.roots, ServerName: "mx.local.test"})
	Must(t, err)
	t.Cleanup(func() { nc.Close() })
	Must(t, nc.SetDeadline(time.Now().Add(30*time.Second)))
	c := bufio.NewReadWriter(bufio.NewReader(nc), bufio.NewWriter(nc))
	until(t, c, "", "* OK")
	return c
}

func login(account string) string {
	return fmt.Sprintf("a LOGIN %s {%d+}\r\n%s", account, len(Password), Password)
}

// imapAt connects to imaps and signs in.
func imapAt(t *testing.T, s *Site, at, account string) *bufio.ReadWriter {
	t.Helper()
	c := reader(t, s, at)
	until(t, c, login(account), "a OK")
	return c
}

// until says a line, unless it is empty, and reads up to one that begins so.
func until(t *testing.T, c *bufio.ReadWriter, say, prefix string) (all string) {
	t.Helper()
	if say != "" {
		fmt.Fprintf(c, "%s\r\n", say)
		Must(t, c.Flush())
	}
	for {
		line, err := c.ReadString('\n')
		all += line
		if err != nil {
			t.Fatalf("%q: no %q: %v", all, prefix, err)
		}
		if strings.HasPrefix(line, prefix) {
			return all
		}
	}
}

// A letter that comes wakes who waits for it, is read as it came, and who reads is listed, and gone
// within a second of the freeze of his account.
func TestMailboxesAreRead(t *testing.T) {
	NoLeaks(t)
	metrics := port.Loopback(t)
	s := New(t, vfs.Default, "[metrics]", fmt.Sprintf("listen = [%q]", metrics))
	n := s.Start()
	s.Populate(n.Node)
	at := n.Addrs().IMAPS[0]
	c := imapAt(t, s, at, "alice@local.test")
	until(t, c, "b SELECT INBOX", "b OK")
	until(t, c, "c IDLE", "+")
	out := Connect(t, n.Addrs().MX[0])
	out.OK("250", "EHLO client.test")
	if r := out.Send("eve@elsewhere.test", Message("woken", "eve@elsewhere.test", 2000), "alice@local.test"); !strings.HasPrefix(r, "250") {
		t.Fatal(r)
	}
	until(t, c, "", "* 1 EXISTS")
	until(t, c, "DONE", "c OK")
	if got := until(t, c, "d FETCH 1 (BODY.PEEK[HEADER.FIELDS (FROM)])", "d OK"); !strings.Contains(got, "eve@elsewhere.test") {
		t.Errorf("%q", got)
	}
	var listed []operate.Session
	err := n.Operator().Sessions(t.Context(), operate.Self(), operate.SessionsAsk{}, func(s operate.Session) error {
		listed = append(listed, s)
		return nil
	})
	Must(t, err)
	if len(listed) != 1 || listed[0].Door != "imaps" || listed[0].Account != "alice@local.test" {
		t.Errorf("%+v", listed)
	}
	until(t, c, "e IDLE", "+")
	begun := time.Now()
	_, err = n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	Must(t, err)
	if until(t, c, "", "* BYE"); time.Since(begun) > time.Second {
		t.Errorf("it took %s", time.Since(begun))
	}
	_, text := scraped(t, "http://"+metrics+"/metrics")
	reading, all := figure(t, text, "reading_connections_open"), figure(t, text, "connections_open")
	if reading > 1 || all-reading != 1 {
		t.Errorf("%d read and %d bring mail", reading, all-reading)
	}
}

// A domain whose mail is kept by a server behind us has no mailbox to read here, and a server whose
// configuration names no such door has none.
func TestNobodyReadsWhatIsNotKeptHere(t *testing.T) {
	s := New(t, vfs.Default, "[domain.\"behind.test\"]\ndeliver = \"smtp://127.0.0.1:2626\"\ntls = \"none\"\n")
	n := s.Start()
	s.Populate(n.Node)
	addAccount(t, n.Node, "carol@behind.test")
	hers := reader(t, s, n.Addrs().IMAPS[0])
	until(t, hers, login("carol@behind.test"), "a NO")
	his := imapAt(t, s, n.Addrs().IMAPS[0], "alice@local.test")
	until(t, his, "b SELECT INBOX", "b OK")
	before := Text
	for _, door := range []string{"imap", "imaps", "pop3", "pop3s"} {
		before = strings.Replace(before, "\n"+door+" = [\"127.0.0.1:0\"]", "", 1)
	}
	s.Write(before)
	s.Reload(n)
	if a := n.Addrs(); len(a.IMAP)+len(a.IMAPS)+len(a.POP3)+len(a.POP3S) != 0 || len(a.Submissions) != 1 {
		t.Errorf("%+v", a)
	}
	until(t, his, "c NOOP", "c OK") // a session that was open keeps its door
}
