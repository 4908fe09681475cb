package milter

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// twoWays answers with what was prepared, whatever is written.
type twoWays struct{ io.Reader }

func (twoWays) Write(p []byte) (int, error) { return len(p), nil }

// Whatever a filter answers, the conversation ends, within its bounds, and an advice
// that is no error has an action.
func FuzzConversation(f *testing.F) {
	reply := func(cmd byte, data string) string {
		return string([]byte{0, 0, 0, byte(len(data) + 1), cmd}) + data
	}
	hello := reply('O', "\x00\x00\x00\x06\x00\x00\x01\x31\x00\x00\x00\x00")
	f.Add([]byte(hello + strings.Repeat(reply('c', ""), 20)))
	f.Add([]byte(hello + reply('a', "")))
	f.Add([]byte(hello + strings.Repeat(reply('c', ""), 7) + reply('h', "X\x001\x00") + reply('q', "r\x00") + reply('y', "550 5.7.1 x\x00")))
	f.Add([]byte(hello + reply('p', "") + reply('r', "")))
	to, err := mail.ParseAddress("bob@local.test", mail.ASCII)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answers []byte) {
		m := Message{Client: netip.MustParseAddr("192.0.2.1"), From: mail.NullPath(), To: []mail.Recipient{{Address: to}}, Fields: []Field{{"Subject", " x"}}}
		l := DefaultLimits()
		a, err := newConversation(twoWays{bytes.NewReader(answers)}, l, m).run(strings.NewReader("body"))
		if err == nil && (a.Action == ActionUnknown || len(a.Fields) > l.Fields || len(a.Undone) > l.Fields) {
			t.Errorf("advice %+v", a)
		}
		if r := a.Reply; !r.IsZero() && (r.Code < 400 || r.Code > 599) {
			t.Errorf("reply %v", r)
		}
	})
}
