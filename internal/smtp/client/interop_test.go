package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"sallyport/internal/mail"
	"sallyport/test/port"
)

// inbox is a go-smtp backend that keeps what it takes.
type inbox struct {
	mu   sync.Mutex
	took []taken
}

type taken struct{ from, to, text, params, user string }

func (b *inbox) NewSession(c *smtp.Conn) (smtp.Session, error) { return &inboxSession{box: b}, nil }

type inboxSession struct {
	box  *inbox
	user string
	m    taken
}

func (s *inboxSession) Reset()        { s.m = taken{} }
func (s *inboxSession) Logout() error { return nil }

func (s *inboxSession) Mail(from string, o *smtp.MailOptions) error {
	s.m = taken{from: from, user: s.user, params: fmt.Sprintf("%s %d %v %s %s", o.Body, o.Size, o.UTF8, o.Return, o.EnvelopeID)}
	return nil
}

func (s *inboxSession) Rcpt(to string, o *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.m.to += fmt.Sprintf("%s %v %s;%s,", to, o.Notify, o.OriginalRecipientType, o.OriginalRecipient)
	return nil
}

func (s *inboxSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.m.text = string(text)
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.took = append(s.box.took, s.m)
	return nil
}

func (s *inboxSession) AuthMechanisms() []string { return []string{"PLAIN"} }

func (s *inboxSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "user" || password != "secret" {
			return errors.New("no")
		}
		s.user = user
		return nil
	}), nil
}

// goSMTP starts an independent server that offers all that it can.
func goSMTP(t *testing.T, implicit bool) (*inbox, string, TLSPolicy) {
	t.Helper()
	serverTLS, clientTLS := authority(t)
	box := &inbox{}
	s := smtp.NewServer(box)
	s.Domain, s.EnableSMTPUTF8, s.EnableDSN, s.TLSConfig = "mx.test", true, true, serverTLS
	s.ErrorLog = quiet{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	mode := mail.TLSRequired
	if implicit {
		mode = mail.TLSImplicit
		ln = tlsListener(ln, serverTLS)
	}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
	return box, ln.Addr().String(), TLSPolicy{Mode: mode, Config: clientTLS}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func TestGoSMTP(t *testing.T) {
	texts := []string{letter, "", ".\r\n", "..\r\n.x\r\n\r\n.\r\n", "no end of line", strings.Repeat("0123456789abcde\r\n", 50_000)}
	for _, implicit := range []bool{false, true} {
		box, addr, policy := goSMTP(t, implicit)
		o := options(t)
		o.TLS, o.Auth = policy, &Credentials{User: "user", Password: "secret"}
		c, err := dial(t, addr, o)
		check(t, err)
		if !c.Offers("CHUNKING") || !strings.HasPrefix(c.TLS(), "TLS 1.3 ") {
			t.Fatalf("%v, %q", c.caps, c.TLS())
		}
		env := envelope(t, "s@y.test", "bób@x.test", "nobody@x.test")
		env.SMTPUTF8, env.Body, env.Ret, env.EnvID = true, mail.Body8BitMIME, mail.RetFull, "id 1"
		env.To[0].Notify, env.To[0].ORcpt = mail.NotifyNever, mail.ORcpt{Type: "rfc822", Address: "b+c@x.test"}
		for _, text := range texts {
			out, err := c.Send(t.Context(), env, int64(len(text)), strings.NewReader(text))
			if err != nil || codes(out) != "250 550" || out[0].TLS != c.TLS() {
				t.Fatalf("%v, %v", out, err)
			}
		}
		check(t, c.Quit(t.Context()))
		for i, m := range box.took {
			want := taken{from: "s@y.test", to: "bób@x.test [NEVER] RFC822;b+c@x.test,", text: texts[i], user: "user",
				params: fmt.Sprintf("8BITMIME %d true FULL id 1", len(texts[i]))}
			if m != want {
				t.Errorf("arrived %.300q, want %.300q", fmt.Sprint(m), fmt.Sprint(want))
			}
		}
		if len(box.took) != len(texts) {
			t.Errorf("%d messages arrived", len(box.took))
		}
	}
}

func TestGoSMTPRejectsTheWrongPassword(t *testing.T) {
	_, addr, policy := goSMTP(t, false)
	o := options(t)
	o.TLS, o.Auth = policy, &Credentials{User: "user", Password: "wrong"}
	c, err := dial(t, addr, o)
	var refused *ReplyError
	if c != nil || !errors.As(err, &refused) || refused.Stage != StageAuth || ReplyFor(err).Class() != mail.ClassTransient {
		t.Errorf("%v", err)
	}
}

// Postfix's sink, which dumps what it took: pipelined, with and without CHUNKING.
func TestPostfixSink(t *testing.T) {
	sink, err := exec.LookPath("smtp-sink")
	if err != nil {
		if sink, err = exec.LookPath("/usr/sbin/smtp-sink"); err != nil {
			t.Skip("smtp-sink is not installed")
		}
	}
	dir := t.TempDir()
	check(t, os.Chmod(dir, 0o777))
	addr := port.Loopback(t)
	args := []string{"-d", "m.", "-h", "mx.test", "-R", dir}
	if os.Getuid() == 0 {
		args = append(args, "-u", "nobody")
	}
	cmd := exec.Command(sink, append(args, addr, "10")...)
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })

	c, err := New(t.Context(), dialUntil(t, addr), options(t))
	check(t, err)
	text := "Subject: sink\r\n\r\n.\r\n..two\r\n" + strings.Repeat("0123456789abcde\r\n", 5_000)
	for range 3 {
		out, err := c.Send(t.Context(), envelope(t, "s@y.test", "a@x.test", "b@x.test"), int64(len(text)), strings.NewReader(text))
		if err != nil || codes(out) != "250 250" {
			t.Fatalf("%v, %v", out, err)
		}
	}
	check(t, c.Quit(t.Context()))
	dumps, err := filepath.Glob(filepath.Join(dir, "m.*"))
	check(t, err)
	if len(dumps) != 3 {
		t.Fatalf("%d messages arrived", len(dumps))
	}
	for _, name := range dumps {
		dump, err := os.ReadFile(name)
		check(t, err)
		// The sink writes LF, and fields of its own before the message.
		if want := strings.ReplaceAll(text, "\r\n", "\n"); !strings.Contains(string(dump), want) {
			t.Errorf("the message was changed: %.400q", dump)
		}
	}
}

func dialUntil(t *testing.T, addr string) net.Conn {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			return nc
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
