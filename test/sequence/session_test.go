package sequence

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// session is one client connection with a model of what the server may believe.
type session struct {
	w        *world
	r        *rand.Rand
	stored   *recorder
	c        net.Conn
	in       *bufio.Reader
	signedIn bool // the door is submissions and AUTH was answered 235
	door     doorKind
	ended    bool
	commands int
	fault    string
	log      []string

	rcpts  []string // answered 250 in the transaction under way
	from   string
	chunks []byte // BDAT octets of the transaction under way
	open   bool   // a MAIL was answered 250 and its transaction not ended
	inBDAT bool   // a chunk that was not the last was answered 250
	bad    bool   // a chunk so far was content that must not be accepted
}

func (s *session) transcript() string {
	from := max(0, len(s.log)-60)
	return strings.Join(s.log[from:], "\n")
}

// sequence runs one random sequence; false ends the connection.
func (s *session) sequence() bool {
	for range 1 + s.r.IntN(12) {
		if s.ended || !s.step() {
			return false
		}
	}
	return true
}

func (s *session) step() bool {
	switch n := s.r.IntN(100); {
	case n < 6:
		return s.hello()
	case n < 12:
		return s.plain()
	case n < 26:
		return s.mail()
	case n < 50:
		return s.rcpt()
	case n < 68:
		return s.data()
	case n < 84:
		return s.bdat()
	case n < 88:
		s.drop()
		return s.expectOne("RSET")
	case n < 92:
		return s.signIn()
	case n < 98:
		return s.noise()
	case n < 99:
		return s.startTLS()
	}
	s.expectOne("QUIT")
	return false
}

// plain sends what an honest client would, so that enough is accepted for the
// rest to matter; random commands before it may still spoil it.
func (s *session) plain() bool {
	from := "x@remote.test"
	if s.signedIn {
		from = "alice@local.test"
	}
	if code, ok := s.command("MAIL FROM:<" + from + ">"); !ok || code != 250 {
		return ok
	}
	s.drop()
	s.open, s.from = true, from
	for range 1 + s.r.IntN(3) {
		if !s.rcpt() {
			return false
		}
	}
	if s.r.IntN(2) == 0 {
		return s.data()
	}
	return s.bdat()
}

func (s *session) hello() bool {
	code, ok := s.command(s.pick("EHLO client.test", "HELO client.test", "EHLO [127.0.0.2]"))
	if code == 250 {
		s.drop()
	}
	return ok
}

func (s *session) drop() {
	s.open, s.inBDAT, s.bad, s.rcpts, s.chunks, s.from = false, false, false, nil, nil, ""
}

func (s *session) mail() bool {
	from := s.pick("alice@local.test", "alice+tag@local.test", "sales@local.test", "bob@local.test",
		"x@remote.test", "", "alice@remote.test", "ALICE@LOCAL.TEST", "nobody@sub.local.test")
	line := "MAIL FROM:<" + from + ">" + s.pick("", "", " SIZE=1000", " BODY=8BITMIME", " SIZE=1 SIZE=1", " FOO=bar", " SMTPUTF8", " AUTH=<>", " RET=HDRS ENVID=a+20b")
	code, ok := s.command(line)
	if code != 250 {
		return ok
	}
	if s.open {
		return s.faultf("a nested MAIL was accepted")
	}
	s.drop()
	s.open, s.from = true, from
	return ok
}

func (s *session) rcpt() bool {
	to := s.pick("bob@local.test", "bob+list@local.test", "alice@local.test", "all@local.test", "postmaster@local.test", "Postmaster",
		"friend@remote.test", "other@remote.test", "victim%remote.test@local.test", "nobody@local.test", "\"victim@remote.test\"@local.test",
		"@local.test:victim@remote.test", "victim@remote.test@local.test", "postmaster@[127.0.0.1]", "bob@[127.0.0.1]", "victim@elsewhere.test", "", "a b@local.test")
	code, ok := s.command("RCPT TO:<" + to + ">" + s.pick("", "", "", " NOTIFY=NEVER", " NOTIFY=FAILURE,DELAY", " ORCPT=rfc822;x@y", " X=1"))
	if code != 250 {
		return ok
	}
	if !s.open {
		return s.faultf("RCPT was accepted without MAIL")
	}
	if !s.signedIn && strings.Contains(to, "remote") && strings.HasSuffix(to, "@remote.test") {
		return s.faultf("a stranger may relay to %s", to)
	}
	s.rcpts = append(s.rcpts, to)
	return ok
}

// data sends a message with DATA. A bad body (bare CR, LF or NUL in it) must end in
// a refusal, whatever else is true of it.
func (s *session) data() bool {
	code, ok := s.command("DATA")
	if code != 354 {
		return ok
	}
	if !s.open || len(s.rcpts) == 0 {
		return s.faultf("DATA was accepted without recipients")
	}
	if s.inBDAT {
		return s.faultf("DATA was accepted behind BDAT")
	}
	content, bad := s.content()
	wire := append(bytes.ReplaceAll(append([]byte("\r\n"), content...), []byte("\r\n."), []byte("\r\n.."))[2:], ".\r\n"...)
	s.log = append(s.log, fmt.Sprintf("C: (%d octets, bad %t)", len(wire), bad))
	s.write(wire)
	code, text, ok := s.reply()
	return s.judge(code, text, content, bad) && ok
}

// bdat sends one chunk, written in one go with its command.
func (s *session) bdat() bool {
	content, bad := s.content()
	if s.r.IntN(4) == 0 {
		content, bad = nil, false
	}
	last := s.r.IntN(3) > 0
	line := fmt.Sprintf("BDAT %d%s", len(content), map[bool]string{true: " LAST"}[last])
	s.log = append(s.log, "C: "+line)
	s.commands++
	s.write(append([]byte(line+"\r\n"), content...))
	code, text, ok := s.reply()
	s.chunks = append(s.chunks, content...)
	if code == 250 && (!s.open || len(s.rcpts) == 0) {
		return s.faultf("BDAT was accepted without recipients")
	}
	if code == 250 && !last {
		// What was accepted may still turn out bad; whether it did, the end tells.
		s.inBDAT, s.bad = true, s.bad || bad
		return ok
	}
	return s.judge(code, text, s.chunks, bad || s.bad) && ok
}

// judge compares the answer to end of data with what was stored.
func (s *session) judge(code int, text string, content []byte, bad bool) bool {
	id, queued := strings.CutPrefix(text, "2.0.0 queued as ")
	stored := s.stored.take()
	rcpts, from := s.rcpts, s.from
	s.drop()
	switch {
	case code != 250 && len(stored) > 0:
		return s.faultf("%d, but %d copies were stored", code, len(stored))
	case code != 250:
		return true
	case bad:
		return s.faultf("content with a bare CR, a bare LF or a NUL was accepted")
	case !queued || len(stored) != 1 || stored[0].id != id:
		return s.faultf("%d %q, but stored is %v", code, text, stored)
	case !bytes.Equal(stored[0].body, content):
		return s.faultf("stored content differs:\n%q\nsent:\n%q", stored[0].body, content)
	}
	if problem := stored[0].disagrees(from, rcpts); problem != "" {
		return s.faultf("%s", problem)
	}
	s.w.expect(stored[0])
	return true
}

// content makes a message, or garbage that looks like one; bad says that no server
// may accept it.
func (s *session) content() (content []byte, bad bool) {
	var b bytes.Buffer
	from := s.pick("alice@local.test", "alice@local.test", "alice@local.test", "bob@local.test", "alice@local.test, bob@local.test", "x@remote.test")
	fmt.Fprintf(&b, "From: %s\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@c.test>\r\nSubject: x\r\n\r\n", from, s.r.Uint64())
	for range s.r.IntN(12) {
		b.WriteString(s.pick("text", ".", "..", ".x", "MAIL FROM:<admin@local.test>", "RCPT TO:<victim@remote.test>", "DATA", "QUIT", "BDAT 5 LAST", "", "\xff\xfe", strings.Repeat("long ", s.r.IntN(400))))
		b.WriteString("\r\n")
	}
	if s.r.IntN(8) == 0 {
		bad = true
		b.WriteString(s.pick("\n.\r\n", "\r.\r\n", "\n.\n", "\r.\r", "a\x00b\r\n", "x\ny\r\n", "\r\r\n", "\n"))
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	return b.Bytes(), bad
}

func (s *session) signIn() bool {
	user, password := s.pick("alice@local.test", "bob@local.test"), s.pick(rightPassword, rightPassword, rightPassword, "wrong")
	line := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password))
	code, ok := s.command(line)
	if code != 235 {
		return ok
	}
	if s.door != doorSubmissions || s.signedIn || password != rightPassword {
		return s.faultf("AUTH was accepted where it must not be")
	}
	s.signedIn = true
	return ok
}

// startTLS forgets everything that was said before. RFC 3207 §4.2.
func (s *session) startTLS() bool {
	code, ok := s.command("STARTTLS")
	if code != 220 {
		return ok
	}
	if s.door == doorSubmissions {
		return s.faultf("STARTTLS was accepted within TLS")
	}
	c := tls.Client(s.c, s.w.clientTLS)
	if err := c.Handshake(); err != nil {
		return s.faultf("handshake: %v", err)
	}
	s.c, s.in = c, bufio.NewReader(c)
	s.drop()
	return true
}

func (s *session) noise() bool {
	return s.expectOne(s.pick("NOOP", "VRFY bob", "EXPN staff", "HELP", "XYZZY", "MAIL", "RCPT TO:", "BDAT x", "BDAT -1", "DATA now", "LHLO x", "ETRN x", "AUTH", "NOOP \xff"))
}

func (s *session) expectOne(line string) bool {
	_, ok := s.command(line)
	if line == "BDAT x" || line == "BDAT -1" {
		s.drop() // an error in BDAT drops the transaction
	}
	return ok
}

// command sends one line and reads its one reply.
func (s *session) command(line string) (code int, ok bool) {
	s.commands++
	s.log = append(s.log, "C: "+line)
	s.write([]byte(line + "\r\n"))
	code, _, ok = s.reply()
	if len(s.chunks) > 0 || s.inBDAT {
		// A refused command within a sequence of chunks leaves nothing of it.
		if code >= 400 {
			s.drop()
		}
	}
	return code, ok
}

// write sends b in random pieces.
func (s *session) write(b []byte) {
	_ = s.c.SetDeadline(time.Now().Add(30 * time.Second))
	for len(b) > 0 {
		n := len(b)
		if s.r.IntN(4) == 0 {
			n = 1 + s.r.IntN(len(b))
		}
		if _, err := s.c.Write(b[:n]); err != nil {
			return // the reply, or its absence, tells
		}
		b = b[n:]
	}
}

// reply reads one reply. The connection may end instead: then nothing more may be
// stored, which end checks.
func (s *session) reply() (code int, text string, ok bool) {
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			s.ended = true
			return 0, "", false
		}
		s.log = append(s.log, "S: "+strings.TrimRight(line, "\r\n"))
		if !strings.HasSuffix(line, "\r\n") || len(line) < 6 {
			s.faultf("malformed reply %q", line)
			return 0, "", false
		}
		if _, err := fmt.Sscanf(line[:3], "%d", &code); err != nil {
			s.faultf("malformed reply %q", line)
			return 0, "", false
		}
		if line[3] == ' ' {
			return code, strings.TrimRight(line[4:], "\r\n"), code != 421 && code != 221
		}
	}
}

// end closes the connection and checks that nothing else was stored or said.
func (s *session) end() {
	_ = s.c.SetDeadline(time.Now().Add(5 * time.Second))
	if !s.ended {
		s.write([]byte("QUIT\r\n"))
		s.reply()
	}
	if rest, _ := s.in.ReadString('\n'); rest != "" && s.fault == "" {
		s.faultf("a reply that nobody asked for: %q", rest)
	}
	_ = s.c.Close()
	if left := s.stored.take(); len(left) > 0 {
		s.faultf("%d messages were stored without an answer", len(left))
	}
}

func (s *session) pick(options ...string) string { return options[s.r.IntN(len(options))] }
