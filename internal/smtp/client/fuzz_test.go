package client

import (
	"bytes"
	"strings"
	"testing"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/wire"
)

// Whatever a path is made of, one that is called safe stands in one command line,
// and our own grammar reads it back as nothing but a path.
func FuzzSafePath(f *testing.F) {
	for _, s := range []string{
		"<>", "<a@x.test>", `<"a b"@x.test>`, "<a@x.test>\r\nRCPT TO:<b@x.test>", "<a@x.test> NOTIFY=NEVER", "<a b@x.test>",
		`<"a\"@x.test>`, "<a\x00@x.test>", "<a@x.test", "a@x.test>", "<<a@x.test>>", "<bób@x.test>", "<a@[IPv6:::1]>", "<a\n@x.test>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !safePath(s) {
			return
		}
		line, err := finish([]byte("RCPT TO:" + s))
		if err != nil {
			return
		}
		if !bytes.HasSuffix(line, []byte("\r\n")) || bytes.ContainsAny(line[:len(line)-2], "\r\n\x00") {
			t.Fatalf("%q", line)
		}
		cmd, fault := wire.ParseCommand(line[:len(line)-2])
		if fault == nil && (cmd.Rcpt.Notify != 0 || cmd.Rcpt.ORcpt != mail.ORcpt{}) {
			t.Fatalf("%q grew parameters: %+v", s, cmd)
		}
	})
}

// Every address that the vocabulary admits is sent, and comes out as it went in;
// its parameters too.
func FuzzRcptCommand(f *testing.F) {
	f.Add("bob@x.test", "rfc822", "a+b=c@x.test", uint8(6))
	f.Add(`"a b\""@x.test`, "utf-8", "bób@x.test", uint8(1))
	f.Add("bób@bücher.test", "x y", "\r\n", uint8(14))
	f.Add("a@[192.0.2.1]", "", strings.Repeat("+", 600), uint8(0))
	caps := wire.ParseCapabilities("mx\nDSN\nSMTPUTF8")
	f.Fuzz(func(t *testing.T, addr, kind, orig string, notify uint8) {
		a, err := mail.ParseAddress(addr, mail.UTF8)
		if err != nil {
			return
		}
		to := mail.Recipient{Address: a, Notify: mail.Notify(notify % 16), ORcpt: mail.ORcpt{Type: kind, Address: orig}}
		line, err := rcptCommand(caps, to)
		if err != nil {
			t.Fatalf("%q cannot be sent: %v", addr, err)
		}
		if !a.IsASCII() {
			return // the command alone does not say SMTPUTF8, which MAIL does
		}
		cmd, fault := wire.ParseCommand(bytes.TrimSuffix(line, []byte("\r\n")))
		if fault != nil {
			t.Fatalf("%q is refused: %v", line, fault)
		}
		if back, err := cmd.Rcpt.To.At(mail.Domain{}); err != nil || back != a {
			t.Fatalf("%q became %q", a, back)
		}
		if o := cmd.Rcpt.ORcpt; o.Address != "" && o != to.ORcpt {
			t.Fatalf("ORCPT %+v became %+v", to.ORcpt, o)
		}
	})
}
