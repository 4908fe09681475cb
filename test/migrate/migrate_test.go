package migrate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

// sites are kinds of configurations that there are: what Debian's package writes, a hoster of
// virtual mailboxes, one in front of Dovecot and Exchange where people sign in, a null
// client, a gateway and backup MX, and an old host with users and aliases.
func sites() []string { return []string{"debian", "hoster", "front", "null", "gateway", "old"} }

// What was imported takes, delivers and refuses as Postfix did.
func TestSites(t *testing.T) {
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	for _, name := range sites() {
		t.Run(name, func(t *testing.T) {
			s := open(t, name)
			conf := s.move(binary)
			at := s.serve(binary, conf)
			s.compare(at, "s", nil, s.ourPlaces)
		})
	}
}

// certificate makes the certificate of a host whose configuration names one.
func (s *site) certificate() {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(s.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.front.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(s.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(s.t, err)
	must(s.t, os.MkdirAll(filepath.Join(s.dir, "tls"), 0o755))
	for _, base := range []string{s.dir, filepath.Join(s.root, s.dir)} { // where the server finds it, and where the import does
		must(s.t, os.MkdirAll(filepath.Join(base, "tls"), 0o755))
		must(s.t, os.WriteFile(filepath.Join(base, "tls/fullchain.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
		must(s.t, os.WriteFile(filepath.Join(base, "tls/privkey.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	}
}

// move imports the site as an administrator does, checks what was made, and gives the
// commands that were printed.
func (s *site) move(binary string) (conf string) {
	s.t.Helper()
	conf = filepath.Join(s.dir, "new/sallyport.toml")
	must(s.t, os.MkdirAll(filepath.Dir(conf), 0o755))
	report, code := s.run(binary, "import", "postfix", filepath.Join(s.root, "etc/postfix"), "--out", conf)
	if want := strings.Join(s.lines("exit"), ""); strconv.Itoa(code) != want {
		s.t.Errorf("the exit code is %d, not %s", code, want)
	}
	lost, _ := s.run(binary, "import", "postfix", filepath.Join(s.root, "etc/postfix"), "--lost")
	count := 0
	for line := range strings.Lines(lost) {
		if strings.Contains(line, ": could not be carried over: ") {
			count++
		}
	}
	for _, what := range s.lines("lost") {
		if !strings.Contains(lost, ": "+what+": could not be carried over: ") {
			s.t.Errorf("nobody is told that %s was lost", what)
		}
		count--
	}
	if count != 0 || s.t.Failed() {
		s.t.Errorf("the report has %d more lines of what was lost\n%s", count, lost)
	}
	s.adapt(conf)
	if out, code := s.run(binary, "check", "-c", conf); code != 0 {
		text, _ := os.ReadFile(conf)
		s.t.Fatalf("%s\n%s", out, text)
	}
	for line := range strings.Lines(report) {
		if args := strings.Fields(line); strings.HasPrefix(line, "  sallyport ") {
			if args[1] == "account" {
				args = append(args, "--generate")
			}
			if out, code := s.run(binary, args[1:]...); code != 0 {
				s.t.Fatalf("%s: %s", line, out)
			}
		}
	}
	return conf
}

// adapt lets the configuration run beside others, without the DNS.
func (s *site) adapt(conf string) {
	s.t.Helper()
	text, err := os.ReadFile(conf)
	must(s.t, err)
	c := string(text)
	c = strings.Replace(c, "/var/lib/sallyport", filepath.Join(s.dir, "new/data"), 1)
	c = strings.Replace(c, "/run/sallyport/", filepath.Join(s.dir, "new/run")+"/", 1)
	c = regexp.MustCompile(`(?m)^mx = .*$`).ReplaceAllString(c, `mx = ["127.0.0.1:`+freePort(s.t)+`"]`)
	c = regexp.MustCompile(`(?m)^(submissions?) = .*$`).ReplaceAllStringFunc(c, func(l string) string {
		name, _, _ := strings.Cut(l, " ")
		return name + ` = ["127.0.0.1:` + freePort(s.t) + `"]`
	})
	c += "\n[authentication]\ncheck = \"off\"\n[dkim]\nsign = \"off\"\n"
	if strings.Contains(c, "smart.univ.example") {
		c = strings.Replace(c, "smtp://smart.univ.example:25", "smtp://127.0.0.1:"+s.smtp, 1)
	} else if !strings.Contains(c, `[route."*"]`) {
		c += "[route.\"*\"]\nto = \"smtp://127.0.0.1:" + s.smtp + "\"\n"
	}
	must(s.t, os.WriteFile(conf, []byte(c), 0o600))
}

func (s *site) run(binary string, args ...string) (out string, code int) {
	s.t.Helper()
	cmd := exec.Command(binary, args...)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// serve runs the server until the test ends, and returns where it listens.
func (s *site) serve(binary, conf string) (at string) {
	s.t.Helper()
	text, err := os.ReadFile(conf)
	must(s.t, err)
	found := regexp.MustCompile(`(?m)^mx = \["(.*)"\]$`).FindStringSubmatch(string(text))
	if found == nil {
		s.t.Fatalf("nobody is listened to:\n%s", text)
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	must(s.t, err)
	cmd := exec.Command(binary, "serve", "-c", conf)
	cmd.Stdout, cmd.Stderr = log, log
	must(s.t, cmd.Start())
	s.stop = sync.OnceFunc(func() {
		must(s.t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && s.t.Failed() {
			s.t.Logf("%s", text)
		}
	})
	s.t.Cleanup(s.stop)
	eventually(s.t, "the server answers", func() bool {
		nc, err := net.Dial("tcp", found[1])
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	return found[1]
}

// ourPlaces says where a message lies: in which mailboxes of ours, and with whom behind us.
func (s *site) ourPlaces(token string) []string {
	places := outside(s.sink.places(token))
	root := filepath.Join(s.dir, "new/data/mail")
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Base(filepath.Dir(path)) != "new" {
			return nil // it moves from tmp to new
		}
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), "Message-ID: <"+token+"@migrate>") {
			box := filepath.Dir(filepath.Dir(path))
			places = append(places, filepath.Base(box)+"@"+filepath.Base(filepath.Dir(box)))
		}
		return nil
	})
	return places
}
