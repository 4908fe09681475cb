package pop3

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/door/textconn"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/store/pebble"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a mailbox on a disk, and a door to it.
type site struct {
	root    *mailbox.Root
	disk    *torn
	dir     string
	box     *mailbox.Mailbox
	options Options
	addr    string
	trust   *tls.Config

	mu       sync.Mutex
	sessions []*session
	refusal  error    // of Connect
	refused  []string // by the engine, as the session is told of it
}

const letter = "Subject: hello\r\n\r\nbody\r\n"

// newSite opens the door, with messages in the mailbox.
func newSite(t testing.TB, implicit bool, change func(*Options), letters ...string) *site {
	t.Helper()
	host, err := mail.ParseDomain("mx.local.test")
	check(t, err)
	s := &site{dir: t.TempDir(), disk: &torn{FS: pebble.Disk(vfs.Default)}}
	s.root, err = mailbox.New(mailbox.Options{
		FS: s.disk, Folder: func(a mail.Address) (string, bool) { return filepath.Join(s.dir, a.Local()), true },
		Hostname: host, Limits: mailbox.DefaultLimits(), Timely: true, Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	t.Cleanup(s.root.Close)
	s.box, err = s.user(t).Select(t.Context(), "INBOX", false)
	check(t, err)
	t.Cleanup(s.box.Close)
	s.put(t, letters...)
	web := httptest.NewTLSServer(nil)
	t.Cleanup(web.Close)
	s.trust = web.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	s.trust.ServerName = "example.com"
	s.options = Options{
		Backend: s, Hostname: "mx.local.test", TLS: &tls.Config{Certificates: web.TLS.Certificates}, Implicit: implicit,
		Locks: &Locks{}, Limits: DefaultLimits(), Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	s.options.Limits.AuthFailureDelay = time.Millisecond
	if change != nil {
		change(&s.options)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { Serve(ctx, nc, &s.options) })
		}
	})
	t.Cleanup(func() { cancel(); _ = ln.Close(); all.Wait() })
	return s
}

func (s *site) user(t testing.TB) *mailbox.User {
	t.Helper()
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	check(t, err)
	u, err := s.root.User(context.Background(), alice)
	check(t, err)
	return u
}

func (s *site) put(t testing.TB, letters ...string) {
	t.Helper()
	for _, text := range letters {
		_, err := s.box.Append(t.Context(), strings.NewReader(text), int64(len(text)), mailbox.Flags{}, time.Now())
		check(t, err)
	}
}

// left is how many messages the mailbox has.
func (s *site) left(t testing.TB) int {
	t.Helper()
	_, err := s.box.Refresh(t.Context())
	check(t, err)
	return len(s.box.State().Messages)
}

// session is the backend of one connection: alice's password is "pass word".
type session struct {
	site *site
	conn Conn
	t    testing.TB
	user *mailbox.User
	end  string
}

func (s *site) Connect(_ context.Context, c Conn) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal != nil {
		return nil, s.refusal
	}
	one := &session{site: s, conn: c}
	s.sessions = append(s.sessions, one)
	return one, nil
}

func (s *site) last() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[len(s.sessions)-1]
}

// ended waits until the last session has ended, and says why.
func (s *site) ended(t testing.TB) string {
	t.Helper()
	for range 500 {
		s.mu.Lock()
		end := s.sessions[len(s.sessions)-1].end
		s.mu.Unlock()
		if end != "" {
			return end
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the session does not end")
	return ""
}

func (s *session) Mechanisms(Channel) []string { return []string{"PLAIN", "TWO-STEPS"} }

func (s *session) Login(ctx context.Context, c Channel, user, password string) error {
	switch {
	case c.TLS == nil:
		return errors.New("a sign-in in clear text")
	case user == "broken":
		return errors.New("broken")
	case user == "closed":
		return &Refusal{Code: "SYS/TEMP", Text: "later", Close: true}
	case user != "alice" || password != "pass word":
		return &Refusal{Code: "AUTH", Text: "no"}
	}
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	if err != nil {
		return err
	}
	s.user, err = s.site.root.User(ctx, alice)
	return err
}

func (s *session) Auth(_ context.Context, c Channel, mechanism string) (SASL, error) {
	if mechanism == "TWO-STEPS" {
		return &steps{s: s}, nil
	}
	return &plain{s: s, c: c}, nil
}

func (s *session) Mailboxes() *mailbox.User { return s.user }

func (s *session) Refused(_ context.Context, command, text string) {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	s.site.refused = append(s.site.refused, command+": "+text)
}

func (s *session) Close(_ context.Context, why string) {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	if s.user != nil {
		s.user.Close()
	}
	s.end = why
}

type plain struct {
	s *session
	c Channel
}

func (p *plain) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte{}, false, nil
	}
	parts := strings.Split(string(response), "\x00")
	if len(parts) != 3 {
		return nil, false, &Refusal{Code: "AUTH", Text: "no"}
	}
	return nil, true, p.s.Login(ctx, p.c, parts[1], parts[2])
}

func (p *plain) Cancel(context.Context) {}

// steps says something at the end, as SCRAM does.
type steps struct {
	s *session
	n int
}

func (p *steps) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if p.n++; p.n < 3 {
		return []byte("step" + strconv.Itoa(p.n)), false, nil
	}
	return []byte("last"), true, p.s.Login(ctx, Channel{TLS: &tls.ConnectionState{}}, "alice", "pass word")
}

func (p *steps) Cancel(context.Context) {}

// client is the other end.
type client struct {
	t  testing.TB
	nc net.Conn
	in *bufio.Reader
}

func (s *site) dial(t testing.TB) *client {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	check(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	check(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	c := &client{t: t, nc: nc}
	if s.options.Implicit {
		c.secure(s)
	} else {
		c.in = bufio.NewReader(nc)
	}
	return c
}

func (c *client) secure(s *site) {
	c.nc = tls.Client(c.nc, s.trust)
	c.in = bufio.NewReader(c.nc)
}

// signedIn is a client of alice's mailbox.
func (s *site) signedIn(t testing.TB) *client {
	t.Helper()
	c := s.dial(t)
	c.talk("", "+OK mx.local.test POP3 ready\r\n")
	c.talk("USER alice\r\nPASS pass word\r\n", "+OK\r\n+OK signed in\r\n")
	return c
}

// talk says something, and wants to hear exactly that.
func (c *client) talk(say, hear string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, say); err != nil && hear != "" {
		c.t.Fatal(err)
	}
	got := make([]byte, len(hear))
	if n, err := io.ReadFull(c.in, got); err != nil || string(got) != hear {
		c.t.Fatalf("to %q: %q, want %q (%v)", say, got[:n], hear, err)
	}
}

// over wants the connection to end.
func (c *client) over() {
	c.t.Helper()
	if b, err := io.ReadAll(c.in); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("after the end: %q, %v", b, err)
	}
}

// Every command of a session, as one would type it. The last line of the second message has no end, and gets one.
func TestSession(t *testing.T) {
	s := newSite(t, true, nil, letter, "Subject: dots\r\n\r\n.\r\n..two\r\nline\r\n.end", "\r\n")
	c := s.signedIn(t)
	c.talk("STAT\r\n", "+OK 3 65\r\n")
	c.talk("LIST\r\n", "+OK 3 messages (65 octets)\r\n1 24\r\n2 39\r\n3 2\r\n.\r\n")
	c.talk("list 2\r\n", "+OK 2 39\r\n")
	c.talk("RETR 1\r\n", "+OK 24 octets\r\n"+letter+".\r\n")
	c.talk("RETR 2\r\n", "+OK 39 octets\r\nSubject: dots\r\n\r\n..\r\n...two\r\nline\r\n..end\r\n.\r\n")
	c.talk("RETR 3\r\n", "+OK 2 octets\r\n\r\n.\r\n")
	c.talk("TOP 1 0\r\n", "+OK\r\nSubject: hello\r\n\r\n.\r\n")
	c.talk("TOP 2 2\r\n", "+OK\r\nSubject: dots\r\n\r\n..\r\n...two\r\n.\r\n")
	c.talk("TOP 2 100\r\n", "+OK\r\nSubject: dots\r\n\r\n..\r\n...two\r\nline\r\n..end\r\n.\r\n")
	c.talk("LAST\r\n", "-ERR LAST is not known here; use UIDL\r\n")
	c.talk("DELE 1\r\n", "+OK marked\r\n")
	c.talk("DELE 1\r\nRETR 1\r\nLIST 1\r\nUIDL 1\r\nTOP 1 1\r\n", strings.Repeat("-ERR there is no such message\r\n", 5))
	c.talk("STAT\r\nLIST\r\n", "+OK 2 41\r\n+OK 2 messages (41 octets)\r\n2 39\r\n3 2\r\n.\r\n")
	c.talk("RSET\r\nSTAT\r\nNOOP\r\n", "+OK nothing is marked\r\n+OK 3 65\r\n+OK\r\n")
	c.talk("RETR 4\r\nRETR 0\r\n", strings.Repeat("-ERR there is no such message\r\n", 2))
	c.talk("RETR\r\nRETR x\r\nRETR 1 1\r\nRETR -1\r\nRETR 99999999999\r\n", strings.Repeat("-ERR the number of a message is wanted; of TOP, that of lines too\r\n", 5))
	c.talk("TOP 1\r\nDELE\r\n", "-ERR the number of a message is wanted; of TOP, that of lines too\r\n-ERR the number of a message is wanted\r\n")
	c.talk("APOP a b\r\nUSER alice\r\nSTLS\r\n\r\n", strings.Repeat("-ERR this command is not known, or not at this time\r\n", 4))
	c.talk("CAPA\r\n", "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n.\r\n")
	c.talk("DELE 2\r\nQUIT\r\n", "+OK marked\r\n+OK goodbye\r\n")
	c.over()
	if end := s.ended(t); end != EndQuit || s.left(t) != 2 {
		t.Errorf("%s, %d messages", end, s.left(t))
	}
}

// Names stay with messages, and no two have one.
func TestNames(t *testing.T) {
	s := newSite(t, true, nil, letter, letter)
	state := s.box.State()
	name := func(i int) string {
		return (&maildrop{valid: state.UIDValidity}).uidl(entry{uid: state.Messages[i].UID})
	}
	c := s.signedIn(t)
	c.talk("UIDL\r\n", "+OK 2 messages (48 octets)\r\n1 "+name(0)+"\r\n2 "+name(1)+"\r\n.\r\n")
	if len(name(0)) != 16 || name(0) == name(1) {
		t.Errorf("the names are %s and %s", name(0), name(1))
	}
	c.talk("DELE 1\r\nQUIT\r\n", "+OK marked\r\n+OK goodbye\r\n")
	s.ended(t)
	s.put(t, letter)
	c = s.signedIn(t)
	state.Messages = append(state.Messages, s.box.State().Messages[1])
	c.talk("UIDL\r\nUIDL 1\r\n", "+OK 2 messages (48 octets)\r\n1 "+name(1)+"\r\n2 "+name(2)+"\r\n.\r\n+OK 1 "+name(1)+"\r\n")
}

// Nothing is deleted but at QUIT, and flags stay as they were.
func TestNothingIsDeletedButAtQuit(t *testing.T) {
	for name, end := range map[string]func(*site, *client){
		"closed": func(_ *site, c *client) { _ = c.nc.Close() },
		"ended": func(s *site, c *client) {
			s.last().conn.End("revoked")
			c.talk("", "-ERR [SYS/TEMP] revoked\r\n")
			c.over()
		},
		"timeout": func(_ *site, c *client) { c.over() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, true, func(o *Options) {
				if name == "timeout" {
					o.Limits.IdleTimeout = 100 * time.Millisecond
				}
			}, letter)
			c := s.signedIn(t)
			c.talk("RETR 1\r\nDELE 1\r\n", "+OK 24 octets\r\n"+letter+".\r\n+OK marked\r\n")
			end(s, c)
			if why := s.ended(t); s.left(t) != 1 {
				t.Errorf("%s: the message is gone", why)
			}
			if f := s.box.State().Messages[0].Flags; f.System != 0 {
				t.Errorf("the flags are %v", f)
			}
		})
	}
}

// What is new stays where others look for what is new, until something is deleted.
func TestNewStaysNew(t *testing.T) {
	s := newSite(t, true, nil)
	s.box.Close()
	file := filepath.Join(s.dir, "alice", "new", "1700000000.M1P1.other")
	check(t, os.WriteFile(file, []byte("Subject: new\n\nx\n"), 0o600))
	c := s.signedIn(t)
	c.talk("RETR 1\r\nQUIT\r\n", "+OK 19 octets\r\nSubject: new\r\n\r\nx\r\n.\r\n+OK goodbye\r\n")
	s.ended(t)
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// A mailbox has one session, and the next when that has ended.
func TestOneSession(t *testing.T) {
	s := newSite(t, true, nil, letter)
	c := s.signedIn(t)
	d := s.dial(t)
	d.talk("USER alice\r\nPASS pass word\r\n", "+OK mx.local.test POP3 ready\r\n+OK\r\n-ERR [IN-USE] another POP3 session has the mailbox\r\n")
	d.over()
	c.talk("QUIT\r\n", "+OK goodbye\r\n")
	c.over()
	s.mu.Lock()
	first := s.sessions[0]
	if got := strings.Join(s.refused, "\n"); got != "PASS: another POP3 session has the mailbox" {
		t.Errorf("nobody learns of it: %q", got)
	}
	s.mu.Unlock()
	for first.ending() == "" {
		time.Sleep(time.Millisecond)
	}
	s.signedIn(t)
}

func (s *session) ending() string {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	return s.end
}

// What others do meanwhile changes no number.
func TestOthersWorkOnTheMailbox(t *testing.T) {
	s := newSite(t, true, nil, letter, letter+"second\r\n")
	c := s.signedIn(t)
	_, err := s.box.Remove(t.Context(), []mailbox.UID{s.box.State().Messages[0].UID})
	check(t, err)
	s.put(t, letter)
	c.talk("STAT\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\n", "+OK 2 56\r\n-ERR the message is gone: another program deleted it\r\n+OK 32 octets\r\n"+letter+"second\r\n.\r\n-ERR there is no such message\r\n")
	c.talk("DELE 1\r\nDELE 2\r\nQUIT\r\n", "+OK marked\r\n+OK marked\r\n+OK goodbye\r\n")
	if s.ended(t); s.left(t) != 1 {
		t.Errorf("%d messages are left", s.left(t))
	}
}

// In clear text there is no sign-in, and nothing of it counts under TLS.
func TestSTLS(t *testing.T) {
	s := newSite(t, false, nil, letter)
	c := s.dial(t)
	c.talk("", "+OK mx.local.test POP3 ready\r\n")
	c.talk("CAPA\r\n", "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\nSTLS\r\n.\r\n")
	const refused = "-ERR [SYS/PERM] encryption is required to sign in; the credential was not looked at\r\n"
	c.talk("USER alice\r\nPASS pass word\r\nAUTH PLAIN\r\nSTAT\r\n", strings.Repeat(refused, 3)+"-ERR this command is not known, or not at this time\r\n")
	s.mu.Lock()
	if len(s.refused) != 3 || s.refused[0] != "USER: encryption is required to sign in; the credential was not looked at" {
		t.Errorf("nobody learns of it: %q", s.refused)
	}
	s.mu.Unlock()
	c.talk("STLS\r\n", "+OK begin TLS now\r\n")
	c.secure(s)
	c.talk("CAPA\r\n", "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\nUSER\r\nSASL PLAIN TWO-STEPS\r\n.\r\n")
	c.talk("STLS\r\nPASS pass word\r\n", "-ERR TLS is on already\r\n-ERR USER comes first\r\n")
	c.talk("UTF8\r\nUSER alice\r\nPASS pass word\r\nSTAT\r\n", "+OK\r\n+OK\r\n+OK signed in\r\n+OK 1 24\r\n")

	c = s.dial(t)
	c.talk("STLS\r\nUSER alice\r\n", "+OK mx.local.test POP3 ready\r\n-ERR nothing may follow STLS before TLS is on\r\n")
	c.over()
	if end := s.ended(t); end != EndInjection {
		t.Error(end)
	}
	s.options.TLS = nil
	c = s.dial(t)
	c.talk("STLS\r\nCAPA\r\n", "+OK mx.local.test POP3 ready\r\n-ERR TLS is not offered\r\n+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n.\r\n")
}

func TestSASL(t *testing.T) {
	good := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00pass word"))
	wrong := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00guess"))
	s := newSite(t, true, nil, letter)
	for say, hear := range map[string]string{
		"AUTH PLAIN " + good + "\r\nSTAT\r\n":                "+OK signed in\r\n+OK 1 24\r\n",
		"auth plain\r\n" + good + "\r\nSTAT\r\n":             "+ \r\n+OK signed in\r\n+OK 1 24\r\n",
		"AUTH\r\n":                                           "+OK\r\nPLAIN\r\nTWO-STEPS\r\n.\r\n",
		"AUTH TWO-STEPS\r\nYQ==\r\n=\r\n\r\nSTAT\r\n":        "+ c3RlcDE=\r\n+ c3RlcDI=\r\n+ bGFzdA==\r\n+OK signed in\r\n+OK 1 24\r\n",
		"AUTH PLAIN\r\n*\r\nNOOP\r\n":                        "+ \r\n-ERR cancelled\r\n-ERR this command is not known, or not at this time\r\n",
		"AUTH PLAIN\r\n!\r\n":                                "+ \r\n-ERR the response is no base64\r\n",
		"AUTH PLAIN !\r\nAUTH PLAIN *\r\nAUTH PLAIN a b\r\n": strings.Repeat("-ERR the initial response is no base64\r\n", 3),
		"AUTH CRAM-MD5\r\n":                                  "-ERR this mechanism is not offered\r\n",
		"AUTH PLAIN " + wrong + "\r\n\r\nAUTH\r\n":           "-ERR [AUTH] no\r\n+OK\r\nPLAIN\r\nTWO-STEPS\r\n.\r\n",
		"USER broken\r\nPASS x\r\n":                          "+OK\r\n-ERR [SYS/TEMP] no decision was made; try again later\r\n",
		"USER\r\nPASS x\r\n":                                 "-ERR a name is wanted\r\n-ERR USER comes first\r\n",
		"QUIT\r\n":                                           "+OK goodbye\r\n",
	} {
		c := s.dial(t)
		c.talk("", "+OK mx.local.test POP3 ready\r\n")
		s.mu.Lock()
		s.refused = nil
		s.mu.Unlock()
		c.talk(say, hear)
		s.mu.Lock()
		told := len(s.refused)
		s.mu.Unlock()
		if want := strings.Count(hear, "cancelled") + strings.Count(hear, "base64") + strings.Count(hear, "is not offered"); told != want {
			t.Errorf("%q: %d of %d refusals are told", say, told, want)
		}
		_ = c.nc.Close()
		s.ended(t)
	}
}

func TestBounds(t *testing.T) {
	s := newSite(t, true, func(o *Options) {
		o.Limits.StrangerCommands = 10
		o.Limits.Errors = 5
		o.Limits.StrangerTimeout = 200 * time.Millisecond
	}, letter)
	const hello = "+OK mx.local.test POP3 ready\r\n"
	for name, v := range map[string]struct{ say, hear, end string }{
		"guesses":    {strings.Repeat("USER alice\r\nPASS x\r\n", 3), hello + strings.Repeat("+OK\r\n-ERR [AUTH] no\r\n", 3), EndAuthFailures},
		"commands":   {strings.Repeat("CAPA\r\nUTF8\r\n", 5) + "UTF8\r\n", hello, EndErrors},
		"errors":     {strings.Repeat("X\r\n", 5), hello + strings.Repeat("-ERR this command is not known, or not at this time\r\n", 5) + "-ERR too many commands in a row that are none\r\n", EndErrors},
		"long":       {"USER " + strings.Repeat("x", 600) + "\r\n", hello + "-ERR the command is too long\r\n", ""},
		"longer":     {strings.Repeat("x", 13000), hello + "-ERR the command is too long\r\n", EndTooLong},
		"NUL":        {"USER a\x00\r\n", hello + "-ERR a line holds NUL or a bare CR\r\n", EndErrors},
		"silence":    {"", hello, EndTimeout},
		"a browser":  {"GET / HTTP/1.1\r\n", hello + "-ERR this is POP3\r\n", EndNotPOP3},
		"a closure":  {"USER closed\r\nPASS x\r\n", hello + "+OK\r\n-ERR [SYS/TEMP] later\r\n", EndPolicy},
		"bare lines": {"UTF8\nQUIT\n", hello + "+OK\r\n+OK goodbye\r\n", EndQuit},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.talk(v.say, v.hear)
			if v.end == "" {
				return
			}
			if end := s.ended(t); end != v.end {
				t.Errorf("it ended for %s, want %s", end, v.end)
			}
		})
	}
	s.mu.Lock()
	s.refusal = &Refusal{Code: "SYS/PERM", Text: "not you"}
	s.mu.Unlock()
	c := s.dial(t)
	c.talk("", "-ERR [SYS/PERM] not you\r\n")
	c.over()
}

// Programs that people have read the mailbox, in clear text up to STLS and under TLS.
func TestPrograms(t *testing.T) {
	const python = `
import poplib, ssl, sys
c = ssl._create_unverified_context()
host, port = sys.argv[1].split(":")
if sys.argv[2] == "pop3s":
    p = poplib.POP3_SSL(host, int(port), context=c)
else:
    p = poplib.POP3(host, int(port)); p.stls(context=c)
p.user("alice"); p.pass_("pass word")
assert p.stat() == (2, 48), p.stat()
assert len(p.uidl()[1]) == 2
print(b"\n".join(p.retr(1)[1]).decode())
p.dele(2); p.quit()
`
	for _, scheme := range []string{"pop3", "pop3s"} {
		s := newSite(t, scheme == "pop3s", nil, letter, letter)
		for program, args := range map[string][]string{
			"curl":    {"-sk", "--ssl-reqd", "-u", "alice:pass word", scheme + "://" + s.addr + "/1"},
			"python3": {"-c", python, s.addr, scheme},
		} {
			path, err := exec.LookPath(program)
			if err != nil {
				t.Logf("%s is not installed", program)
				continue
			}
			if program == "python3" {
				for s.left(t) != 2 {
					s.put(t, letter)
				}
			}
			out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
			if err != nil || strings.TrimSpace(strings.ReplaceAll(string(out), "\r", "")) != "Subject: hello\n\nbody" {
				t.Errorf("%s over %s: %s (%v)", program, scheme, out, err)
			}
			s.ended(t)
		}
	}
}

// Options that are not whole speak with nobody.
func TestOptions(t *testing.T) {
	s := newSite(t, true, nil)
	for name, change := range map[string]func(*Options){
		"no backend": func(o *Options) { o.Backend = nil }, "no locks": func(o *Options) { o.Locks = nil }, "no name": func(o *Options) { o.Hostname = "" },
		"no TLS": func(o *Options) { o.TLS = nil }, "no limits": func(o *Options) { o.Limits = Limits{} }, "no clock": func(o *Options) { o.Now = nil },
	} {
		o := s.options
		if change(&o); o.Check() == nil {
			t.Errorf("%s: it would run", name)
		}
		near, far := net.Pipe()
		go Serve(context.Background(), far, &o)
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A disk that fails in the middle of a message ends the connection before the message's end.
func TestHalfAMessage(t *testing.T) {
	var got []byte
	near, far := net.Pipe()
	defer near.Close()
	c := &conn{Conn: textconn.New(far, textconn.Options{OutOctets: 1 << 20})}
	err := c.send(context.Background(), io.MultiReader(strings.NewReader(letter), &failing{}), &topper{lines: -1})
	got = c.Out
	if !errors.Is(err, errDisk) || strings.Contains(string(got), "\r\n.\r\n") {
		t.Errorf("%q, %v", got, err)
	}
}

var errDisk = errors.New("the disk failed")

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errDisk }

// However a message is cut, its dots and its first lines are the same, and the reader of the
// other side finds the message.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("Subject: x\r\n\r\n.\r\n..a\r\n"), uint8(1), uint8(3))
	f.Add([]byte("no end."), uint8(0), uint8(1))
	f.Add([]byte("\r\n.\r\n\r\n.\n."), uint8(2), uint8(2))
	f.Fuzz(func(t *testing.T, text []byte, lines, cut uint8) {
		var out strings.Builder
		s := &stuffer{take: func(b []byte) { out.Write(b) }}
		top := &topper{lines: int(lines)}
		size := int(cut)%17 + 1
		var passed []byte
		for rest, more := text, true; more && len(rest) > 0; {
			piece := rest[:min(size, len(rest))]
			var n int
			n, more = top.pass(piece)
			s.write(piece[:n])
			passed, rest = append(passed, piece[:n]...), rest[len(piece):]
		}
		s.end()
		var want strings.Builder
		all := strings.SplitAfter(string(text), "\n")
		body, taken := false, 0
		for _, line := range all {
			if body && taken == int(lines) {
				break
			}
			want.WriteString(line)
			if body {
				taken++
			}
			body = body || strings.Trim(line, "\r") == "\n"
		}
		if string(passed) != want.String() {
			t.Fatalf("%d lines of %q are %q, want %q", lines, text, passed, want.String())
		}
		told := out.String()
		body2, ok := strings.CutSuffix(told, ".\r\n")
		if !ok || strings.Contains(body2, "\n.\r\n") || strings.HasPrefix(body2, ".\r\n") {
			t.Fatalf("%q is told as %q", passed, told)
		}
		back := strings.ReplaceAll("\n"+body2, "\n..", "\n.")[1:]
		if back != string(passed) && back != string(passed)+"\r\n" {
			t.Fatalf("%q comes back as %q", passed, back)
		}
	})
}

// Whatever a client says, the server answers in lines, and ends.
func FuzzSession(f *testing.F) {
	for _, in := range []string{"USER alice\r\nPASS pass word\r\nLIST\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n", "AUTH PLAIN\r\n*\r\n", "TOP 1 1\r\nUIDL\r\n\x00", "USER alice\r\nPASS pass word\r\nTOP 1 99999999999\r\nLIST 1 1\r\nRSET\r\n"} {
		f.Add([]byte(in))
	}
	s := newSite(f, true, func(o *Options) {
		o.Limits.AuthFailureDelay, o.Limits.LingerTimeout = time.Nanosecond, time.Nanosecond
	}, letter)
	shaken := s.dial(f).nc.(*tls.Conn)
	check(f, shaken.Handshake())
	state := shaken.ConnectionState()
	f.Fuzz(func(t *testing.T, in []byte) {
		near, far := net.Pipe()
		o := s.options
		o.Implicit = false // the handshake was done once, for all
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := newConn(far, &o)
			if err != nil {
				t.Error(err)
				return
			}
			c.tls = &state
			c.finish(context.Background(), c.converse(context.Background()))
		}()
		go func() {
			_, _ = near.Write(in)
			_, _ = near.Write([]byte("\r\nQUIT\r\nQUIT\r\nQUIT\r\n"))
			_ = near.SetWriteDeadline(time.Now())
			time.Sleep(50 * time.Millisecond)
			_ = near.Close()
		}()
		b, _ := io.ReadAll(near)
		<-done
		for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\r\n"), "\r\n") {
			if strings.ContainsAny(line, "\r\n") {
				t.Fatalf("%q is no line", line)
			}
		}
	})
}
