package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": main, "sendmail": main, "mailq": main, "newaliases": main})
}

// TestScripts runs the transcripts of test/script. Beside the commands of
// testscript they know:
//
//	quickstart DIR [FLAG…]       starts a server, and sets MX, SUBMISSION, SUBMISSIONS, CA,
//	                             CONFIG, ALICE and BOB (passwords), ALICE_PLAIN and BOB_PLAIN
//	serving CONFIG [FLAG…]       starts a server on a configuration, and sets MX, SUBMISSION,
//	                             SUBMISSIONS and SALLYPORT_CONFIG
//	halt                         ends it as Ctrl-C does, and wants exit code 0
//	dialogue ADDRESS FILE        speaks SMTP: "C:" is sent, "S:" must be answered, "TLS" begins TLS;
//	                             sets QUEUED to the queue id of the last message
//	exits CODE PROGRAM [ARG…]    runs a program and wants its exit code
//	eventually PROGRAM [ARG…]    repeats it until it succeeds, for at most 20 seconds
//	until PATTERN PROGRAM [ARG…] repeats it until its output matches
//	nameserver ZONEFILE          serves the DNS of a zone file; sets DNS to its address
//	certificate CERT KEY DAYS    writes a certificate that began so many days ago, and its key
//
// and the condition [root].
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../test/script",
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"quickstart":  scriptQuickstart,
			"serving":     scriptServing,
			"halt":        scriptHalt,
			"dialogue":    scriptDialogue,
			"exits":       scriptExits,
			"eventually":  scriptEventually,
			"until":       scriptUntil,
			"nameserver":  scriptNameserver,
			"certificate": scriptCertificate,
		},
		Setup: func(e *testscript.Env) error {
			e.Values[serverKey{}] = &scriptServer{}
			e.Setenv("TZ", "UTC")
			e.Setenv("PROGRAM_PATH", e.Getenv("PATH"))
			return nil
		},
	})
}

type serverKey struct{}

// scriptServer is the server that a script started.
type scriptServer struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

func serverOf(ts *testscript.TestScript) *scriptServer {
	return ts.Value(serverKey{}).(*scriptServer)
}

func scriptQuickstart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: quickstart DIR [FLAG...]")
	}
	s := serverOf(ts)
	if !slices.Contains(args, "--hijack") {
		args = append(args, "--hijack", "off") // what scripts send, to new recipients, would wait
	}
	s.cmd = scriptCommand(ts, context.Background(), append([]string{"sallyport", "quickstart", "--json", "--listen-base", "0", "--dir"}, args...))
	s.stderr.Reset()
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	running := s.cmd.Process
	ts.Defer(func() { _ = running.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		_ = s.cmd.Wait()
		ts.Fatalf("the server printed %q, %v\n%s", line, err, s.stderr.String())
	}
	var info quickstartInfo
	ts.Check(json.Unmarshal(line, &info))
	for name, value := range map[string]string{
		"MX": info.Listen.MX[0], "SUBMISSION": info.Listen.Submission[0], "SUBMISSIONS": info.Listen.Submissions[0],
		"CA": info.CA, "CONFIG": info.Config, "SALLYPORT_CONFIG": info.Config,
	} {
		ts.Setenv(name, value)
	}
	for _, a := range info.Accounts {
		local, _, _ := strings.Cut(a.Address, "@")
		ts.Setenv(strings.ToUpper(local), a.Password)
		ts.Setenv(strings.ToUpper(local)+"_MAILDIR", a.Maildir)
		ts.Setenv(strings.ToUpper(local)+"_PLAIN", base64.StdEncoding.EncodeToString([]byte("\x00"+a.Address+"\x00"+a.Password)))
	}
}

func scriptHalt(ts *testscript.TestScript, _ bool, _ []string) {
	s := serverOf(ts)
	ts.Check(s.cmd.Process.Signal(syscall.SIGINT))
	err := s.cmd.Wait()
	fmt.Fprint(ts.Stderr(), s.stderr.String())
	if err != nil {
		ts.Fatalf("the server ended with %v\n%s", err, s.stderr.String())
	}
}

// scriptCommand prepares a program with the script's folder and environment.
func scriptCommand(ts *testscript.TestScript, ctx context.Context, args []string) *exec.Cmd {
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if candidate := filepath.Join(dir, args[0]); !strings.Contains(path, "/") {
			if _, err := os.Stat(candidate); err == nil {
				path = candidate
			}
		}
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "SALLYPORT_CONFIG"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := scriptCommand(ts, ctx, args[1:])
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	repeat(ts, args, func(_ []byte, err error) bool { return (err == nil) != neg })
}

func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	repeat(ts, args[1:], func(out []byte, _ error) bool { return pattern.Match(out) != neg })
}

func repeat(ts *testscript.TestScript, args []string, enough func(out []byte, err error) bool) {
	var out []byte
	var err error
	for range 100 {
		out, err = scriptCommand(ts, context.Background(), args).CombinedOutput()
		if enough(out, err) {
			_, _ = ts.Stdout().Write(out)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	ts.Fatalf("still %v:\n%s", err, out)
}

// scriptDialogue speaks a transcript and wants the answers that it holds.
func scriptDialogue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: dialogue ADDRESS FILE")
	}
	d := &dialogue{ts: ts}
	conn, err := net.DialTimeout("tcp", args[0], 5*time.Second)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(30 * time.Second)))
	d.use(conn)
	for i, line := range strings.Split(strings.TrimSpace(ts.ReadFile(args[1])), "\n") {
		if err := d.step(os.Expand(line, ts.Getenv)); err != nil {
			ts.Fatalf("%s:%d: %s: %v", args[1], i+1, line, err)
		}
	}
}

type dialogue struct {
	ts     *testscript.TestScript
	conn   net.Conn
	reader *bufio.Reader
}

func (d *dialogue) use(c net.Conn) { d.conn, d.reader = c, bufio.NewReader(c) }

func (d *dialogue) step(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "C:":
		_, err := io.WriteString(d.conn, rest+"\r\n")
		return err
	case "S:":
		return d.expect(rest)
	case "TLS":
		return d.startTLS()
	}
	return errors.New("a line begins with C:, S: or TLS")
}

// expect reads one reply: "CODE words" wants the code, and the words somewhere in
// the text; "closed" wants the end.
func (d *dialogue) expect(want string) error {
	if want == "closed" {
		// Closed with octets unread, a connection ends with a reset.
		if _, err := d.reader.ReadByte(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
			return fmt.Errorf("the connection is not closed: %v", err)
		}
		return nil
	}
	code, words, _ := strings.Cut(want, " ")
	n, err := strconv.Atoi(code)
	if err != nil {
		return err
	}
	got, text, err := textproto.NewReader(d.reader).ReadResponse(0)
	if err != nil {
		return err
	}
	if got != n || !strings.Contains(text, words) {
		return fmt.Errorf("the server said %d %s", got, text)
	}
	if m := regexp.MustCompile(`queued as (\w+)`).FindStringSubmatch(text); m != nil {
		d.ts.Setenv("QUEUED", m[1])
	}
	return nil
}

func (d *dialogue) startTLS() error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(d.ts.ReadFile(d.ts.Getenv("CA")))) {
		return errors.New("no authority")
	}
	c := tls.Client(d.conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err := c.Handshake(); err != nil {
		return err
	}
	d.use(c)
	return nil
}
