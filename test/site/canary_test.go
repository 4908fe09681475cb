package site

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	localdoor "sallyport/internal/local/door"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// lockedBuffer takes the log of a server.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A password that is sent at any place of a dialogue is neither in the log, at its most
// talkative, nor in the trace.
func TestNoCredentialIsKept(t *testing.T) {
	const secret = "Canary7Secret"
	enc := base64.StdEncoding.EncodeToString
	user, pass := enc([]byte("alice@local.test")), enc([]byte(secret))
	initial := enc([]byte("\x00alice@local.test\x00" + secret))
	swapped := enc([]byte("\x00" + secret + "\x00alice@local.test"))
	var log lockedBuffer
	s := New(t, nil)
	o := s.Options()
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	places := [][]string{
		{"AUTH PLAIN " + initial}, {"AUTH PLAIN", initial}, {"AUTH PLAIN " + swapped}, {"AUTH PLAIN", swapped}, {"AUTH PLAIN " + initial + "?"},
		{"AUTH LOGIN", user, pass}, {"AUTH LOGIN", pass, user}, {"AUTH LOGIN " + pass, pass}, {"AUTH LOGIN", user, secret}, {"AUTH LOGIN", secret},
		{"AUTH LOGIN", enc([]byte(secret + "@x")), pass}, {"AUTH LOGIN", enc([]byte("p@" + secret)), pass},
		{"AUTH " + secret}, {"AUTH " + secret + " " + secret}, {"AUTH SCRAM-SHA-256 " + enc([]byte("n,,n="+secret+",r=abcdefgh")), pass},
		{"AUTH XOAUTH2 " + pass}, {"AUTH EXTERNAL " + pass}, {"AUTHPLAIN " + initial}, {secret}, {pass}, {initial}, {"PASS " + secret}, {"LOGIN alice " + secret},
		{"NOOP " + secret}, {"HELP " + secret}, {"VRFY " + secret}, {"EXPN " + secret}, {"RSET " + secret}, {"QUIT " + secret}, {"DATA " + secret},
		{"STARTTLS " + secret}, {"BDAT " + secret}, {"BDAT 0 " + secret},
		{"MAIL " + secret}, {"MAIL FROM:" + secret}, {"MAIL FROM:<a@b.test> " + secret}, {"MAIL FROM:<a@b.test> AUTH=" + secret + " X=1"}, {"MAIL FROM:<a@b.test> X=" + secret},
		{"RCPT " + secret}, {"RCPT TO:" + secret}, {"RCPT TO:<a@b.test>" + secret}, {"RCPT TO:<a@b.test> " + secret},
		{secret + "\nx"}, {"AUTH PLAIN " + secret + "\nx"}, {"AUTH LOGIN", pass + "\nx"}, {secret + "\x00"},
		{secret + ": x"}, {strings.Repeat(secret, 60)}, {strings.Repeat(secret, 1200)},
	}
	talk := func(t testing.TB, door string, lines []string) {
		var c *Client
		switch door {
		case "clear":
			c = Connect(t, r.Addrs().Submission[0])
		case "tls":
			c = Connect(t, r.Addrs().Submission[0])
			c.OK("250", "EHLO client.test")
			c.StartTLS(s.ClientTLS())
		case "implicit":
			c = ConnectTLS(t, r.Addrs().Submissions[0], s.ClientTLS())
		case "mx":
			c = Connect(t, r.Addrs().MX[0])
		}
		c.OK("250", "EHLO client.test")
		for _, l := range lines {
			c.Say("%s", l)
		}
		_ = c.Conn.Close()
	}
	// At once: a failed sign-in is answered late.
	var talks sync.WaitGroup
	for _, door := range []string{"clear", "tls", "implicit", "mx"} {
		for _, lines := range places {
			talks.Go(func() { talk(t, door, lines) })
		}
	}
	talks.Wait()
	r.Stopped()
	n, err = node.Open(t.Context(), s.Config, s.Options())
	Must(t, err)
	defer func() { Must(t, n.Close()) }()
	kept := ""
	for _, text := range []string{"127.0.0.1", "alice@local.test", secret, ""} {
		a, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: text})
		if err != nil {
			continue // not every text is one to ask for
		}
		b, err := json.Marshal(a)
		Must(t, err)
		kept += string(b)
	}
	if len(kept) < 1000 {
		t.Fatalf("the trace knows nothing of all this: %s", kept)
	}
	for _, form := range []string{secret, strings.ToLower(secret), pass, strings.TrimRight(initial, "=")[8:], strings.TrimRight(swapped, "=")} {
		for name, text := range map[string]string{"log": log.String(), "trace": kept} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("the %s holds it: …%s…", name, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
}

// The same of the doors of this host: what a program says to the socket of sendmail, and
// what an operator gives and is shown.
func TestNoCredentialIsKeptAtHome(t *testing.T) {
	const secret = "Canary8Secret"
	pass := base64.StdEncoding.EncodeToString([]byte(secret))
	dir, err := os.MkdirTemp("/tmp", "canary") // a socket's path is short
	Must(t, err)
	defer func() { Must(t, os.RemoveAll(dir)) }()
	var log lockedBuffer
	s := New(t, nil)
	s.Configure(strings.Replace(Text, "[listen]", fmt.Sprintf("[listen]\nsendmail = %q", filepath.Join(dir, "s.sock")), 1) +
		fmt.Sprintf("\n[authentication]\ncheck = \"off\"\n[sendmail.users]\n%d = \"alice@local.test\"\n", os.Geteuid()))
	o := s.Options()
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	answers := ""
	for _, lines := range [][]string{
		{secret}, {localdoor.HelloSMTP + " " + secret}, {secret + strings.Repeat("x", 500)}, {localdoor.HelloQueue + " " + secret},
		{localdoor.HelloSMTP, "EHLO localhost", "AUTH PLAIN " + pass, pass, secret, "LOGIN alice " + secret, "NOOP " + secret, "HELP " + secret},
		{localdoor.HelloSMTP, "EHLO localhost", "AUTH LOGIN", pass, pass, "MAIL FROM:<alice@local.test> " + secret, "MAIL FROM:" + secret, "RCPT TO:" + secret, "BDAT " + secret},
		{localdoor.HelloSMTP, "EHLO localhost", "MAIL FROM:<alice@local.test>", "RCPT TO:<bob@local.test>", "RCPT TO:<bob@local.test> " + secret, secret, "QUIT"},
	} {
		c, err := net.Dial("unix", filepath.Join(dir, "s.sock"))
		Must(t, err)
		Must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		_, _ = io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n")
		Must(t, c.(*net.UnixConn).CloseWrite())
		said, _ := io.ReadAll(c)
		answers += string(said)
		Must(t, c.Close())
	}
	if !strings.Contains(answers, "250 2.1.5") || strings.Count(answers, "\n50") < 8 {
		t.Errorf("the door answered %s", answers)
	}
	op := n.Operator()
	shown := []any{}
	add, err := op.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: "carol@local.test", Password: secret, Role: "person"})
	Must(t, err)
	changed, err := op.AccountPassword(t.Context(), operate.Self(), operate.AccountPassword{Address: "alice@local.test", Password: secret + "x"})
	Must(t, err)
	_, failed := op.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: "carol@local.test", Password: secret, Role: "person"})
	_, nobody := op.AccountPassword(t.Context(), operate.Self(), operate.AccountPassword{Address: "nobody@local.test", Password: secret})
	if failed == nil || nobody == nil {
		t.Fatalf("%v, %v", failed, nobody)
	}
	status, err := op.Status(t.Context(), operate.Self(), struct{}{})
	Must(t, err)
	for _, text := range []string{"127.0.0.1", "alice@local.test", "carol@local.test", secret, ""} {
		if a, err := op.Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: text}); err == nil {
			shown = append(shown, a)
		}
	}
	shown = append(shown, add, changed, failed.Error(), nobody.Error(), status)
	Must(t, op.AccountList(t.Context(), operate.Self(), struct{}{}, func(a operate.Account) error { shown = append(shown, a); return nil }))
	Must(t, op.QueueList(t.Context(), operate.Self(), operate.Select{}, func(m operate.Message) error { shown = append(shown, m); return nil }))
	b, err := json.Marshal(shown)
	Must(t, err)
	r.Stopped()
	if !strings.Contains(string(b), "carol@local.test") || !strings.Contains(log.String(), "sendmail") {
		t.Fatalf("nothing is told of all this: %s, %s", b, log.String())
	}
	for _, form := range []string{secret, strings.ToLower(secret), strings.TrimRight(pass, "=")} {
		for name, text := range map[string]string{"log": log.String(), "operator's answer": string(b)} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("the %s holds it: …%s…", name, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
}
