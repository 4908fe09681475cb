package server

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what the engine ought to do with one command, written again from the
// RFCs as a client sees it: the codes that come back and the messages that stay.
type model struct {
	hello, ext, open bool
	rcpts            []string
	chunks           string // of the sequence so far
	sequence         bool
	codes            []string
	messages         []string
}

func (m *model) reply(codes ...string) { m.codes = append(m.codes, codes...) }

func (m *model) drop() { m.open, m.rcpts, m.chunks, m.sequence = false, nil, "", false }

// broken drops a sequence that another command follows.
func (m *model) broken() bool {
	was := m.sequence
	if was {
		m.drop()
	}
	return was
}

func (m *model) greet(ext bool) { m.drop(); m.hello, m.ext = true, ext; m.reply("250") }

func (m *model) mail(code string) {
	switch {
	case m.broken(), !m.hello, m.open:
		m.reply("503")
	default:
		m.open = code == "250"
		m.reply(code)
	}
}

func (m *model) rcpt(who, code string) {
	switch {
	case m.broken(), !m.open:
		m.reply("503")
	case len(m.rcpts) == 5:
		m.reply("452")
	default:
		if code == "250" {
			m.rcpts = append(m.rcpts, who)
		}
		m.reply(code)
	}
}

// ready reports whether a message may come now.
func (m *model) ready() bool { return m.hello && m.open && len(m.rcpts) > 0 }

func (m *model) accept(text string) {
	m.messages = append(m.messages, strings.Join(m.rcpts, ",")+" "+text)
	m.drop()
}

func (m *model) bdat(text string, last bool) {
	if !m.ready() || !m.ext {
		m.drop()
		m.reply("503")
		return
	}
	m.sequence = true
	m.chunks += text
	m.reply("250")
	if last {
		m.accept(m.chunks)
	}
}

// step draws one command, tells the model, and returns what the client sends.
func (m *model) step(t *rapid.T) string {
	text := func() string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a\r\n", ".\r\n", "..x\r\n", "\r\n", "RSET\r\n", "MAIL FROM:<x@y.test>\r\n"}), 0, 4).Draw(t, "text"), "")
	}
	switch rapid.IntRange(0, 16).Draw(t, "command") {
	case 0:
		m.greet(true)
		return "EHLO x\r\n"
	case 1:
		m.greet(false)
		return "HELO x\r\n"
	case 2, 3, 4:
		m.mail("250")
		return "MAIL FROM:<a@remote.test>\r\n"
	case 5:
		m.mail("550")
		return "mail from:<banned@remote.test>\r\n"
	case 6, 7, 8:
		who := rapid.SampledFrom([]string{"bob", "carol", "dave"}).Draw(t, "who")
		m.rcpt(who, "250")
		return "RCPT TO:<" + who + "@local.test>\r\n"
	case 9:
		m.rcpt("", "550")
		return "RCPT TO:<victim@remote.test>\r\n"
	case 10, 11:
		return m.dataStep(text())
	case 12, 13:
		body, last := text(), rapid.Bool().Draw(t, "last")
		m.bdat(body, last)
		return fmt.Sprintf("BDAT %d%s\r\n%s", len(body), map[bool]string{true: " LAST"}[last], body)
	case 14:
		m.drop()
		m.reply("501")
		return "BDAT x\r\n"
	case 15:
		m.broken()
		m.reply("501")
		return "RCPT TO:bob\r\n"
	}
	return m.smallStep(t)
}

func (m *model) dataStep(text string) string {
	if m.broken() || !m.ready() {
		m.reply("503")
		return "DATA\r\n"
	}
	m.reply("354", "250")
	m.accept(text)
	stuffed := strings.ReplaceAll("\r\n"+text, "\r\n.", "\r\n..")[2:]
	return "DATA\r\n" + stuffed + ".\r\n"
}

func (m *model) smallStep(t *rapid.T) string {
	line := rapid.SampledFrom([]string{"NOOP", "noop x", "VRFY bob", "HELP", "RSET", "FOO"}).Draw(t, "line")
	switch line {
	case "RSET":
		m.drop()
		m.reply("250")
	case "FOO":
		if !m.hello {
			return "" // it would end the conversation
		}
		m.broken()
		m.reply("500")
	default:
		m.reply(map[string]string{"VRFY bob": "252", "HELP": "214"}[line])
		if last := len(m.codes) - 1; m.codes[last] == "" {
			m.codes[last] = "250"
		}
	}
	return line + "\r\n"
}

// cuts returns a way to cut packets that a seed decides.
func cuts(seed uint32) func() int {
	return func() int {
		seed = seed*1664525 + 1013904223
		return int(seed>>24)%40 + 1
	}
}

func whole() int     { return 0 }
func octetwise() int { return 1 }

// Every octet belongs to exactly one command, chunk or message: random sequences of
// commands, in one packet, octet by octet and cut at random, get the replies that
// the model gives and leave the messages that it accepts.
//
// 60 sequences are played for each of rapid's checks; SALLYPORT_SOAK, a duration,
// says how long to go on.
func TestEveryOctetHasOnePlace(t *testing.T) {
	cfg := testConfig(KindMX)
	cfg.Limits.Errors, cfg.Limits.Junk, cfg.Limits.Unknown = 1<<30, 1<<30, 1<<30
	sequences := 0
	once := func(t *rapid.T) {
		for range 60 {
			sequences++
			m := &model{codes: []string{"220"}}
			var in strings.Builder
			for range rapid.IntRange(1, 25).Draw(t, "length") {
				in.WriteString(m.step(t))
			}
			in.WriteString("QUIT\r\n")
			m.reply("221")
			seed := rapid.Uint32().Draw(t, "cuts")
			for name, cut := range map[string]func() int{"in one packet": whole, "octet by octet": octetwise, "cut at random": cuts(seed)} {
				b := &memory{}
				got := playTape(cfg, b, in.String(), cut)
				if b.check(t, 1); !slices.Equal(got, m.codes) {
					t.Fatalf("%s, %q:\n got %v\nwant %v", name, in.String(), got, m.codes)
				}
				var left []string
				for _, msg := range b.messages {
					left = append(left, strings.Join(msg.to, ",")+" "+msg.data)
				}
				if !slices.Equal(left, m.messages) {
					t.Fatalf("%s, %q:\n left %q\n want %q", name, in.String(), left, m.messages)
				}
			}
		}
	}
	rapid.Check(t, once)
	for soak, start := soakTime(t), time.Now(); time.Since(start) < soak; {
		rapid.Check(t, once)
	}
	t.Logf("%d sequences", sequences)
}

func soakTime(t *testing.T) time.Duration {
	text := os.Getenv("SALLYPORT_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Garbage too gets the same replies and leaves the same messages however it is cut,
// within the small limits of the tests.
func TestGarbageAtAnyCut(t *testing.T) {
	word := rapid.SampledFrom([]string{
		"EHLO x\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<bob@local.test>\r\n", "DATA\r\n", ".\r\n", "BDAT 3\r\n", "BDAT 12 LAST\r\n", "BDAT 30000\r\n",
		"x", "\r", "\n", "\r\n", "\x00", ".", "NOOP\r\n", "RSET\r\n", "BDAT 7 FOO\r\n", strings.Repeat("y", 600), "QUIT\r\n", "Host: x\r\n", "VRFY a\r\n",
	})
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			in := strings.Join(rapid.SliceOfN(word, 0, 40).Draw(t, "words"), "")
			if rapid.Bool().Draw(t, "in transaction") {
				in = "EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@local.test>\r\n" + in
			}
			sameAtAnyCut(t, testConfig(KindMX), in, rapid.Uint32().Draw(t, "cuts"))
		}
	})
}

// sameAtAnyCut plays in three ways and compares replies, messages and refusals.
func sameAtAnyCut(t interface {
	Errorf(string, ...any)
	Fatalf(string, ...any)
}, cfg Config, in string, seed uint32) {
	first := &memory{}
	want := playTape(cfg, first, in, whole)
	first.check(t, 1)
	ok := 0
	for i, c := range want {
		if i > 0 && c == "250" {
			ok++
		}
	}
	if len(first.messages) > ok {
		t.Fatalf("%q: %d messages, but the replies are %v", in, len(first.messages), want)
	}
	for _, cut := range []func() int{octetwise, cuts(seed)} {
		again := &memory{}
		got := playTape(cfg, again, in, cut)
		if again.check(t, 1); !slices.Equal(got, want) || again.delivered() != first.delivered() || again.ends[0] != first.ends[0] {
			t.Fatalf("%q:\n%v %v %q\n%v %v %q", in, want, first.ends, first.delivered(), got, again.ends, again.delivered())
		}
	}
}
