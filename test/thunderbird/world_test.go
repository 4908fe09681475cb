package thunderbird

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

const (
	pictures = "SALLYPORT_THUNDERBIRD" // the folder that pictures are put into
	within   = "SALLYPORT_THUNDERBIRD_WITHIN"
	host     = "mx.birds.test"
	alice    = "alice@birds.test"
	bob      = "bob@birds.test"
	password = "heron stands in reeds"
	// The doors have ports that no program guesses.
	readingPort, sendingPort = "1993", "1465"
)

// apart runs the test that calls it once more, in namespaces of the kernel of its own: with a
// network in which all ports are free and nobody else is, with names of its own, and with processes
// that all end with it. It reports whether the caller is that second run.
func apart(t *testing.T) bool {
	t.Helper()
	dir := os.Getenv(pictures)
	if dir == "" {
		t.Skip("make thunderbird runs this")
	}
	for _, tool := range []string{"thunderbird", "Xvfb", "import", "certutil", "unshare", "openssl", "curl"} {
		if _, err := exec.LookPath(tool); err != nil || os.Geteuid() != 0 {
			t.Fatalf("it needs root and %s: %v", tool, err)
		}
	}
	if os.Getenv(within) != "" {
		return true
	}
	must(t, os.MkdirAll(dir, 0o755))
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command("timeout", "--kill-after=5", "600", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
		self, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "9m")
	cmd.Env = append(os.Environ(), within+"=yes")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("it fails: %v", err)
	}
	return false
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a server, a display and Thunderbird on it.
type world struct {
	t        *testing.T
	dir      string
	binary   string
	config   string
	shots    int
	control  *marionette
	commands string // what Thunderbird writes down of IMAP, without its secrets
}

// newWorld begins with the server and the display; Thunderbird comes with begin.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	var err error
	w.binary, err = rig.Build(t.Context(), w.dir)
	must(t, err)
	w.run("", "ip", "link", "set", "lo", "up")
	w.stand("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 "+host+" autoconfig.birds.test\n")
	w.stand("/etc/resolv.conf", "")
	must(t, os.MkdirAll("/tmp/.X11-unix", 0o1777))
	must(t, syscall.Mount("tmpfs", "/tmp/.X11-unix", "tmpfs", 0, ""))
	w.certify()
	w.run("", w.binary, "init", "--dir", w.dir+"/etc", "--hostname", host, "--domain", "birds.test", "--cert", w.dir+"/cert.pem", "--key", w.dir+"/key.pem")
	w.config = w.dir + "/etc/sallyport.toml"
	text, err := os.ReadFile(w.config)
	must(t, err)
	changed := strings.NewReplacer(":993\"", ":"+readingPort+"\"", ":465\"", ":"+sendingPort+"\"").Replace(string(text))
	must(t, os.WriteFile(w.config, []byte(changed+"[autoconfig]\nlisten = [\"0.0.0.0:443\"]\n"), 0o600))
	for _, who := range []string{alice, bob} {
		w.run(password+"\n", w.binary, "account", "add", who, "--password-stdin", "-c", w.config)
	}
	w.start("serve", w.binary, "serve", "-c", w.config)
	w.start("xvfb", "Xvfb", ":9", "-nolock", "-screen", "0", "1280x900x24")
	for _, port := range []string{readingPort, sendingPort, "443"} {
		w.eventually("port "+port, func() bool {
			c, err := net.Dial("tcp", host+":"+port)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
	return w
}

// stand puts a text of ours in the place of a file, for this namespace alone.
func (w *world) stand(path, text string) {
	w.t.Helper()
	ours := filepath.Join(w.dir, filepath.Base(path))
	must(w.t, os.WriteFile(ours, []byte(text), 0o644))
	must(w.t, syscall.Mount(ours, path, "", syscall.MS_BIND, ""))
}

// certify makes an authority and the server's certificate.
func (w *world) certify() {
	w.t.Helper()
	key := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"}
	w.run("", "openssl",
		append([]string{"req", "-x509", "-days", "90", "-subj", "/CN=Birds", "-addext", "keyUsage=keyCertSign", "-keyout", w.dir + "/ca.key", "-out", w.dir + "/ca.pem"}, key...)...)
	w.run("", "openssl", append([]string{"req", "-subj", "/CN=" + host, "-keyout", w.dir + "/key.pem", "-out", w.dir + "/request.pem"}, key...)...)
	must(w.t, os.WriteFile(w.dir+"/names", []byte("subjectAltName=DNS:"+host+",DNS:autoconfig.birds.test\n"), 0o600))
	w.run("", "openssl", "x509", "-req", "-days", "90", "-in", w.dir+"/request.pem", "-CA", w.dir+"/ca.pem",
		"-CAkey", w.dir+"/ca.key", "-CAcreateserial", "-extfile", w.dir+"/names", "-out", w.dir+"/cert.pem")
}

// begin starts Thunderbird with a new profile that trusts our authority and has seen its first pages.
func (w *world) begin() {
	w.t.Helper()
	profile := w.dir + "/profile"
	must(w.t, os.MkdirAll(profile, 0o700))
	must(w.t, os.MkdirAll(w.dir+"/home", 0o700))
	w.run("", "certutil", "-N", "-d", "sql:"+profile, "--empty-password")
	w.run("", "certutil", "-A", "-d", "sql:"+profile, "-n", "birds", "-t", "C,,", "-i", w.dir+"/ca.pem")
	settings := ""
	for name, value := range map[string]any{"datareporting.policy.dataSubmissionPolicyBypassNotification": true, "app.donation.eoy.version.viewed": 999, "mail.rights.version": 1,
		"mailnews.start_page.enabled": false, "mail.shell.checkDefaultClient": false, "app.update.enabled": false, "offline.send.unsent_messages": 2, "offline.download.download_messages": 2} {
		v, err := json.Marshal(value)
		must(w.t, err)
		settings += fmt.Sprintf("user_pref(%q, %s);\n", name, v)
	}
	must(w.t, os.WriteFile(profile+"/user.js", []byte(settings), 0o600))
	w.commands = filepath.Join(os.Getenv(pictures), "imap.moz_log")
	_ = os.Remove(w.commands)
	w.start("thunderbird", "env", "HOME="+w.dir+"/home", "DISPLAY=:9", "LIBGL_ALWAYS_SOFTWARE=1", "MOZ_LOG=timestamp,sync,IMAP:4", "MOZ_LOG_FILE="+w.commands,
		"thunderbird", "-marionette", "--remote-allow-system-access", "-no-remote", "-profile", profile)
	prelude, err := os.ReadFile("testdata/prelude.js")
	must(w.t, err)
	w.control, err = dial("127.0.0.1:2828", string(prelude), time.Now().Add(90*time.Second))
	must(w.t, err)
}

// does runs a script in Thunderbird's main window, and takes a picture whatever comes of it.
func (w *world) does(what, script string) string {
	w.t.Helper()
	got, err := w.control.script(script)
	w.picture(what)
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	return string(got)
}

// picture puts what is on the display into the folder.
func (w *world) picture(what string) {
	w.t.Helper()
	w.shots++
	name := fmt.Sprintf("%02d-%s.png", w.shots, strings.ReplaceAll(what, " ", "-"))
	w.run("", "import", "-display", ":9", "-window", "root", filepath.Join(os.Getenv(pictures), name))
}

// sent is the IMAP commands that Thunderbird has given so far, without tags and without what it hides.
func (w *world) sent() (all []string) {
	text, err := os.ReadFile(w.commands)
	must(w.t, err)
	for _, m := range regexp.MustCompile(`SendData: (?:\d+ )?([^\r\n]+)`).FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	return all
}

// refused is what the server answered with NO or BAD.
func (w *world) refused() []string {
	text, err := os.ReadFile(w.commands)
	must(w.t, err)
	return regexp.MustCompile(`CreateNewLineFromSocket: \d+ (?:NO|BAD)[^\r\n]*`).FindAllString(string(text), -1)
}

// letter is sent by bob, through a door for people.
func (w *world) letter(subject string) {
	w.t.Helper()
	text := fmt.Sprintf("From: Bob <%s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@birds.test>\r\n\r\nThe body of %s.\r\n",
		bob, alice, subject, time.Now().Format(time.RFC1123Z), strings.ReplaceAll(subject, " ", "."), subject)
	w.run(text, "curl", "-sS", "--cacert", w.dir+"/ca.pem", "--url", "smtps://"+host+":"+sendingPort, "-u", bob+":"+password, "--mail-from", bob, "--mail-rcpt", alice, "-T", "-")
}

// files are the messages of a folder of somebody's Maildir: the letters of the flags, and the text.
func (w *world) files(who, folder string) map[string]string {
	local, _, _ := strings.Cut(who, "@")
	all, err := filepath.Glob(filepath.Join(w.dir, "etc/data/mail/birds.test", local, folder, "[cn][ue][rw]", "*"))
	must(w.t, err)
	found := map[string]string{}
	for _, f := range all {
		text, err := os.ReadFile(f)
		if os.IsNotExist(err) { // renamed meanwhile
			continue
		}
		must(w.t, err)
		_, flags, _ := strings.Cut(filepath.Base(f), ":2,")
		_, subject, _ := strings.Cut(string(text), "\nSubject: ")
		subject, _, _ = strings.Cut(subject, "\n")
		found[subject] = flags
	}
	return found
}

// holds waits until a folder of a Maildir has these messages with these flags and no others.
func (w *world) holds(who, folder string, want map[string]string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s%s to hold %v", who, folder, want), func() bool { return fmt.Sprint(w.files(who, folder)) == fmt.Sprint(want) })
}

// sallyport runs one of our commands.
func (w *world) sallyport(args ...string) string {
	w.t.Helper()
	return w.run("", w.binary, append(args, "-c", w.config)...)
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			w.picture("waiting")
			w.t.Fatalf("never: %s", what)
		}
	}
}

// run runs a program for at most a minute.
func (w *world) run(stdin, name string, args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start runs a program until the test ends; what it wrote is shown when that fails.
func (w *world) start(what, name string, args ...string) {
	w.t.Helper()
	log, err := os.Create(filepath.Join(w.dir, what+".log"))
	must(w.t, err)
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what a program starts ends with it
	must(w.t, cmd.Start())
	w.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = log.Close()
		if text, _ := os.ReadFile(log.Name()); w.t.Failed() {
			w.t.Logf("%s wrote:\n%s", what, text[max(0, len(text)-3000):])
		}
	})
}
