package migrate

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/test/guide"
	"sallyport/test/load/rig"
)

// guideServer is a server with a configuration of a guide.
type guideServer struct {
	*site
	binary, conf, at string
	endDovecot       func()
}

// prepare writes a configuration that has, beside the least there is, what a guide says.
func prepare(t *testing.T, more string) *guideServer {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	dir, err := os.MkdirTemp("", "guide")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	s := &site{t: t, dir: dir, sink: &sink{got: map[string][]string{}}}
	s.smtp = port(s.sink.listen(t, "tcp", "127.0.0.1:0"))
	s.lmtp = port(s.sink.listen(t, "tcp", "127.0.0.1:0"))
	must(t, os.MkdirAll(filepath.Join(dir, "new"), 0o755))
	g := &guideServer{site: s, binary: binary, conf: filepath.Join(dir, "new/sallyport.toml")}
	g.write(more)
	return g
}

func (g *guideServer) write(more string) {
	g.t.Helper()
	listen := "[listen]\nmx = [\"127.0.0.1:" + freePort(g.t) + "\"]\n"
	more = strings.TrimPrefix(more, "[listen]\n") // the guide's own keys go into the same table
	text := fmt.Sprintf("hostname = \"mx.example.org\"\ndata = %q\n%s%s\n[authentication]\ncheck = \"off\"\n[dkim]\nsign = \"off\"\n[route.\"*\"]\nto = \"smtp://127.0.0.1:%s\"\n",
		filepath.Join(g.dir, "new/data"), listen, more, g.smtp)
	must(g.t, os.WriteFile(g.conf, []byte(text), 0o600))
}

// start checks the configuration and serves it.
func (g *guideServer) start() {
	g.t.Helper()
	g.must("check")
	g.at = g.serve(g.binary, g.conf)
}

// must gives a command of the server, which has to succeed.
func (g *guideServer) must(args ...string) string {
	g.t.Helper()
	out, code := g.run(g.binary, append(args, "-c", g.conf)...)
	if code != 0 {
		text, _ := os.ReadFile(g.conf)
		g.t.Fatalf("%v: %s\n%s", args, out, text)
	}
	return out
}

// sh runs commands of a guide, sallyport with this test's configuration.
func (g *guideServer) sh(script string) string {
	g.t.Helper()
	cmd := exec.Command("sh", "-eu", "-c", "sallyport() { "+g.binary+" \"$@\"; }\n"+script)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "SALLYPORT_CONFIG="+g.conf)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// taken reports whether an address is taken.
func (g *guideServer) taken(address, token string) bool {
	g.t.Helper()
	ok, _ := try(g.t, g.at, address, token)
	return ok
}

// The guide to Exchange: what its command prints is a list of recipients, in each form in
// which PowerShell writes it.
func TestGuideExchange(t *testing.T) {
	heavy(t)
	g := prepare(t, "")
	doc := guide.Open(t, "exchange.md")
	doc.EveryCommand(nil)
	g.write(guide.Replaced(t, doc.Block("toml", 0), "/etc/sallyport/exchange-ca.pem", g.dir+"/tls/fullchain.pem"))
	g.certificate()
	g.must("check")
	g.write(guide.Replaced(t, doc.Block("toml", 1), "10.0.0.5:25", "127.0.0.1:"+g.lmtp, "tls             = \"required\"\n", "", "ca              = \"/etc/sallyport/exchange-ca.pem\"\n", ""))
	if command := doc.Block("powershell", 0); !strings.Contains(command, "-replace '^smtp:',''") || !strings.Contains(command, "Set-Content -Encoding UTF8 recipients") {
		t.Fatalf("what the command prints is to be looked at again:\n%s", command)
	}
	// Set-Content -Encoding UTF8 of Windows PowerShell: a mark, and CRLF.
	list := filepath.Join(g.dir, "new/recipients")
	must(t, os.WriteFile(list, []byte("\xEF\xBB\xBFalice@example.org\r\nboss@example.org\r\nalice@example.net\r\n"), 0o644))
	g.start()
	for address, want := range map[string]bool{"alice@example.org": true, "Boss@Example.org": true, "nobody@example.org": false, "alice@example.net": false, "postmaster@example.org": true} {
		if got := g.taken(address, "first"); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	// > of Windows PowerShell: UTF-16, and whatever kinds of addresses there are.
	wide := []byte{0xFF, 0xFE}
	for _, c := range "SMTP:nobody@example.org\r\nSIP:alice@example.org\r\nX500:/o=First Organization/cn=Recipients/cn=alice\r\nsmtp:alice@example.net\r\n" {
		wide = append(wide, byte(c), 0)
	}
	must(t, os.WriteFile(list, wide, 0o644))
	g.sh(doc.Command("sallyport check -c FILE", "FILE", g.conf))
	g.sh(doc.Command("sallyport reload"))
	for address, want := range map[string]bool{"nobody@example.org": true, "alice@example.org": false} {
		if got := g.taken(address, "second"); got != want {
			t.Errorf("after the reload %s: %v", address, got)
		}
	}
	if out := g.sh(doc.Command("sallyport trace ADDRESS", "ADDRESS", "boss@example.org")); !strings.Contains(out, "[127.0.0.1]:"+g.lmtp+" 250 2.0.0 taken") {
		t.Errorf("the trace does not say what Exchange answered:\n%s", out)
	}
}

// The guide to applications of this host, on a tree of its own.
func TestGuideApplicationRelay(t *testing.T) {
	heavy(t)
	for _, tool := range []string{"dpkg-divert", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil || os.Getuid() != 0 {
			t.Skip("needs Debian's dpkg, and root")
		}
	}
	g := prepare(t, "")
	doc := guide.Open(t, "application-relay.md")
	doc.EveryCommand(map[string]string{"sallyport quickstart": "the newcomer of test/walk runs it, and test/script sends by its socket"})
	g.certificate()
	own, run, tree := "[domain.\"example.org\"]\ndeliver = \"maildir\"\n", filepath.Join(g.dir, "run"), filepath.Join(g.dir, "tree")
	people := freePort(t)
	g.write(fmt.Sprintf("[listen]\nsubmissions = [\"127.0.0.1:%s\"]\n[tls]\ncert = \"%[2]s/tls/fullchain.pem\"\nkey = \"%[2]s/tls/privkey.pem\"\n%[3]s", people, g.dir, own))
	g.start()
	network := strings.SplitAfter(doc.Block("", 0), "\n")
	_, password, made := strings.Cut(g.sh(network[0]), "password: ")
	if password, _, _ = strings.Cut(password, "\n"); !made {
		t.Fatal("the guide's first command prints no password")
	}
	g.sh(guide.Replaced(t, strings.TrimSpace(network[1]), "mx.example.org --port 465", "127.0.0.1 --port "+people, "you@example.net", "you@far.example") +
		" --header 'Message-ID: <network@migrate>' --auth-password " + password) // which a person is asked for
	eventually(t, "the message over the network leaves", func() bool { return len(g.sink.places("network")) == 1 })
	door := guide.Replaced(t, doc.Block("toml", 0), "/run/sallyport/sendmail.sock", run+"/sendmail.sock")
	g.stop()
	g.write(door + "\n" + own)
	g.start() // the restart that the guide asks for
	// A tree in which another mail server has the commands, as Debian's has them.
	for _, d := range []string{"usr/sbin", "usr/bin", "var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		must(t, os.MkdirAll(filepath.Join(tree, d), 0o755))
	}
	for _, f := range []string{"usr/sbin/sendmail", "usr/bin/mailq"} {
		must(t, os.WriteFile(filepath.Join(tree, f), []byte("another's\n"), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(tree, "var/lib/dpkg/status"), nil, 0o644))
	program, err := os.ReadFile(g.binary)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(tree, "usr/bin/sallyport"), program, 0o755))
	must(t, os.WriteFile(filepath.Join(tree, "message"), []byte("To: you@far.example\nMessage-ID: <cron@migrate>\nSubject: hello\n\nhello\n"), 0o644))
	script := guide.Replaced(t, doc.Block("", 1), "ln -sfn /usr/bin/sallyport /usr/sbin/sendmail", "ln -sfn "+tree+"/usr/bin/sallyport "+tree+"/usr/sbin/sendmail",
		"ln -sfn /usr/bin/sallyport /usr/bin/mailq", "ln -sfn "+tree+"/usr/bin/sallyport "+tree+"/usr/bin/mailq", "dpkg-divert ", "dpkg-divert --root "+tree+" ",
		"sudo -u www-data sendmail", "setpriv --reuid=33 --regid=33 --clear-groups "+tree+"/usr/sbin/sendmail", "you@example.net <message", "you@far.example <"+tree+"/message")
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Env = append(os.Environ(), "SALLYPORT_SENDMAIL="+run+"/sendmail.sock")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	for _, f := range []string{"usr/sbin/sendmail.distrib", "usr/bin/mailq.distrib"} {
		if text, err := os.ReadFile(filepath.Join(tree, f)); err != nil || string(text) != "another's\n" {
			t.Errorf("%s: %q, %v", f, text, err)
		}
	}
	eventually(t, "the message of www-data leaves", func() bool { return len(g.sink.places("cron")) == 1 })
	g.sh(guide.Replaced(t, doc.Block("", 2), "rm /usr/sbin/sendmail /usr/bin/mailq", "rm "+tree+"/usr/sbin/sendmail "+tree+"/usr/bin/mailq", "dpkg-divert ", "dpkg-divert --root "+tree+" "))
	for _, f := range []string{"usr/sbin/sendmail", "usr/bin/mailq"} {
		if text, err := os.ReadFile(filepath.Join(tree, f)); err != nil || string(text) != "another's\n" {
			t.Errorf("back again, %s: %q, %v", f, text, err)
		}
	}
}

// dovecot runs Debian's Dovecot with what a guide adds to its local.conf, until the test ends.
func (g *guideServer) dovecot(local string) {
	g.t.Helper()
	conf := filepath.Join(g.dir, "dovecot.conf")
	must(g.t,
		os.WriteFile(conf, []byte(fmt.Sprintf("base_dir = %[1]s/dovecot\nstate_dir = %[1]s/dovecot-state\nlog_path = %[1]s/dovecot.log\n!include /etc/dovecot/conf.d/*.conf\nlog_path = %[1]s/dovecot.log\nssl = no\n%[2]s", g.dir, local)), 0o644))
	_ = os.Remove(g.dir + "/dovecot/auth-userdb") // of the one before
	cmd := exec.Command("dovecot", "-F", "-c", conf)
	must(g.t, cmd.Start())
	end := sync.OnceFunc(func() {
		must(g.t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		if text, err := os.ReadFile(g.dir + "/dovecot.log"); err == nil && g.t.Failed() {
			g.t.Logf("%s", text)
		}
	})
	g.t.Cleanup(end)
	g.endDovecot = end
	eventually(g.t, "Dovecot is there", func() bool {
		_, err := os.Stat(g.dir + "/dovecot/auth-userdb")
		return err == nil
	})
}

// needsDovecot skips where there is none.
func needsDovecot(t *testing.T) {
	t.Helper()
	heavy(t)
	if _, err := exec.LookPath("doveadm"); err != nil || os.Getuid() != 0 {
		t.Skip("needs Debian's dovecot, and root: scripts/install-test-tools")
	}
}

// The guide to Dovecot, with Debian's own configuration: its users are those of the host, whom it
// knows by the line that the guide gives; what it answered before is forgotten by command.
func TestGuideDovecot(t *testing.T) {
	needsDovecot(t)
	g := prepare(t, "")
	doc := guide.Open(t, "dovecot.md")
	doc.EveryCommand(nil)
	socket := filepath.Join(g.dir, "dovecot-lmtp")
	g.write(guide.Replaced(t, doc.Block("toml", 0), "/run/dovecot/lmtp", socket, "alice@example.org", "nobody@example.org"))
	user := "auth_username_format = %Ln\n" // nobody is the user of the host that every Debian has, and that Dovecot takes
	local := guide.Replaced(t, doc.Block("", 0), "protocols = imap lmtp", "protocols = lmtp",
		"unix_listener lmtp {", "unix_listener "+socket+" {", "group = sallyport", "group = nogroup", user,
		user) +
		"mail_location = maildir:" + g.dir + "/mail/%n\n"
	must(t, os.MkdirAll(g.dir+"/mail", 0o777))
	must(t, os.Chmod(g.dir+"/mail", 0o777))
	g.dovecot(strings.ReplaceAll(local, user, ""))
	g.start()
	if g.taken("nobody@example.org", "early") {
		t.Error("Debian's Dovecot knows whole addresses by itself: the guide says otherwise")
	}
	g.endDovecot()
	g.dovecot(local)
	if g.taken("nobody@example.org", "still") {
		t.Error("what Dovecot answered is not remembered: the guide says otherwise")
	}
	g.must(strings.Fields(strings.TrimPrefix(strings.TrimSpace(doc.Block("", 1)), "sallyport "))...)
	for address, want := range map[string]bool{"nobody@example.org": true, "postmaster@example.org": true, "unheard-of@example.org": false} {
		if got := g.taken(address, "now-"+address[:4]); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	eventually(t, "the mail is in Dovecot's mailbox", func() bool {
		new, _ := os.ReadDir(g.dir + "/mail/nobody/new")
		return len(new) == 2
	})
	if out, err := exec.Command("doveadm", "-c", g.dir+"/dovecot.conf", "user", "nobody@example.org").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	g.commands(doc)
	// The mailbox is full by now. Dovecot says so when the message has come, or at RCPT.
	quota := "mail_plugins = quota\nplugin {\n  quota = maildir:User quota\n  quota_rule = *:messages=1\n}\n"
	for _, early := range []bool{false, true} {
		more := local + quota
		if early {
			more += doc.Block("", 2)
		}
		g.endDovecot()
		g.dovecot(more)
		g.must("callout", "forget", "--domain", "example.org")
		nc, err := net.DialTimeout("tcp", g.at, 10*time.Second)
		must(t, err)
		must(t, nc.SetDeadline(time.Now().Add(time.Minute)))
		c, err := smtp.NewClient(nc, "127.0.0.1")
		must(t, err)
		must(t, c.Hello("client.far.example"))
		must(t, c.Mail("stranger@far.example"))
		if err := c.Rcpt("nobody@example.org"); (err == nil) == early || early && !regexp.MustCompile("^550 .*5\\.2\\.2 .*Quota exceeded").MatchString(err.Error()) {
			t.Errorf("a full mailbox, Dovecot asked about it at RCPT %v: %v", early, err)
		}
		must(t, c.Close())
	}
}

// commands gives those of the guide's sentences: without the key postmaster his mail is held, and
// with it nothing is but what is.
func (g *guideServer) commands(doc *guide.Guide) {
	g.t.Helper()
	own, err := os.ReadFile(g.conf)
	must(g.t, err)
	must(g.t, os.WriteFile(g.conf, regexp.MustCompile(`(?m)^postmaster .*\n`).ReplaceAll(own, nil), 0o600))
	g.sh(doc.Command("sallyport check -c FILE", "FILE", g.conf) + " && sallyport reload")
	if !g.taken("postmaster@example.org", "held") {
		g.t.Error("postmaster is refused")
	}
	held := ""
	eventually(g.t, "mail for postmaster is held", func() bool {
		held = g.sh(doc.Command("sallyport queue ls --held"))
		return strings.Contains(held, "postmaster@example.org")
	})
	must(g.t, os.WriteFile(g.conf, own, 0o600))
	g.sh("sallyport reload")
	g.sh(doc.Command("sallyport queue rm ID", "ID", regexp.MustCompile(`(?m)^[0-9a-z]{20,}`).FindString(held)))
	if out := g.sh(doc.Command("sallyport queue ls --held")); strings.Contains(out, "postmaster@example.org") {
		g.t.Errorf("it is held still:\n%s", out)
	}
	for command, want := range map[string]string{doc.Command("sallyport trace ADDRESS", "ADDRESS", "nobody@example.org"): " Saved", doc.Command("sallyport callout ls"): "User doesn't exist"} {
		if out := g.sh(command); !strings.Contains(out, want) {
			g.t.Errorf("%s does not say what Dovecot answered:\n%s", command, out)
		}
	}
	g.sh(doc.Command("sallyport account add alice@example.org") + " --generate")
}

// The guide to Maildirs that Dovecot reads.
func TestGuideMaildir(t *testing.T) {
	needsDovecot(t)
	g := prepare(t, "")
	doc := guide.Open(t, "maildir.md")
	root := filepath.Join(g.dir, "mailboxes")
	g.write(guide.Replaced(t, doc.Block("toml", 0), "/var/mail/sallyport", root))
	g.start()
	g.must("account", "add", "alice@example.org", "--generate")
	g.must("account", "add", "o'brien@example.org", "--generate")
	for _, to := range []string{"Alice@Example.org", "alice+lists@example.org", "O'Brien@example.org"} {
		if !g.taken(to, "box") {
			t.Errorf("%s is refused", to)
		}
	}
	eventually(t, "the mail is there", func() bool {
		new, _ := os.ReadDir(root + "/example.org/alice/new")
		other, _ := os.ReadDir(root + "/example.org/o%27brien/new")
		return len(new) == 2 && len(other) == 1
	})
	// Root may be no user of Dovecot: what the test wrote becomes that of the user in the guide.
	must(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, 65534, 65534)
	}))
	place := guide.Replaced(t, doc.Block("", 3), "/etc/dovecot/users", g.dir+"/users", "uid=sallyport gid=sallyport", "uid=65534 gid=65534")
	line := guide.Replaced(t, doc.Block("", 2), "/var/mail/sallyport", root, "$6$…", "$6$none")
	must(t, os.WriteFile(g.dir+"/users", []byte(guide.Replaced(t, doc.Block("", 1), "$6$…", "$6$none")+line), 0o644))
	g.dovecot(place + guide.Replaced(t, doc.Block("", 0), "protocols = imap\n", "", "/var/mail/sallyport", root, "/etc/dovecot/users", g.dir+"/users", "uid=sallyport gid=sallyport", "uid=65534 gid=65534"))
	out, err := exec.Command("doveadm", "-c", g.dir+"/dovecot.conf", "mailbox", "status", "-u", "alice@example.org", "messages", "INBOX").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "INBOX messages=2") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.Command("doveadm", "-c", g.dir+"/dovecot.conf", "mailbox", "status", "-u", "o'brien@example.org", "messages", "INBOX").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "INBOX messages=1") {
		t.Errorf("%v: %s", err, out)
	}
	doc.Says("doveadm mailbox status -u alice@example.org messages INBOX Junk")
}

// The guide to Postfix: its commands, on a host of Debian's kind, and the log of Postfix in its
// three forms of time.
func TestGuidePostfix(t *testing.T) {
	heavy(t)
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	s := open(t, "debian")
	doc := guide.Open(t, "postfix.md")
	g := &guideServer{site: s, binary: binary, conf: filepath.Join(s.dir, "new.toml")}
	commands := strings.SplitAfter(strings.TrimSpace(guide.Replaced(t, doc.Block("", 0), "/etc/postfix", s.root+"/etc/postfix")), "\n")
	for i, command := range commands {
		if i == len(commands)-1 { // between the two, other ports and no DNS
			s.adapt(g.conf)
			g.sh(command)
			continue
		}
		if out := g.sh(strings.TrimSpace(strings.Split(command, "#")[0]) + " && exit 9 || test $? = 1\n"); !strings.Contains(out, "could not be carried over") {
			t.Errorf("%s: it does not tell what is lost:\n%s", command, out)
		}
	}
	g.sh("sallyport account add alice@deb.example --generate")
	log := filepath.Join(s.dir, "mail.log")
	var text, wanted strings.Builder
	for i, at := range []string{"2026-11-01T08:05:09.123456+01:00", "Nov  1 08:05:09", "Nov 01 08:05:09", "Nov 11 08:05:09", "2026-10-01T08:05:09.123456+01:00"} {
		lines := fmt.Sprintf("%[1]s mail postfix/submission/smtpd[9]: 4F2A1C001%[2]d: client=pc[192.0.2.7], sasl_method=PLAIN, sasl_username=alice@deb.example\n"+
			"%[1]s mail postfix/qmgr[7]: 4F2A1C001%[2]d: from=<alice@deb.example>, size=812, nrcpt=1 (queue active)\n"+
			"%[1]s mail postfix/smtp[8]: 4F2A1C001%[2]d: to=<friend%[2]d@remote.example>, relay=x, status=sent (250 ok)\n", at, i)
		text.WriteString(lines)
		if i < 3 {
			wanted.WriteString(lines)
		}
	}
	must(t, os.WriteFile(log, []byte(text.String()), 0o644))
	night := "test/walk gives it as docs/operations.md prints it"
	doc.EveryCommand(map[string]string{
		"sallyport queue hold ID": night, "sallyport queue release ID": night, "sallyport queue rm ID": night, "sallyport queue show ID --raw": night, "sallyport reload": night,
	})
	for command, want := range map[string]string{
		"sallyport queue ls": "the queue is empty", "sallyport queue ls --by destination": "the queue is empty", "sallyport queue retry --all": "0 messages due now",
		"sallyport check": "closed", "sallyport check --explain 'from=x@example.net to=ADDRESS'": "250", "sallyport alias add ADDRESS TARGET": "leads to alice@deb.example",
		"sallyport trace ADDRESS": "alice@deb.example",
	} {
		command = doc.Command(command)
		if out := g.sh(strings.NewReplacer("ADDRESS TARGET", "new@deb.example alice@deb.example", "ADDRESS", "alice@deb.example").Replace(command)); !strings.Contains(out, want) {
			t.Errorf("%s:\n%s", command, out)
		}
	}
	for command, want := range map[string]string{
		"sallyport learn log /var/log/mail.log* -c new.toml":     "5 correspondents",
		"grep -E '^(2026-11-01T|Nov ( |0)1 )' /var/log/mail.log": wanted.String(),
	} {
		if doc.Says("`" + command + "`"); strings.HasPrefix(command, "sallyport ") {
			doc.Command(command)
		}
		if out := g.sh(strings.ReplaceAll(command, "/var/log/mail.log", log)); !strings.Contains(out, want) {
			t.Errorf("%s:\n%s", command, out)
		}
	}
}
