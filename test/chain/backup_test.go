package chain

import (
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Addresses of the world, at which a Postfix takes mail for us and hands it on.
const (
	worldly = "198.51.100.4"
	sender  = "198.51.100.10"
)

// backup makes the Postfix of the inner host a backup MX of ours.test, with an address of the world beside its own.
func (w *wire) backup() {
	w.t.Helper()
	w.in("inner", "ip", "addr", "add", worldly+"/24", "dev", "eth0")
	w.in("client", "ip", "addr", "add", sender+"/24", "dev", "eth0")
	p := w.postfix("inner", "sam@shield.test")
	for file, more := range map[string]string{
		"main.cf":   fmt.Sprintf("relay_domains = ours.test\ntransport_maps = inline:{ { ours.test = smtp:[%s] } }\n", hosts["mx"]),
		"master.cf": worldly + ":25 inet n - n - - smtpd\n",
	} {
		path := filepath.Join(p.dir, "etc", file)
		text, err := os.ReadFile(path)
		must(w.t, err)
		must(w.t, os.WriteFile(path, append(text, more...), 0o644))
	}
	p.stop()
	p.start()
	w.answers(worldly + ":25")
}

// relayed brings a message to the backup MX, with fields before those of its author.
func (w *wire) relayed(token, from string, fields ...string) {
	w.t.Helper()
	nc, err := w.dial("client", worldly+":25")
	must(w.t, err)
	must(w.t, nc.SetDeadline(time.Now().Add(time.Minute)))
	c, err := smtp.NewClient(nc, "mx2.ours.test")
	must(w.t, err)
	defer c.Close()
	must(w.t, c.Hello("mail.away.test"))
	must(w.t, c.Mail(from))
	must(w.t, c.Rcpt(alice))
	d, err := c.Data()
	must(w.t, err)
	_, err = fmt.Fprintf(d, "%sFrom: %s\r\nTo: %s\r\nDate: %s\r\nMessage-ID: <%s@chain>\r\nSubject: x\r\n\r\nhello\r\n",
		strings.Join(fields, ""), from, alice, time.Now().Format(time.RFC1123Z), token)
	must(w.t, err)
	must(w.t, d.Close())
}

// What a Postfix in front of us hands on is held against who brought it to that Postfix, and without that against the Postfix,
// for which nobody's SPF speaks.
func TestABackupMX(t *testing.T) {
	w := newWire(t)
	w.unbound()
	w.backup()
	s := w.sallyport(fmt.Sprintf("[mx]\ndns = [\"%s:53\"]\n", hosts["dns"]))
	text, err := os.ReadFile(s.conf)
	must(t, err)
	relays := fmt.Sprintf("check = \"on\"\nrelays = [\"%s/32\"]", hosts["inner"])
	answered := 0
	for _, check := range []string{relays, `check = "on"`} {
		must(t, os.WriteFile(s.conf, []byte(strings.Replace(string(text), `check = "off"`, check, 1)), 0o644))
		s.command("reload")
		named := check == relays
		w.relayed(fmt.Sprint("honest-", named), "a@away.test")
		w.relayed(fmt.Sprint("forged-", named), "a@other.test", "Received: from mail.other.test (mail.other.test [203.0.113.9]) by mx2.ours.test (Postfix) with ESMTP id 1; Mon, 30 Nov 2026 10:00:00 +0000\r\n")
		answered += 2
		eventually(t, "both are answered", func() bool {
			log, err := os.ReadFile(filepath.Join(w.dir, "inner/log"))
			must(t, err)
			return strings.Count(string(log), "to=<"+alice+">, relay="+hosts["mx"]) == answered
		})
		eventually(t, "what was taken is there, and nothing else", func() bool {
			found := w.mail()
			return (len(found[fmt.Sprint("honest-", named)]) == 1) == named && len(found[fmt.Sprint("forged-", named)]) == 0
		})
		if told := strings.Contains(s.command("trace", "--since", "10m"), "10.77.0.4 had it from "+sender); !told {
			t.Errorf("%s: the trace says nothing of the relay", check)
		}
	}
}
