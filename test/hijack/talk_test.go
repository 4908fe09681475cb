package hijack

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

// proof is what somebody shows who signs in.
type proof struct {
	user, word string // word is a password or an access token
}

// tickets are the TLS sessions that a server gave; a sealed one takes no further.
type tickets struct {
	mu     sync.Mutex
	sealed bool
	of     map[string]*tls.ClientSessionState
}

// Get implements tls.ClientSessionCache.
func (c *tickets) Get(key string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.of[key]
	return s, s != nil
}

func (c *tickets) isSealed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sealed
}

func (c *tickets) seal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed = true
}

// Put implements tls.ClientSessionCache.
func (c *tickets) Put(key string, s *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sealed && s != nil {
		c.of[key] = s
	}
}

// talk is a connection to a door that signs people in, under TLS.
type talk struct {
	t     *testing.T
	door  string
	nc    net.Conn
	in    *bufio.Reader
	tls   *tls.Conn
	tag   int
	hello string // what the door says that it can
}

// sends reports whether a door is there to send.
func sends(door string) bool { return strings.HasPrefix(door, "submission") || door == "sendmail" }

func protocol(door string) string { return strings.TrimSuffix(door, "s") }

// secure begins TLS with a door, in its way.
func secure(t *testing.T, door string, raw net.Conn, c *tls.Config) *talk {
	t.Helper()
	k := &talk{t: t, door: door, nc: raw, in: bufio.NewReader(raw)}
	if begin := map[string]string{"submission": "STARTTLS", "imap": "STARTTLS", "pop3": "STLS"}[door]; begin != "" {
		k.line()
		if door == "submission" {
			k.say("EHLO owner.test")
		}
		k.say(begin)
	}
	k.tls = tls.Client(raw, c)
	must(t, k.tls.Handshake())
	k.nc, k.in = k.tls, bufio.NewReader(k.tls)
	if strings.HasSuffix(door, "s") {
		k.line()
	}
	if protocol(door) == "submission" {
		k.hello = k.say("EHLO owner.test")
	}
	return k
}

// line reads one line; "" where there is none.
func (k *talk) line() string {
	text, err := k.in.ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimRight(text, "\r\n")
}

// say gives a command and returns the line that ends its answer, without a tag; "" when the
// session is over.
func (k *talk) say(command string) string {
	tag := ""
	if protocol(k.door) == "imap" {
		k.tag++
		tag = fmt.Sprintf("a%d ", k.tag)
	}
	return k.write(tag+command, tag)
}

func (k *talk) write(text, tag string) string {
	_, _ = io.WriteString(k.nc, text+"\r\n") // of a session that is over the end is read
	for {
		got := k.line()
		switch {
		case got == "", strings.HasPrefix(got, "+ "), got == "+", strings.HasPrefix(got, "* BYE"):
			return got
		case protocol(k.door) == "submission" && len(got) > 3 && got[3] == '-', tag != "" && !strings.HasPrefix(got, tag):
			continue
		}
		return strings.TrimPrefix(got, tag)
	}
}

// respond answers a challenge.
func (k *talk) respond(text string) string {
	tag := ""
	if protocol(k.door) == "imap" {
		tag = fmt.Sprintf("a%d ", k.tag)
	}
	return k.write(text, tag)
}

// challenge returns what a server asks; false: its answer is no question.
func challenge(answer string) (string, bool) {
	for _, ask := range []string{"334", "+ "} {
		if text, is := strings.CutPrefix(answer, ask); is {
			octets, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
			return string(octets), err == nil
		}
	}
	return "", answer == "+"
}

func good(answer string) bool {
	return strings.HasPrefix(answer, "235") || strings.HasPrefix(answer, "OK") || strings.HasPrefix(answer, "+OK")
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func (k *talk) auth(mechanism, first string) string {
	command := "AUTH "
	if protocol(k.door) == "imap" {
		command = "AUTHENTICATE "
	}
	if first == "" {
		return k.say(command + mechanism + " =")
	}
	return k.say(command + mechanism + " " + b64(first))
}

// prove signs in by a mechanism, or by what the protocol has of its own, and returns the answer.
func (k *talk) prove(mechanism string, p proof) string {
	switch mechanism {
	case "PLAIN":
		return k.auth(mechanism, "\x00"+p.user+"\x00"+p.word)
	case "LOGIN":
		command := "AUTH LOGIN"
		if protocol(k.door) == "imap" {
			command = "AUTHENTICATE LOGIN"
		}
		for _, text := range []string{command, b64(p.user), b64(p.word)} {
			send := k.respond
			if text == command {
				send = k.say
			}
			answer := send(text)
			if _, asks := challenge(answer); !asks {
				return answer
			}
		}
	case "EXTERNAL":
		return k.auth(mechanism, "")
	case "XOAUTH2":
		return k.auth(mechanism, "user="+p.user+"\x01auth=Bearer "+p.word+"\x01\x01")
	case "OAUTHBEARER":
		answer := k.auth(mechanism, "n,a="+p.user+",\x01auth=Bearer "+p.word+"\x01\x01")
		if _, asks := challenge(answer); asks { // which says why not: RFC 7628 §3.2.2
			return k.respond("AQ==")
		}
		return answer
	case "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS":
		return k.scram(mechanism, p)
	case "its own":
		if protocol(k.door) == "imap" {
			return k.say(fmt.Sprintf("LOGIN \"%s\" \"%s\"", p.user, p.word))
		}
		if answer := k.say("USER " + p.user); !good(answer) {
			return answer
		}
		return k.say("PASS " + p.word)
	case "the certificate alone":
		// It is the answer to MAIL that says whether somebody signed in.
		return strings.Replace(k.say("MAIL FROM:<"+ascii(p.user)+">"), "250", "235", 1)
	}
	k.t.Fatalf("%s: no mechanism, or a question too many", mechanism)
	return ""
}

func (k *talk) scram(mechanism string, p proof) string {
	c, err := scram.SHA256.NewClient(p.user, p.word, "")
	must(k.t, err)
	conversation := c.NewConversation()
	if mechanism != "SCRAM-SHA-256" {
		state := k.tls.ConnectionState()
		binding, err := scram.NewTLSExporterBinding(&state)
		must(k.t, err)
		conversation = c.NewConversationWithChannelBinding(binding)
	}
	said, err := conversation.Step("")
	must(k.t, err)
	answer := k.auth(mechanism, said)
	for {
		asked, asks := challenge(answer)
		if !asks {
			return answer
		}
		if said, err = conversation.Step(asked); err != nil {
			k.t.Fatalf("%s at %s: %v", mechanism, k.door, err)
		}
		answer = k.respond(b64(said))
	}
}

// idle waits as a mail program does for letters to come.
func (k *talk) idle() {
	if protocol(k.door) != "imap" {
		return
	}
	if got := k.say("SELECT INBOX"); !good(got) {
		k.t.Fatalf("%s: SELECT: %q", k.door, got)
	}
	if got := k.say("IDLE"); !strings.HasPrefix(got, "+") {
		k.t.Fatalf("%s: IDLE: %q", k.door, got)
	}
}

// reads reports whether the session still reads, and what it is told else.
func (k *talk) reads() (string, bool) {
	command := "STAT"
	if protocol(k.door) == "imap" {
		if got := k.respond("DONE"); !good(got) {
			return got, false
		}
		command = "NOOP"
	}
	got := k.say(command)
	return got, good(got)
}

// ends reports whether the session is over by a moment.
func (k *talk) ends(by time.Time) bool {
	_ = k.nc.SetReadDeadline(by)
	_, err := io.Copy(io.Discard, k.in)
	return err == nil
}

// leave ends the session in its protocol's way, so that it is over for the server too.
func (k *talk) leave() {
	command := "QUIT"
	if protocol(k.door) == "imap" {
		command = "LOGOUT"
	}
	_ = k.nc.SetDeadline(time.Now().Add(5 * time.Second))
	k.say(command)
	_, _ = io.Copy(io.Discard, k.in)
	_ = k.nc.Close()
}
