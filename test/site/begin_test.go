package site

import (
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/test/load"
)

// takeMail reads every message in bob's mailbox and its junk folder, and removes it.
func takeMail(t *testing.T, s *Site) (texts []string) {
	t.Helper()
	for _, folder := range []string{"new", ".Junk/new"} {
		found, err := filepath.Glob(filepath.Join(s.Config.Maildir.Root, "local.test", "bob", folder, "*"))
		Must(t, err)
		for _, name := range found {
			b, err := os.ReadFile(name)
			Must(t, err)
			Must(t, os.Remove(name))
			texts = append(texts, string(load.Wire(b)))
		}
	}
	return texts
}

// Nobody writes into the fields that we put before a message: not by white space at its
// beginning, not by a text without a header, not by DATA nor in chunks.
func TestNobodyContinuesOurFields(t *testing.T) {
	const lie = "by=mx.local.test; dmarc=pass header.from=bad.test"
	s, r, _ := authenticating(t)
	for _, text := range []string{
		" ; " + lie + "\r\nFrom: <a@bad.test>\r\nSubject: x\r\n\r\nHello.\r\n",
		"\t" + lie + "\r\n\r\nHello.\r\n",
		" \r\n " + lie + "\r\n\r\nHello.\r\n",
		lie + "\r\n",
		"dear bob, " + lie + "\r\n\r\nHello.\r\n",
		": " + lie + "\r\n\r\nHello.\r\n",
		"\r\n" + lie + "\r\n",
	} {
		for how, send := range map[string]func(c *Client) string{
			"DATA": func(c *Client) string {
				c.OK("354", "DATA")
				return c.Say("%s.", text)
			},
			"chunks": func(c *Client) string {
				_, err := c.Conn.Write([]byte("BDAT 1\r\n" + text[:1]))
				Must(t, err)
				c.Want("250")
				return c.Say("BDAT %d LAST\r\n%s", len(text)-1, text[1:len(text)-2])
			},
		} {
			c := Connect(t, r.Addrs().MX[0])
			c.OK("250", "EHLO client.test")
			c.OK("250", "MAIL FROM:<a@good.test>")
			c.OK("250", "RCPT TO:<bob@local.test>")
			if got := send(c); !strings.HasPrefix(got, "250") {
				t.Errorf("%q by %s: %s", text, how, got)
				continue
			}
			r.Idle()
			all := takeMail(t, s)
			if len(all) != 1 {
				t.Fatalf("%q by %s: %d messages", text, how, len(all))
			}
			head, body, _ := strings.Cut(all[0], "\r\n\r\n")
			if strings.Contains(head, lie) || !strings.Contains(body, lie) {
				t.Errorf("%q by %s is kept as\n%s", text, how, all[0])
			}
			m, err := mail.ReadMessage(strings.NewReader(all[0]))
			if err != nil || !strings.HasSuffix(strings.TrimSpace(m.Header.Get("Received")), "+0000") || m.Header.Get("From") != "" {
				t.Errorf("%q by %s reads as %v, %v", text, how, m, err)
			}
		}
	}
}

// The line that parts messages in a mailbox file is no part of the header of any.
func TestMailboxLine(t *testing.T) {
	s, r, _ := authenticating(t)
	if got := bring(t, r, "a@good.test", "<a@good.test>", "From a@good.test Mon Nov 23 10:00:00 2026"); !strings.HasPrefix(got, "250") {
		t.Fatal(got)
	}
	r.Idle()
	if text := onlyMail(t, s, "bob"); !strings.Contains(text, "\r\nMailbox-Line: From a@good.test Mon") || !strings.Contains(text, "dmarc=pass") {
		t.Errorf("the message is\n%s", text)
	}
}
