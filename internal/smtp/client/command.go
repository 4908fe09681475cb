package client

import (
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/wire"
)

// maxCommandOctets bounds a command line of ours. RFC 5321 §4.5.3.1.4 grants 512,
// RFC 3461 §4 another 1036 for the parameters of DSN, RFC 1870 and RFC 6152 a few.
const maxCommandOctets = 2048

// errUnsafe is a command that could be read as something else.
var errUnsafe = errors.New("the address cannot be put on the wire")

// mailCommand writes MAIL with the parameters that the server offers to take.
func mailCommand(caps wire.Capabilities, env mail.Envelope, size int64) ([]byte, error) {
	if env.From.IsZero() || !safePath(env.From.String()) {
		return nil, errUnsafe
	}
	b := fmt.Appendf(nil, "MAIL FROM:%s", env.From)
	if caps.Has(sizes) && size >= 0 {
		b = fmt.Appendf(b, " SIZE=%d", size) // RFC 1870 §6
	}
	if caps.Has("8BITMIME") && env.Body == mail.Body8BitMIME {
		b = append(b, " BODY=8BITMIME"...) // RFC 6152 §3
	}
	if caps.Has("SMTPUTF8") && (env.SMTPUTF8 || env.UTF8Addresses()) {
		b = append(b, " SMTPUTF8"...) // RFC 6531 §3.4
	}
	if env.TLS == mail.RequireTLS {
		b = append(b, " REQUIRETLS"...) // RFC 8689 §4.2.1: refusal sees to it that it is offered
	}
	if caps.Has(dsn) {
		b = appendMailDSN(b, env)
	}
	return finish(b)
}

// appendMailDSN appends RET and ENVID. RFC 3461 §4.3, §4.4.
func appendMailDSN(b []byte, env mail.Envelope) []byte {
	switch env.Ret {
	case mail.RetFull:
		b = append(b, " RET=FULL"...)
	case mail.RetHeaders:
		b = append(b, " RET=HDRS"...)
	}
	if env.EnvID != "" && len(env.EnvID) <= wire.MaxEnvIDOctets && mail.IsPlain(env.EnvID) {
		b = wire.AppendXtext(append(b, " ENVID="...), env.EnvID)
	}
	return b
}

// rcptCommand writes RCPT, with NOTIFY and ORCPT where the server takes them.
func rcptCommand(caps wire.Capabilities, to mail.Recipient) ([]byte, error) {
	path := "<" + to.Address.String() + ">"
	if to.Address.IsZero() || !safePath(path) {
		return nil, errUnsafe
	}
	b := append([]byte("RCPT TO:"), path...)
	if caps.Has(dsn) {
		b = appendNotify(b, to.Notify)
		if with, ok := wire.AppendORcpt(append(b, " ORCPT="...), to.ORcpt); ok {
			b = with
		}
	}
	return finish(b)
}

// appendNotify appends NOTIFY. RFC 3461 §4.1: NEVER stands alone.
func appendNotify(b []byte, n mail.Notify) []byte {
	if n == 0 {
		return b
	}
	if n&mail.NotifyNever != 0 {
		return append(b, " NOTIFY=NEVER"...)
	}
	var words []string
	if n&mail.NotifySuccess != 0 {
		words = append(words, "SUCCESS")
	}
	if n&mail.NotifyFailure != 0 {
		words = append(words, "FAILURE")
	}
	if n&mail.NotifyDelay != 0 {
		words = append(words, "DELAY")
	}
	return append(b, " NOTIFY="+strings.Join(words, ",")...)
}

// finish ends a command and holds it to what may leave us, whoever made its parts:
// one line without any control character.
func finish(b []byte) ([]byte, error) {
	if len(b)+2 > maxCommandOctets {
		return nil, errUnsafe
	}
	for _, c := range b {
		if c < 0x20 || c == 0x7f {
			return nil, errUnsafe
		}
	}
	return append(b, "\r\n"...), nil
}

// safePath reports whether a path can stand in a command and be read as nothing
// but itself: outside quotes no space, control character or angle bracket, and
// every quote closed. Addresses are made by parsers that see to this; the wire
// trusts nobody.
func safePath(path string) bool {
	if len(path) < 2 || path[0] != '<' || path[len(path)-1] != '>' {
		return false
	}
	quoted, escaped := false, false
	for _, c := range []byte(path[1 : len(path)-1]) {
		switch {
		case c < 0x20 || c == 0x7f:
			return false
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '<' || c == '>'):
			return false
		}
	}
	return !quoted
}
