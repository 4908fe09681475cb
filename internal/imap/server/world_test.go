package server_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/imap/server"

	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/store/pebble"
)

const password = "right pass"

// world is a server with the mailbox of one account.
type world struct {
	t       testing.TB
	root    *mailbox.Root
	account mail.Address
	options server.Options
	addr    string
	dir     string // of the mailbox
	log     *lockedLog

	mu       sync.Mutex
	sessions []*session
	program  map[string]string
	refused  []string                    // by the engine, as the session is told of it
	room     func() (server.Room, error) // nil: it is not bounded
	serving  sync.WaitGroup
	cancel   func(error) // ends everything
}

type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// told is what the engine refused, as sessions were told of it.
func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.refused, "\n")
}

func newWorld(t testing.TB, change ...func(*server.Options)) *world {
	t.Helper()
	return newWorldOn(t, vfs.Default, change...)
}

func newWorldOn(t testing.TB, disk vfs.FS, change ...func(*server.Options)) *world {
	t.Helper()
	w := &world{t: t, log: &lockedLog{}}
	w.account, _ = mail.ParseAddress("joe@example.org", mail.ASCII)
	host, err := mail.ParseDomain("mx.example.org")
	if err != nil {
		t.Fatal(err)
	}
	dir := "/mail"
	if disk == vfs.Default {
		dir = t.TempDir()
	}
	w.dir = filepath.Join(dir, w.account.String())
	logger := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.root, err = mailbox.New(mailbox.Options{
		FS: pebble.Disk(disk), Folder: func(a mail.Address) (string, bool) { return filepath.Join(dir, a.String()), true }, Hostname: host,
		Limits: mailbox.DefaultLimits(), Timely: disk == vfs.Default, Now: time.Now, Rand: rand.Reader, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.options = server.Options{
		Backend: w, Hostname: "mx.example.org", TLS: testTLS(t), Implicit: true, Limits: server.DefaultLimits(), Logger: logger, Now: time.Now, Version: "1",
	}
	w.options.Limits.AuthFailureDelay = time.Millisecond
	w.options.Limits.LingerTimeout = 50 * time.Millisecond
	for _, c := range change {
		c(&w.options)
	}
	w.listen()
	return w
}

func (w *world) listen() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	ctx, cancel := context.WithCancelCause(context.Background())
	var once sync.Once
	w.cancel = func(why error) {
		once.Do(func() {
			_ = ln.Close()
			cancel(why)
			w.serving.Wait()
			w.root.Close()
		})
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			w.serving.Go(func() { server.Serve(ctx, nc, &w.options) })
		}
	}()
	w.t.Cleanup(func() { w.cancel(nil) })
}

func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.example.org"}, DNSNames: []string{"mx.example.org", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// Connect implements server.Backend.
func (w *world) Connect(_ context.Context, c server.Conn) (server.Session, error) {
	s := &session{w: w, conn: c}
	w.mu.Lock()
	w.sessions = append(w.sessions, s)
	w.mu.Unlock()
	return s, nil
}

// session is one connection as the backend sees it.
type session struct {
	w       *world
	conn    server.Conn
	user    *mailbox.User
	without []string
	ended   string
}

func (s *session) Mechanisms(c server.Channel) []string { return []string{"PLAIN", "LOGIN"} }

func (s *session) Auth(_ context.Context, _ server.Channel, mechanism string) (server.SASL, error) {
	return &exchange{s: s, login: mechanism == "LOGIN"}, nil
}

func (s *session) Login(ctx context.Context, _ server.Channel, user, pass string) error {
	if user != s.w.account.String() || pass != password {
		return &server.Refusal{Code: "AUTHENTICATIONFAILED", Text: "no such name or password"}
	}
	var err error
	s.user, err = s.w.root.User(ctx, s.w.account)
	return err
}

func (s *session) Mailboxes() *mailbox.User { return s.user }
func (s *session) Without() []string        { return s.without }

func (s *session) Room(context.Context) (server.Room, error) {
	if s.w.room == nil {
		return server.Room{MostOctets: -1, MostMessages: -1}, nil
	}
	return s.w.room()
}

func (s *session) Refused(_ context.Context, command, text string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.refused = append(s.w.refused, command+": "+text)
}

func (s *session) Program(_ context.Context, fields map[string]string) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.program = fields
}

func (s *session) Close(_ context.Context, why string) {
	if s.user != nil {
		s.user.Close()
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.ended = why
}

// exchange is PLAIN, or LOGIN.
type exchange struct {
	s     *session
	login bool
	given []string
}

func (x *exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		return []byte{}, false, nil
	}
	if x.given = append(x.given, string(response)); x.login && len(x.given) < 2 {
		return []byte("Password:"), false, nil
	}
	if !x.login {
		x.given = strings.Split(x.given[0], "\x00")
		if len(x.given) != 3 {
			return nil, true, &server.Refusal{Text: "malformed", Bad: true}
		}
		x.given = x.given[1:]
	}
	return nil, true, x.s.Login(ctx, server.Channel{}, x.given[0], x.given[1])
}

func (x *exchange) Cancel(context.Context) {}

// client is somebody who types.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	tag  int
}

func (w *world) dial() *client {
	w.t.Helper()
	var conn net.Conn
	var err error
	if w.options.Implicit {
		conn, err = tls.Dial("tcp", w.addr, &tls.Config{InsecureSkipVerify: true})
	} else {
		conn, err = net.Dial("tcp", w.addr)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	c := &client{t: w.t, conn: conn, in: bufio.NewReader(conn)}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if greeting := c.read(); !strings.HasPrefix(greeting, "* OK ") {
		w.t.Fatalf("greeted with %q", greeting)
	}
	return c
}

// login returns a client that has signed in.
func (w *world) login() *client {
	w.t.Helper()
	c := w.dial()
	c.ok("LOGIN " + w.account.String() + " {10+}\r\n" + password)
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// read returns one response, with its literals, without the line end.
func (c *client) read() string {
	c.t.Helper()
	text, err := c.next()
	if err != nil {
		c.t.Fatalf("after %q: %v", text, err)
	}
	return text
}

func (c *client) next() (string, error) {
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		b.WriteString(strings.TrimSuffix(line, "\r\n"))
		if err != nil {
			return b.String(), err
		}
		var n int
		open := strings.LastIndexByte(line, '{')
		if open < 0 || !strings.HasSuffix(line, "}\r\n") {
			return b.String(), nil
		}
		if _, err := fmt.Sscanf(line[open:], "{%d}", &n); err != nil {
			return b.String(), nil
		}
		b.WriteString("\r\n")
		if _, err := io.CopyN(&b, c.in, int64(n)); err != nil {
			return b.String(), err
		}
	}
}

// do gives a command and returns everything up to its answer, which is the last.
func (c *client) do(command string) (lines []string) {
	c.t.Helper()
	c.tag++
	tag := fmt.Sprintf("t%d", c.tag)
	c.send(tag + " " + command + "\r\n")
	for {
		line := c.read()
		lines = append(lines, strings.Replace(line, tag+" ", "t ", 1))
		if strings.HasPrefix(line, tag+" ") {
			return lines
		}
	}
}

// ok gives a command that must be answered OK.
func (c *client) ok(command string) []string {
	c.t.Helper()
	lines := c.do(command)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "t OK") {
		c.t.Fatalf("%.60q: %s", command, last)
	}
	return lines
}

// append puts a message into a mailbox.
func (c *client) append(name, flags, message string) {
	c.t.Helper()
	message = strings.ReplaceAll(message, "\n", "\r\n")
	c.ok(fmt.Sprintf("APPEND %s (%s) {%d+}\r\n%s", name, flags, len(message), message))
}
