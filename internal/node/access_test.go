package node

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/access"
	"sallyport/internal/operate"
)

// imapAt connects to imaps and signs in.
func imapAt(t *testing.T, s *site, at, account string) *bufio.ReadWriter {
	t.Helper()
	nc, err := tls.Dial("tcp", at, &tls.Config{RootCAs: s.roots, ServerName: "mx.local.test"})
	must(t, err)
	t.Cleanup(func() { nc.Close() })
	must(t, nc.SetDeadline(time.Now().Add(30*time.Second)))
	c := bufio.NewReadWriter(bufio.NewReader(nc), bufio.NewWriter(nc))
	until(t, c, "", "* OK")
	until(t, c, fmt.Sprintf("a LOGIN %s {%d+}\r\n%s", account, len(password), password), "a OK")
	return c
}

// until says a line, unless it is empty, and reads up to one that begins so.
func until(t *testing.T, c *bufio.ReadWriter, say, prefix string) (all string) {
	t.Helper()
	if say != "" {
		fmt.Fprintf(c, "%s\r\n", say)
		must(t, c.Flush())
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
	noLeaks(t)
	s := newSite(t, vfs.Default)
	n := s.start()
	s.populate(n.Node)
	at := n.Addrs().IMAPS[0]
	c := imapAt(t, s, at, "alice@local.test")
	until(t, c, "b SELECT INBOX", "b OK")
	until(t, c, "c IDLE", "+")
	out := connect(t, n.Addrs().MX[0])
	out.ok("250", "EHLO client.test")
	if r := out.send("eve@elsewhere.test", message("woken", "eve@elsewhere.test", 2000), "alice@local.test"); !strings.HasPrefix(r, "250") {
		t.Fatal(r)
	}
	until(t, c, "", "* 1 EXISTS")
	until(t, c, "DONE", "c OK")
	if got := until(t, c, "d FETCH 1 (BODY.PEEK[HEADER.FIELDS (FROM)])", "d OK"); !strings.Contains(got, "eve@elsewhere.test") {
		t.Errorf("%q", got)
	}
	var listed []operate.Session
	err := n.Operator().Sessions(t.Context(), root, operate.SessionsAsk{}, func(s operate.Session) error {
		listed = append(listed, s)
		return nil
	})
	must(t, err)
	if len(listed) != 1 || listed[0].Door != "imaps" || listed[0].Account != "alice@local.test" {
		t.Errorf("%+v", listed)
	}
	until(t, c, "e IDLE", "+")
	begun := time.Now()
	_, err = n.Operator().AccountFreeze(t.Context(), root, operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	must(t, err)
	if until(t, c, "", "* BYE"); time.Since(begun) > time.Second {
		t.Errorf("it took %s", time.Since(begun))
	}
	if got := n.readers.Open(); got > 1 || n.admission.Open() != 1 {
		t.Errorf("%d read and %d bring mail", got, n.admission.Open())
	}
}

// A domain whose mail is kept by a server behind us has no mailbox to read here, and a server whose
// configuration names no such door has none.
func TestNobodyReadsWhatIsNotKeptHere(t *testing.T) {
	s := newSite(t, vfs.NewMem(), "[domain.\"behind.test\"]\ndeliver = \"smtp://127.0.0.1:2626\"\ntls = \"none\"\n")
	n := s.start()
	s.populate(n.Node)
	if _, err := n.mailboxes(t.Context(), mailAddress(t, "carol@behind.test")); err == nil {
		t.Error("a mailbox of another server opens")
	}
	u, err := n.mailboxes(t.Context(), mailAddress(t, "alice@local.test"))
	must(t, err)
	u.Close()
	before := siteText
	for _, door := range []string{"imap", "imaps", "pop3", "pop3s"} {
		before = strings.Replace(before, "\n"+door+" = [\"127.0.0.1:0\"]", "", 1)
	}
	s.write(before)
	s.reload(n)
	if a := n.Addrs(); len(a.IMAP)+len(a.IMAPS)+len(a.POP3)+len(a.POP3S) != 0 || len(a.Submissions) != 1 {
		t.Errorf("%+v", a)
	}
	if got := readingKinds(n.config()); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if !n.access.Has(access.KindIMAP) {
		t.Error("sessions that were open have lost their door")
	}
}
