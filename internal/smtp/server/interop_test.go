package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	netsmtp "net/smtp"
	"os/exec"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
)

const interopMessage = "From: alice@local.test\r\nSubject: dots\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n"

func TestNetSMTPClient(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmission))
	m := &memory{auth: true}
	addr, stop := serve(t, cfg, m)
	c, err := netsmtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must(t, c.Hello("client.test"))
	must(t, c.StartTLS(client))
	must(t, c.Auth(netsmtp.PlainAuth("", "alice", "secret", "127.0.0.1")))
	must(t, c.Mail("alice@local.test"))
	must(t, c.Rcpt("bob@local.test"))
	if err := c.Rcpt("victim@remote.test"); err == nil {
		t.Error("relayed")
	}
	w, err := c.Data()
	must(t, err)
	_, err = io.WriteString(w, interopMessage)
	must(t, err)
	must(t, w.Close())
	if err := c.Verify("bob@local.test"); err == nil || !strings.HasPrefix(err.Error(), "252") {
		t.Errorf("VRFY: %v", err) // RFC 5321 §3.5.3: neither yes nor no
	}
	must(t, c.Noop())
	must(t, c.Reset())
	must(t, c.Quit())
	stop()
	if m.check(t, 1); m.delivered() != "<alice@local.test> bob "+interopMessage {
		t.Errorf("%q", m.delivered())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGoSMTPClient(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	m := &memory{auth: true}
	addr, stop := serve(t, cfg, m)
	c, err := gosmtp.DialTLS(addr, client)
	must(t, err)
	defer c.Close()
	must(t, c.Hello("client.test"))
	must(t, c.Auth(sasl.NewPlainClient("", "alice", "secret")))
	for _, text := range []string{interopMessage, strings.Repeat("x", 998) + "\r\n"} {
		must(t, c.Mail("alice@local.test", &gosmtp.MailOptions{Size: int64(len(text)), Body: gosmtp.Body8BitMIME, UTF8: true, Return: gosmtp.DSNReturnHeaders, EnvelopeID: "a+b=c"}))
		must(t, c.Rcpt("bob@local.test", &gosmtp.RcptOptions{Notify: []gosmtp.DSNNotify{gosmtp.DSNNotifyFailure, gosmtp.DSNNotifyDelayed}}))
		w, err := c.Data()
		must(t, err)
		_, err = io.WriteString(w, text)
		must(t, err)
		must(t, w.Close())
	}
	must(t, c.Quit())
	stop()
	if m.check(t, 1); len(m.messages) != 2 || m.messages[0].data != interopMessage || len(m.messages[1].data) != 1000 {
		t.Errorf("%q", m.delivered())
	}
}

// smtp-source is the load generator of Postfix; a machine without it skips this.
func TestSMTPSource(t *testing.T) {
	path, err := exec.LookPath("smtp-source")
	if err != nil {
		t.Skip("smtp-source is not installed")
	}
	cfg := testConfig(KindMX)
	cfg.Limits.MessageOctets, cfg.Limits.Transactions = 1<<20, 1000
	m := &memory{}
	addr, stop := serve(t, cfg, m)
	for _, args := range [][]string{{"-s", "5", "-m", "50"}, {"-d", "-s", "5", "-m", "50", "-l", "10240"}} {
		args = append(args, "-f", "a@remote.test", "-t", "bob@local.test", addr)
		if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
	}
	stop()
	if len(m.snapshot()) != 100 {
		t.Errorf("%d messages", len(m.messages))
	}
}

// swaks, if it is installed, signs in and sends on both kinds of submission.
func TestSwaks(t *testing.T) {
	path, err := exec.LookPath("swaks")
	if err != nil {
		t.Skip("swaks is not installed")
	}
	for kind, how := range map[Kind]string{KindSubmission: "--tls", KindSubmissions: "--tls-on-connect"} {
		cfg, _ := withTLS(t, testConfig(kind))
		m := &memory{auth: true}
		addr, stop := serve(t, cfg, m)
		host, port, err := net.SplitHostPort(addr)
		must(t, err)
		cmd := exec.Command(path, "--server", host, "--port", port, how, "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "secret",
			"--from", "alice@local.test", "--to", "bob@local.test", "--ehlo", "client.test", "--body", "hello\n.\n", "--timeout", "10")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", kind, err, out)
		}
		stop()
		if got := m.snapshot(); len(got) != 1 || !strings.Contains(got[0].data, "hello\r\n.\r\n") {
			t.Errorf("%v: %q", kind, m.delivered())
		}
	}
}

// A resumed TLS session carries nobody's identity over: G14.
func TestTicketsCarryNoIdentity(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	m := &memory{auth: true}
	addr, _ := serve(t, cfg, m)
	resumed := false
	for range 3 {
		nc, err := tls.Dial("tcp", addr, client)
		must(t, err)
		d := &dialogue{t: t, raw: nc.NetConn(), nc: nc, br: bufio.NewReader(nc)}
		d.steps("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<alice@local.test>\nS: 530\nC: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 235\nC: QUIT\nS: 221")
		resumed = resumed || nc.ConnectionState().DidResume
		nc.Close()
	}
	if !resumed {
		t.Error("no session was resumed: the test shows nothing")
	}
}

// 50 messages of 10 KB on one connection, without sockets or storage.
func BenchmarkAccept(b *testing.B) {
	message := bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), 10<<10/78)
	in := append([]byte("MAIL FROM:<a@remote.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\n"), message...)
	in = append(in, ".\r\n"...)
	all := append([]byte("EHLO x\r\n"), bytes.Repeat(in, 50)...)
	all = append(all, "QUIT\r\n"...)
	cfg := testConfig(KindMX)
	cfg.Limits.MessageOctets = 1 << 20
	b.SetBytes(int64(len(all)))
	b.ReportAllocs()
	for b.Loop() {
		m := &memory{}
		if got := playTape(cfg, m, string(all), whole); len(got) != 203 {
			b.Fatal(got)
		}
	}
}
