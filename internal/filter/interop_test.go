package filter_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/filter"
	"sallyport/internal/filter/milter"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

var scope = filter.Scope{MaxSize: 1 << 20}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// judge shows an inspector a stranger's message.
func judge(t *testing.T, i intake.Inspector, text string, change ...func(*intake.Message)) intake.Finding {
	t.Helper()
	l := begin(t, i, text, change...)
	if l == nil {
		return intake.Finding{}
	}
	l.Body([]byte(text))
	return l.Judge(t.Context(), asContent(text))
}

func asContent(text string) intake.Content {
	return intake.Content{Size: int64(len(text)), Open: func() (io.Reader, error) { return strings.NewReader(text), nil }}
}

// begin announces a stranger's message to an inspector.
func begin(t *testing.T, i intake.Inspector, text string, change ...func(*intake.Message)) intake.Look {
	t.Helper()
	h, _, err := message.ReadHeader(strings.NewReader(text), message.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	to := must[mail.Address](t)(mail.ParseAddress("bob@local.test", mail.ASCII))
	m := intake.Message{
		Door: gate.DoorMX, Peer: netip.MustParseAddr("192.0.2.7"), Hello: "client.far.test", ID: must[mail.ID](t)(mail.NewID(time.Unix(1700000000, 0), rand.Reader)),
		Envelope: mail.Envelope{From: must[mail.ReversePath](t)(mail.ParseReversePath("<x@far.test>", mail.ASCII)), To: []mail.Recipient{{Address: to}}},
		Header:   h, Stored: h,
	}
	for _, c := range change {
		c(&m)
	}
	return i.Begin(m)
}

func noted(notes []fact.Pair) string { return fmt.Sprint(notes) }

// start runs a program of Debian's until the test ends, once it listens on the socket.
func start(t *testing.T, socket string, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if name = "/usr/sbin/" + name; exec.Command("test", "-x", name).Run() != nil {
			t.Skipf("%s is not installed; scripts/install-test-tools installs it", name)
		}
	}
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(300 * time.Millisecond):
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its children
		<-ended
	})
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", name, out.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %s", name, out.String())
		}
	}
}

// folder is short enough for sockets.
func folder(t *testing.T) string {
	t.Helper()
	dir := must[string](t)(os.MkdirTemp("", "sp"))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// gtube is the text that every Rspamd knows: X is to be rejected, Y to be marked.
func gtube(letter string) string {
	return "From: x@far.test\r\nTo: bob@local.test\r\nSubject: hi\r\nMessage-ID: <1@far.test>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n" +
		letter + "JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
}

// rules are an Rspamd's of an administrator: one only removes a field, one has nothing
// but a score, and one asks for something else than its score does.
const rules = `
rspamd_config.REMOVES = { score = 0.0, callback = function(task)
  if task:get_header('X-Removed') then
    task:set_milter_reply({ remove_headers = { ['X-Removed'] = 0 }, add_headers = {} })
    return true
  end
end }
rspamd_config.GREY = { score = 5.0, callback = function(task) return task:get_header('X-Grey') ~= nil end }
rspamd_config.NAMED = { score = 20.0, callback = function(task)
  return task:get_header('X-Named') ~= nil and task:get_hostname() == 'mx.far.test'
end }
rspamd_config.BAD = { score = 20.0, callback = function(task)
  local how = task:get_header('X-Bad')
  if how == 'quarantine' then task:set_milter_reply({ reject = 'quarantine' }) end
  if how == 'nothing' then task:set_milter_reply({ no_action = true }) end
  return how ~= nil
end }
`

// aRspamd is a client of an Rspamd as Debian has it, with none of its modules, over its socket.
func aRspamd(t *testing.T) *rspamd.Client {
	t.Helper()
	dir := folder(t)
	socket := filepath.Join(dir, "worker.sock")
	conf := fmt.Sprintf(`options {
  filters = ""; enable_test_patterns = true; pidfile = "%[1]s/pid"; tempdir = "%[1]s"; hs_cache_dir = "%[1]s"; url_tld = "%[1]s/tld";
  control_socket = "%[1]s/control.sock mode=0600"; stats_file = "%[1]s/stats"; dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }
}
lang_detection { languages = "/nonexistent"; }
lua = "%[1]s/rules.lua";
logging { type = "console"; level = "error"; }
actions { reject = 15; add_header = 6; greylist = 4; }
worker "normal" { bind_socket = "%[1]s/worker.sock mode=0666"; count = 1; task_timeout = 8s; }
`, dir)
	if err := os.WriteFile(dir+"/rspamd.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/tld", []byte("test\ncom\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/rules.lua", []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, socket, "rspamd", "-f", "--insecure", "-c", dir+"/rspamd.conf")
	l := rspamd.DefaultLimits()
	l.Time = time.Minute
	client := rspamd.New(rspamd.Options{Socket: socket, Limits: l})
	t.Cleanup(client.Close)
	return client
}

// An Rspamd is understood.
func TestRspamd(t *testing.T) {
	client := aRspamd(t)
	host := must[mail.Domain](t)(mail.ParseDomain("mx.local.test"))
	junk := filter.NewRspamd(client, host, scope, filter.SpamJunk, quiet())
	field := filter.NewRspamd(client, host, scope, filter.SpamField, quiet())
	named := filter.NewRspamd(client, host, scope, filter.SpamJunk, quiet())
	named.Named = func(context.Context, netip.Addr) string { return "mx.far.test" }
	own := func(m *intake.Message) {
		m.Door, m.Account = gate.DoorSubmission, m.Envelope.To[0].Address
	}
	all := scope
	all.Accounts = true
	ham := strings.Replace(gtube("X"), "STANDARD", "OTHER", 1)
	for _, tc := range []struct {
		name   string
		i      *filter.Rspamd
		text   string
		own    bool
		action intake.Action
		rule   string
		fields string
	}{
		{"ham", junk, ham, false, intake.Pass, "", "X-Spam-Status: No, score=0.00 required=15.00\r\n"},
		{"a field is only removed", junk, "X-Removed: 1\r\n" + ham, false, intake.Pass, "", "X-Spam-Status: No, score=0.00 required=15.00\r\n"},
		{"greylist without its module", junk, "X-Grey: 1\r\n" + ham, false, intake.Pass, "", "X-Spam-Status: No, score=5.00 required=15.00\r\n"},
		{"a control character in the Message-ID", junk, strings.Replace(ham, "<1@", "<1\x01 2@", 1), false, intake.Pass, "", "X-Spam-Status: No, score=0.00 required=15.00\r\n"},
		{"to be kept apart", junk, "X-Bad: quarantine\r\n" + ham, false, intake.Junk, "rspamd-spam", "X-Spam: Yes\r\nX-Spam-Status: Yes, score=20.00 required=15.00\r\n"},
		{"nothing is to be done", junk, "X-Bad: nothing\r\n" + ham, false, intake.Pass, "", "X-Spam-Status: No, score=20.00 required=15.00\r\n"},
		{"a client whose name is not known", junk, "X-Named: 1\r\n" + ham, false, intake.Pass, "", "X-Spam-Status: No, score=0.00 required=15.00\r\n"},
		{"a client that has a name", named, "X-Named: 1\r\n" + ham, false, intake.Refuse, "rspamd-reject", ""},
		{"rejected", junk, gtube("X"), false, intake.Refuse, "rspamd-reject", ""},
		{"marked", junk, gtube("Y"), false, intake.Junk, "rspamd-spam", "X-Spam: Yes\r\nX-Spam-Status: Yes, score=6.00 required=15.00\r\n"},
		{"marked only", field, gtube("Y"), false, intake.Pass, "", "X-Spam: Yes\r\nX-Spam-Status: Yes, score=6.00 required=15.00\r\n"},
		{"an account's is not asked about", junk, gtube("X"), true, intake.ActionUnknown, "", ""},
		{"an account's is refused", filter.NewRspamd(client, host, all, filter.SpamJunk, quiet()), gtube("X"), true, intake.Refuse, "rspamd-reject", ""},
		{"an account's is never marked", filter.NewRspamd(client, host, all, filter.SpamJunk, quiet()), gtube("Y"), true, intake.Pass, "", ""},
	} {
		var change []func(*intake.Message)
		if tc.own {
			change = append(change, own)
		}
		f := judge(t, tc.i, tc.text, change...)
		if f.Action != tc.action || f.Rule != tc.rule || string(f.Fields) != tc.fields {
			t.Errorf("%s: %+v, fields %q", tc.name, f, f.Fields)
		}
		if tc.action == intake.Refuse && tc.i != named && (f.Reply.String() != "550 5.7.1 Gtube pattern" || !strings.Contains(noted(f.Notes), "reject, score 15.00 of 15.00")) {
			t.Errorf("%s: %v, notes %v", tc.name, f.Reply, f.Notes)
		}
	}
}

// OpenDKIM as Debian has it signs and verifies as a milter, over the whole of the
// protocol: what one adds the other finds good, and what was changed in between not.
func TestOpenDKIM(t *testing.T) {
	dir := folder(t)
	key := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	public := must[[]byte](t)(x509.MarshalPKIXPublicKey(&key.PublicKey))
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	private := write("key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	keys := write("keys", "s._domainkey.far.test v=DKIM1; k=rsa; p="+base64.StdEncoding.EncodeToString(public)+"\n")
	me := must[*user.User](t)(user.Current()).Username
	common := "Background no\nMaximumHeaders 0\nUserID " + me + "\nRequireSafeKeys no\nCanonicalization simple/simple\nSyslog no\n"
	sign := write("sign.conf", common+"Mode s\nDomain far.test\nSelector s\nKeyFile "+private+"\nInternalHosts "+write("hosts", "0.0.0.0/0\n")+"\nSocket local:"+dir+"/sign.sock\n")
	verify := write("verify.conf", common+"Mode v\nTestPublicKeys "+keys+"\nOn-BadSignature reject\nAuthservID mx.local.test\nAlwaysAddARHeader yes\nSocket local:"+dir+"/verify.sock\n")
	start(t, dir+"/sign.sock", "opendkim", "-f", "-x", sign)
	start(t, dir+"/verify.sock", "opendkim", "-f", "-x", verify)
	host := must[mail.Domain](t)(mail.ParseDomain("mx.local.test"))
	inspector := func(name string, fields ...string) *filter.Milter {
		l := milter.DefaultLimits()
		l.Time = time.Minute
		c := milter.New(milter.Options{Network: "unix", Address: dir + "/" + name + ".sock", Limits: l})
		return filter.NewMilter(c, name, host, scope, fields, message.DefaultLimits(), quiet())
	}
	for _, body := range []string{"", "hello\r\n", strings.Repeat("0123456789 abcdefghij\r\n", 10_000)} {
		text := "From: X <x@far.test>\r\nTo: bob@local.test\r\nSubject:  two spaces\r\n folded\r\nMessage-ID: <1@far.test>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n" + body
		signed := judge(t, inspector("sign", "DKIM-Signature"), text)
		if signed.Action != intake.Pass || !bytes.HasPrefix(signed.Fields, []byte("DKIM-Signature: ")) && !bytes.Contains(signed.Fields, []byte("\r\nDKIM-Signature: ")) {
			t.Fatalf("not signed: %+v %s", signed, signed.Fields)
		}
		text = string(signed.Fields) + text
		if f := judge(t, inspector("verify", "Authentication-Results"), text); f.Action != intake.Pass || !bytes.Contains(f.Fields, []byte("dkim=pass")) {
			t.Errorf("not verified: %+v %s", f, f.Fields)
		}
		f := judge(t, inspector("verify"), text)
		if f.Action != intake.Pass || bytes.Contains(f.Fields, []byte("Authentication-Results")) || !strings.Contains(noted(f.Notes), "not among the fields that it may add") {
			t.Errorf("a field that is not listed was added: %+v %s", f, f.Fields)
		}
		// A field of more than 64 KiB must not silence it.
		long := "X-Long: x\r\n" + strings.Repeat("\tx\r\n", 30_000)
		for _, forged := range []string{strings.Replace(text, "two spaces", "one space", 1), text + "more\r\n", long + text + "more\r\n"} {
			if f := judge(t, inspector("verify"), forged); f.Action != intake.Refuse || f.Rule != "milter-reject" || f.Reply.Code != 550 || !strings.Contains(noted(f.Notes), "milter verify") {
				t.Errorf("a broken signature: %+v", f)
			}
		}
	}
	if f := judge(t, inspector("sign"), "From: x@far.test\r\n\r\nhi\r\n"); strings.Contains(string(f.Fields), "DKIM-Signature") {
		t.Errorf("a field that is not listed was added: %s", f.Fields)
	}
}

// spamd is a server of SpamAssassin's protocol that marks every message and puts a
// report in the place of its body.
func spamd(t *testing.T, socket string) {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("unix", socket))
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				all, _ := io.ReadAll(c) // spamc closes its side when it has said all
				_, text, _ := strings.Cut(string(all), "\r\n\r\n")
				head, _, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
				out := "X-Spam-Flag: YES\nX-Spam-Status: Yes, score=9.0 required=5.0\n" + head + "\n\nThis was spam.\n"
				_, _ = fmt.Fprintf(c, "SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\nSpam: True ; 9.0 / 5.0\r\n\r\n%s", len(out), out)
			}()
		}
	}()
}

// spamass-milter as Debian has it asks for the right to change bodies, and hangs up
// without: it gets it, its fields are added, and the body stays.
func TestSpamassMilter(t *testing.T) {
	dir := folder(t)
	spamd(t, dir+"/spamd.sock")
	host := must[mail.Domain](t)(mail.ParseDomain("mx.local.test"))
	for name, args := range map[string][]string{
		"marks": nil, "marks-fields": {"-m"}, "refuses": {"-r", "8"},
	} {
		start(t, dir+"/"+name, "spamass-milter", append(append([]string{"-p", dir + "/" + name}, args...), "--", "-U", dir+"/spamd.sock")...)
		l := milter.DefaultLimits()
		l.Time = time.Minute
		i := filter.NewMilter(milter.New(milter.Options{Network: "unix", Address: dir + "/" + name, Limits: l}), name, host, scope, nil, message.DefaultLimits(), quiet())
		f := judge(t, i, gtube("X"))
		if name == "refuses" {
			if f.Action != intake.Refuse || f.Rule != "milter-reject" || f.Reply.Code != 550 {
				t.Errorf("%s: %+v", name, f)
			}
			continue
		}
		if f.Action != intake.Pass || !bytes.Contains(f.Fields, []byte("X-Spam-Flag: YES\r\n")) || strings.Contains(noted(f.Notes), "another body") != (name == "marks") {
			t.Errorf("%s: %+v, fields %q", name, f, f.Fields)
		}
	}
}

// Without an answer the stated behaviour counts; what is too large is not shown.
func TestNoAnswer(t *testing.T) {
	host := must[mail.Domain](t)(mail.ParseDomain("mx.local.test"))
	accept := scope
	accept.Down = filter.DownAccept
	small := filter.Scope{MaxSize: 10}
	nowhere := t.TempDir() + "/none"
	for _, s := range []filter.Scope{scope, accept, small} {
		l := rspamd.DefaultLimits()
		for _, i := range []intake.Inspector{
			filter.NewRspamd(rspamd.New(rspamd.Options{Socket: nowhere, Limits: l}), host, s, filter.SpamJunk, quiet()),
			filter.NewMilter(milter.New(milter.Options{Network: "unix", Address: nowhere, Limits: milter.DefaultLimits()}), "f", host, s, nil, message.DefaultLimits(), quiet()),
		} {
			f := judge(t, i, gtube("X"))
			want, note := intake.Defer, "no answer: "
			if s != scope {
				want = intake.Pass
			}
			if s == small {
				note = "not asked: "
			}
			if f.Action != want || !strings.Contains(noted(f.Notes), note) || want == intake.Defer && !strings.HasSuffix(f.Rule, "-unavailable") {
				t.Errorf("%s, %+v: %+v", i.Name(), s, f)
			}
		}
	}
}
