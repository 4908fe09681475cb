package client

import (
	"bytes"
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/wire"
)

// The grammars of what may stand in ENVID and ORCPT, in other words than the code has.
var (
	// RFC 3461 §4.
	xtext = regexp.MustCompile(`^(?:[!-*,-<>-~]|\+[0-9A-F]{2})+$`)
	// RFC 6533 §3, utf-8-addr-xtext; without the control characters that it has as well.
	utf8Xtext = regexp.MustCompile(`^(?:[!-*,-<>-\[\]-~]|\\x\{(?:20|2B|3D|5C|[89A-F][0-9A-F]|[1-9A-F][0-9A-F]{2,4}|10[0-9A-F]{4})\})+$`)
	parameter = regexp.MustCompile(` (ENVID|ORCPT)=([^ ]*)`)
)

// strangers draws texts as strangers put them there: with what the forms give a meaning.
func strangers() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringOfN(rapid.RuneFrom([]rune("ab+=\\x{}41F;<>@.\" é😀")), 1, 30, -1),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab+=\\x{}41F;<>@.\" ~!")), 1, 30, -1),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab+=\\x{}41F;<>@.\" \t\r\n\x00\x7féß\u202e\u2028\ufffd😀")), 0, 60, -1),
		rapid.StringN(0, 120, -1), // any
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
		rapid.StringOfN(rapid.RuneFrom([]rune("+=")), 90, 200, -1),
	)
}

// Whatever a stranger made its ENVID and ORCPT of, what we write of them is in the form
// of its type, seven bits and one word, and says to its reader what we were told; what
// can't be written so is left out whole, and nothing beside it changes.
func TestParametersOfStrangersAreReadBack(t *testing.T) {
	caps := wire.ParseCapabilities("mx\nDSN")
	address := envelope(t, "", "bob@x.test").To[0].Address
	var written, leftOut int
	rapid.Check(t, func(t *rapid.T) {
		env := mail.Envelope{From: mail.NullPath(), EnvID: strangers().Draw(t, "envid")}
		to := mail.Recipient{Address: address, ORcpt: mail.ORcpt{
			Type:    rapid.SampledFrom([]string{"rfc822", "rfc822", "utf-8", "utf-8", "utf-8", "x400", "", "a b", "utf-8;x", "-"}).Draw(t, "type"),
			Address: strangers().Draw(t, "orcpt"),
		}}
		for _, write := range []func() ([]byte, error){
			func() ([]byte, error) { return mailCommand(caps, env, 1) },
			func() ([]byte, error) { return rcptCommand(caps, to) },
		} {
			line, err := write()
			if err != nil {
				t.Fatal(err)
			}
			line = bytes.TrimSuffix(line, []byte("\r\n"))
			cmd, fault := wire.ParseCommand(line)
			if fault != nil {
				t.Fatalf("%q is refused: %v", line, fault)
			}
			found := parameter.FindSubmatch(line)
			if found == nil {
				leftOut++
				if cmd.Mail.EnvID != "" || cmd.Rcpt.ORcpt != (mail.ORcpt{}) || bytes.Count(line, []byte(" ")) != 1 {
					t.Fatalf("%q says %+v, %+v", line, cmd.Mail, cmd.Rcpt)
				}
				continue
			}
			written++
			form, value := xtext, found[2]
			if kind, rest, _ := bytes.Cut(value, []byte(";")); string(found[1]) == "ORCPT" {
				if value = rest; string(kind) == "utf-8" {
					form = utf8Xtext
				}
			}
			if !form.Match(value) {
				t.Fatalf("%q is not of the form %s", line, form)
			}
			if cmd.Verb == wire.VerbMAIL && cmd.Mail.EnvID != env.EnvID || cmd.Verb == wire.VerbRCPT && (cmd.Rcpt.ORcpt != to.ORcpt || cmd.Rcpt.UTF8) {
				t.Fatalf("%q is read as %+v, %+v", line, cmd.Mail, cmd.Rcpt)
			}
		}
	})
	if written == 0 || leftOut == 0 {
		t.Errorf("%d were written, %d left out", written, leftOut)
	}
}

// A next hop without DSN gets none of them, whatever they are.
func TestParametersOfStrangersNeedDSN(t *testing.T) {
	caps := wire.ParseCapabilities("mx\nSMTPUTF8\n8BITMIME")
	env := envelope(t, "", "bob@x.test")
	env.EnvID, env.Ret = "a+b", mail.RetFull
	env.To[0].Notify, env.To[0].ORcpt = mail.NotifyNever, mail.ORcpt{Type: "utf-8", Address: "bób@x.test"}
	from, err := mailCommand(caps, env, 1)
	check(t, err)
	to, err := rcptCommand(caps, env.To[0])
	check(t, err)
	if string(from)+string(to) != "MAIL FROM:<>\r\nRCPT TO:<bob@x.test>\r\n" {
		t.Errorf("%q, %q", from, to)
	}
}
