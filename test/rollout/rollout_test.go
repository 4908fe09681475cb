package rollout

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sallyport/test/guide"
	"sallyport/test/load/rig"
)

// people says how many there are beside those of the guide; make rollout has a hundred.
func people(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SALLYPORT_PEOPLE")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// office is a server, and a folder where its administrator works.
type office struct {
	*rig.Server
	t   *testing.T
	dir string
}

func open(t *testing.T) *office {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	// Everybody signs in from one network.
	const costs = "\n[auth]\nnetwork_guesses = 1000\nguesses = 100\nargon_memory = \"8MiB\"\nargon_rounds = 1\nscram_rounds = 4096\n"
	s, err := rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: filepath.Join(t.TempDir(), "server"), Remote: "127.0.0.1:9", Extra: costs})
	must(t, err)
	must(t, s.Start(t.Context()))
	t.Cleanup(func() { must(t, s.Stop()) })
	o := &office{Server: s, t: t, dir: t.TempDir()}
	// The command as the documents name it, which notes how it was called.
	wrapper := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$*\" >>%s/called\nexec %s \"$@\"\n", o.dir, binary)
	must(t, os.Mkdir(filepath.Join(o.dir, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(o.dir, "bin/sallyport"), []byte(wrapper), 0o755))
	return o
}

// sh runs what a document prints in the administrator's folder.
func (o *office) sh(script string) string {
	o.t.Helper()
	cmd := exec.Command("sh", "-eu", "-c", script)
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), "SALLYPORT_CONFIG="+o.Config, "PATH="+o.dir+"/bin:"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

func (o *office) write(name, text string) {
	o.t.Helper()
	must(o.t, os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600))
}

func (o *office) read(name string) string {
	o.t.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, name))
	must(o.t, err)
	return string(text)
}

// private demands that nobody else can read a file.
func (o *office) private(name string) {
	o.t.Helper()
	info, err := os.Stat(filepath.Join(o.dir, name))
	must(o.t, err)
	want := os.FileMode(0o600)
	if info.IsDir() {
		want = 0o700
	}
	if info.Mode().Perm() != want {
		o.t.Errorf("%s has mode %o", name, info.Mode().Perm())
	}
}

// signsIn says why somebody does not get in with a password.
func (o *office) signsIn(address, password string, certificates ...tls.Certificate) error {
	o.t.Helper()
	conn, err := tls.Dial("tcp", o.Listen.Submissions[0], &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
	must(o.t, err)
	c, err := smtp.NewClient(conn, "127.0.0.1")
	must(o.t, err)
	defer c.Close()
	if len(certificates) > 0 {
		return c.Auth(external{})
	}
	return c.Auth(smtp.PlainAuth("", address, password, "127.0.0.1"))
}

// external is SASL EXTERNAL. RFC 4422 appendix A
type external struct{}

func (external) Start(*smtp.ServerInfo) (string, []byte, error) { return "EXTERNAL", []byte{}, nil }
func (external) Next([]byte, bool) ([]byte, error)              { return nil, nil }

// The guide to passwords for each device, with many more people than its example has.
func TestPasswordsForEverybody(t *testing.T) {
	o := open(t)
	doc := guide.Open(t, "app-passwords.md")
	block := func(name string) string { return doc.Block(name, 0) }
	var list strings.Builder
	list.WriteString(strings.ReplaceAll(block("people"), "@example.org", "@local.test"))
	for i := range people(t) {
		fmt.Fprintf(&list, "person%d@local.test phone\nperson%d@local.test laptop\n", i, i)
	}
	list.WriteString("nobody@elsewhere.test phone\n")
	everybody := list.String()
	o.write("people",
		strings.ReplaceAll(strings.ReplaceAll(everybody, "nobody@elsewhere.test phone\n", ""), "alice@local.test phone\nalice@local.test laptop\nbob@local.test phone\n", ""))
	if out := o.sh(block("accounts")); out != "" {
		t.Errorf("passwords of accounts are shown: %s", out)
	}
	o.write("people", everybody)
	o.sh(block("make"))
	if got := o.read("handout/failed"); got != "nobody@elsewhere.test phone\n" {
		t.Errorf("failed: %q", got)
	}
	o.private("handout")
	passwords := o.handedOut()
	if want := strings.Count(everybody, "\n") - 1; len(passwords) != want {
		t.Fatalf("%d passwords instead of %d", len(passwords), want)
	}
	for device, password := range passwords {
		address, _, _ := strings.Cut(device, " ")
		if err := o.signsIn(address, password); err != nil {
			t.Errorf("%s: %v", device, err)
		}
		if strings.Contains(o.read("called"), password) {
			t.Errorf("the password for %s was on a command line", device)
		}
	}
	if err := o.signsIn("alice@local.test", passwords["bob@local.test phone"]); err == nil {
		t.Error("a password of somebody else opens an account")
	}
	// A second run makes nothing twice, and says of everything that it was there.
	must(t, os.Remove(filepath.Join(o.dir, "handout/failed")))
	o.sh(block("make"))
	if again := o.handedOut(); len(again) != len(passwords) || o.read("handout/failed") != everybody {
		t.Errorf("a second run changes something: %d passwords, failed:\n%s", len(again), o.read("handout/failed"))
	}
	o.changesOver(doc, passwords)
}

// changesOver watches who still uses a password of his own, closes it, and loses a device.
func (o *office) changesOver(doc *guide.Guide, passwords map[string]string) {
	t := o.t
	t.Helper()
	doc.EveryCommand(nil)
	block := func(name string) string { return doc.Block(name, 0) }
	o.write("people", "alice@local.test phone\nbob@local.test phone\n")
	watched := o.sh(block("watch"))
	for _, line := range []string{`(?m)^alice@local\.test$`, `(?m)^pw\d+ +password +- .* - +- +-$`, `(?m)^app\d+ +app password +phone .*20\d\d-.*20\d\d-.* UTC`} {
		if !regexp.MustCompile(line).MatchString(watched) {
			t.Errorf("it does not show %s:\n%s", line, watched)
		}
	}
	own := ""
	for _, a := range o.Accounts {
		if a.Address == "alice@local.test" {
			own = a.Password
		}
	}
	if err := o.signsIn("alice@local.test", own); err != nil {
		t.Errorf("the account's own password, before: %v", err)
	}
	o.sh(block("close"))
	if err := o.signsIn("alice@local.test", own); err == nil {
		t.Error("the account's own password opens it when it is closed")
	}
	if err := o.signsIn("alice@local.test", passwords["alice@local.test laptop"]); err != nil {
		t.Errorf("an app password, when the own is closed: %v", err)
	}
	why := "the account does not sign in with its password"
	if out := o.sh("sallyport trace alice@local.test --kind sign-in"); !strings.Contains(out, why) || !strings.Contains(guide.Text(t, "guides/app-passwords.md"), "`"+why+"`") {
		t.Errorf("the trace does not say why:\n%s", out)
	}
	o.sh(doc.Command("sallyport account sign-in ADDRESS any", "ADDRESS", "alice@local.test"))
	if err := o.signsIn("alice@local.test", own); err != nil {
		t.Errorf("the account's own password, opened again: %v", err)
	}
	o.sh(strings.ReplaceAll(block("lost"), "@example.org", "@local.test"))
	if err := o.signsIn("bob@local.test", passwords["bob@local.test phone"]); err == nil {
		t.Error("the password of a lost device opens the account")
	}
}

// handedOut reads the files of everybody: the password of each device.
func (o *office) handedOut() map[string]string {
	o.t.Helper()
	files, err := filepath.Glob(filepath.Join(o.dir, "handout/*@*.txt"))
	must(o.t, err)
	found := map[string]string{}
	for _, f := range files {
		name, err := filepath.Rel(o.dir, f)
		must(o.t, err)
		o.private(name)
		text := o.read(name)
		made := regexp.MustCompile(`(?m)^app\d+ for (\S+) of (\S+), .*\npassword: (\S+)\nuser: (\S+)\nserver: `).FindAllStringSubmatch(text, -1)
		for _, m := range made {
			if m[2] != m[4] || filepath.Base(f) != m[2]+".txt" {
				o.t.Errorf("%s has what is another's:\n%s", name, text)
			}
			found[m[2]+" "+m[1]] = m[3]
		}
	}
	return found
}

// The same for certificates: the loop of docs/certificates.md.
func TestCertificatesForEverybody(t *testing.T) {
	o := open(t)
	o.write("people", "alice@local.test phone\nalice@local.test laptop\nbob@local.test phone\n")
	o.sh(guide.Block(t, "certificates.md", "", 2))
	o.private("handout")
	o.private("handout/passphrases")
	made := map[string]string{}
	for line := range strings.Lines(o.read("handout/passphrases")) {
		var v struct {
			Account, Name, Passphrase string
			Files                     []string
		}
		must(t, json.Unmarshal([]byte(line), &v))
		made[v.Account+"-"+v.Name] = v.Passphrase
	}
	if len(made) != 3 {
		t.Fatalf("%d certificates", len(made))
	}
	for device, passphrase := range made {
		o.private("handout/" + device + ".p12")
		if strings.Contains(o.read("called"), passphrase) {
			t.Errorf("the passphrase of %s was on a command line", device)
		}
		o.write("passphrase", passphrase)
		o.sh("openssl pkcs12 -in handout/" + device + ".p12 -passin file:passphrase -nodes -out both.pem 2>/dev/null")
		pair, err := tls.LoadX509KeyPair(filepath.Join(o.dir, "both.pem"), filepath.Join(o.dir, "both.pem"))
		must(t, err)
		if err := o.signsIn("", "", pair); err != nil {
			t.Errorf("%s: %v", device, err)
		}
		if device == "bob@local.test-phone" {
			o.sh("sallyport cert revoke bob@local.test phone")
			if err := o.signsIn("", "", pair); err == nil {
				t.Error("a revoked certificate signs in")
			}
		}
	}
}
