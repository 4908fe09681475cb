package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	smtpwire "sallyport/internal/smtp/wire"
)

// The states in which FuzzSession lets the client say anything.
var fuzzStates = []string{
	"",
	"EHLO x\r\n",
	"EHLO x\r\nMAIL FROM:<a@b.test>\r\n",
	"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@local.test>\r\n",
	"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\n",
	"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@local.test>\r\nBDAT 5\r\nabc\r\n",
	"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@local.test>\r\nBDAT 50 LAST\r\n",
	"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<lazy@local.test>\r\nBDAT 5\r\nabc\r\n",
}

// In whatever state a client begins to say whatever it likes: nothing breaks, the
// contract with the backend holds, each message has its 250, and no cut of the
// packets changes anything.
func FuzzSession(f *testing.F) {
	for state := range fuzzStates {
		for _, in := range []string{
			"NOOP\r\n", "QUIT\r\n", "x\r\n.\r\nMAIL FROM:<a@b.test>\r\n", "BDAT 3 LAST\r\na\r\n", "BDAT 99999999999999999999\r\n", "DATA\r\n.\r\n",
			"RSET\r\nDATA\r\n", "a\n.\r\n", "\r\n.\r\r\n", "BDAT 5 FOO\r\nNOOP\r\nRSET\r\n", "RCPT TO:<bob@local.test>\x00\r\n", "GET / HTTP/1.1\r\nHost: x\r\n",
			"MAIL FROM:<\xc3\xbc@b.test> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<Postmaster>\r\nBDAT 0 LAST\r\n",
		} {
			f.Add(uint8(state), []byte(in), uint32(7))
		}
	}
	cfg := testConfig(KindMX)
	f.Fuzz(func(t *testing.T, state uint8, in []byte, seed uint32) {
		sameAtAnyCut(t, cfg, fuzzStates[int(state)%len(fuzzStates)]+string(in), seed)
	})
}

// A text sent in chunks arrives whole, or not at all if it is unfit; what follows
// the last chunk is commands again.
func FuzzBDAT(f *testing.F) {
	f.Add([]byte("a\r\n.\r\nb\r\n"), []byte{1, 2, 0, 3}, uint32(1))
	f.Add([]byte("a\nb\r\n"), []byte{2}, uint32(2))
	f.Add([]byte("RSET\r\nQUIT\r\n"), []byte{}, uint32(3))
	f.Add([]byte("a\r"), []byte{1}, uint32(4))
	f.Add([]byte(""), []byte{0, 0}, uint32(5))
	cfg := testConfig(KindMX)
	cfg.Limits.Junk = 1 << 20
	f.Fuzz(func(t *testing.T, text, sizes []byte, seed uint32) {
		if len(text) > 9000 || len(sizes) > 1000 {
			return
		}
		in := fuzzStates[3] + inChunks(text, sizes) + "NOOP\r\nQUIT\r\n"
		for _, cut := range []func() int{whole, octetwise, cuts(seed)} {
			m := &memory{}
			got := strings.Join(playTape(cfg, m, in, cut), " ")
			m.check(t, 1)
			rest := strings.ReplaceAll(string(text), "\r\n", "")
			switch fit := !strings.ContainsAny(rest, "\r\n\x00"); {
			case fit && (len(m.messages) != 1 || m.messages[0].data != string(text) || !strings.HasSuffix(got, "250 250 221")):
				t.Fatalf("%q by %v: %s, %q", text, sizes, got, m.delivered())
			case !fit && (len(m.messages) != 0 || !strings.HasSuffix(got, "554")):
				t.Fatalf("%q by %v: %s, %q", text, sizes, got, m.delivered())
			}
		}
	})
}

// inChunks cuts a text into BDAT commands.
func inChunks(text, sizes []byte) string {
	var b strings.Builder
	for _, n := range sizes {
		n := min(int(n), len(text))
		fmt.Fprintf(&b, "BDAT %d\r\n%s", n, text[:n])
		text = text[n:]
	}
	fmt.Fprintf(&b, "BDAT %d LAST\r\n%s", len(text), text)
	return b.String()
}

// secureClient is a client under TLS, in memory.
type secureClient struct {
	raw  net.Conn
	tc   *tls.Conn
	done chan struct{}
}

func secure(t *testing.T, cfg Config, client *tls.Config, m *memory) *secureClient {
	t.Helper()
	a, b := net.Pipe()
	s := &secureClient{raw: a, tc: tls.Client(a, client), done: make(chan struct{})}
	_ = a.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		defer close(s.done)
		ServeConn(context.Background(), b, cfg, m)
	}()
	if err := s.tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return s
}

// say sends and returns the codes of everything that was answered until the end.
func (s *secureClient) say(in string) []string {
	out := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(s.tc)
		out <- all
	}()
	// A server that has heard enough closes; then the rest is not sent.
	if _, err := io.WriteString(s.tc, in); err == nil {
		_ = s.tc.CloseWrite()
	}
	all := <-out
	s.raw.Close()
	<-s.done
	return codes(all)
}

// A signed-in client under TLS may say anything too.
func FuzzSignedIn(f *testing.F) {
	for _, in := range []string{
		"MAIL FROM:<alice@local.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\nx\r\n.\r\n", "AUTH PLAIN =\r\n", "STARTTLS\r\nRSET\r\n", "EHLO y\r\nBDAT 3 LAST\r\n", "RSET\n",
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 20000 {
			return
		}
		cfg, client := withTLS(t, testConfig(KindSubmissions))
		m := &memory{auth: true}
		s := secure(t, cfg, client, m)
		br := bufio.NewReader(s.tc)
		for _, line := range []string{"", "EHLO x\r\n", "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"} {
			if _, err := io.WriteString(s.tc, line); err != nil {
				t.Fatal(err)
			}
			if r, err := smtpwire.ReadReply(br, smtpwire.DefaultReplyLimits()); err != nil || !r.OK() {
				t.Fatal(r, err)
			}
		}
		got := s.say(string(in))
		m.check(t, 1)
		if ok := strings.Count(strings.Join(got, " "), "250"); len(m.messages) > ok {
			t.Fatalf("%q: %d messages, %v", in, len(m.messages), got)
		}
	})
}

// Whatever is answered to a challenge, only the right name and password sign in, and
// nothing of it is taken for a command.
func FuzzSASL(f *testing.F) {
	f.Add([]byte("YWxpY2U="), []byte("c2VjcmV0"))
	f.Add([]byte("YWxpY2U="), []byte("*"))
	f.Add([]byte("MAIL FROM:<alice@local.test>"), []byte(""))
	f.Add([]byte(""), []byte("="))
	f.Add([]byte("YWxpY2U"), []byte("\x00"))
	f.Fuzz(func(t *testing.T, user, password []byte) {
		if len(user)+len(password) > 20000 {
			return
		}
		cfg, client := withTLS(t, testConfig(KindSubmissions))
		m := &memory{auth: true}
		s := secure(t, cfg, client, m)
		br := bufio.NewReader(s.tc)
		signedIn := false
		for _, line := range []string{"", "EHLO x\r\n", "AUTH LOGIN\r\n", string(user) + "\r\n", string(password) + "\r\n"} {
			if _, err := io.WriteString(s.tc, line); err != nil {
				break
			}
			r, err := smtpwire.ReadReply(br, smtpwire.DefaultReplyLimits())
			if err != nil || r.Code >= 400 {
				break
			}
			signedIn = r.Code == 235
		}
		s.say("MAIL FROM:<alice@local.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\nx\r\n.\r\n")
		m.check(t, 1)
		right := string(user) == "YWxpY2U=" && string(password) == "c2VjcmV0"
		if signedIn != right || (len(m.messages) > 0) != right {
			t.Fatalf("%q, %q: signed in: %v, delivered %q", user, password, signedIn, m.delivered())
		}
	})
}
