package walk

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/kit/pki"
	"sallyport/test/guide"
)

// follower is somebody who does what a guide says, on a server that has what the guide takes for granted.
type follower struct {
	*world
	doc   *guide.Guide
	other func() // ends a server of others that runs
}

// least is a configuration before a guide is followed.
const least = `hostname = "mx.example.org"
data = "/var/lib/sallyport"
[listen]
mx = ["127.0.0.1:25"]
submission = ["127.0.0.1:587"]
[tls]
cert = "cert.pem"
key = "key.pem"
[domain."example.org"]
deliver = "maildir"
[route."*"]
to = "smtp://127.0.0.1:2600"
[limits]
greet_delay = "0s"
min_free = "16MiB"
[hijack]
mode = "off"
[authentication]
check = "off"
[auth]
argon_memory = "8MiB"
argon_rounds = 1
scram_rounds = 4096
`

// follow opens a guide in a world of its own, with some people who have one password.
func follow(t *testing.T, doc *guide.Guide, zone, configuration string, people ...string) *follower {
	t.Helper()
	f := &follower{world: newWorld(t, 256, zone), doc: doc}
	f.trusted("mx.example.org")
	f.write("/etc/sallyport/sallyport.toml", configuration)
	for _, who := range people {
		f.must("echo " + password + " | sallyport account add " + who + " --password-stdin")
	}
	return f
}

// gives runs a command line of the guide and wants its exit code, and some patterns in what it prints.
func (f *follower) gives(code int, line string, want ...string) string {
	f.t.Helper()
	out, got := f.sh(line)
	if got != code {
		f.t.Errorf("%s: exit code %d, want %d\n%s", line, got, code, out)
	}
	f.wants(line, out, want...)
	return out
}

func (f *follower) wants(what, text string, patterns ...string) {
	f.t.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(text) {
			f.t.Errorf("%s: no %q in\n%s", what, pattern, text)
		}
	}
}

// typed gives a command to a terminal on which it asks for a password, twice.
func (f *follower) typed(line, secret string) string {
	f.t.Helper()
	return f.must("for ask in 1 2; do sleep .5; echo '" + secret + "'; done | script -qec '" + strings.TrimSpace(line) + "' /dev/null")
}

// edit puts a block of the guide into the configuration.
func (f *follower) edit(more string) {
	f.t.Helper()
	f.write("/etc/sallyport/sallyport.toml", f.read("/etc/sallyport/sallyport.toml")+more)
}

// certificate puts one into place that began at a time, and lasts 396 days.
func (w *world) certificate(from time.Time) {
	w.t.Helper()
	w.certified(from, "mx.example.org")
}

// trusted puts a certificate for names into place, of an authority that programs of this world know.
func (w *world) trusted(hosts ...string) {
	w.t.Helper()
	w.write("/etc/ssl/certs/ca-certificates.crt", w.certified(time.Now(), hosts...))
}

// certified makes the files cert.pem and key.pem of the server, and returns their authority.
func (w *world) certified(from time.Time, hosts ...string) (authority string) {
	w.t.Helper()
	names := pki.Names{Hosts: hosts}
	ca, err := pki.NewAuthority("walk", names, from)
	must(w.t, err)
	cert, key, err := ca.Issue(names, from)
	must(w.t, err)
	w.write("/etc/sallyport/cert.pem", string(cert))
	w.write("/etc/sallyport/key.pem", string(key))
	must(w.t, os.Chmod(w.path("/etc/sallyport/key.pem"), 0o600))
	return string(ca.CertPEM())
}

// received returns the text of a message that came to somebody of ours, by its subject.
func (w *world) received(who, subject string) (text string) {
	w.t.Helper()
	local, domain, _ := strings.Cut(who, "@")
	eventually(w.t, who+" has "+subject, func() bool {
		files, _ := filepath.Glob(w.path("/var/lib/sallyport/mail/" + domain + "/" + local + "/new/*"))
		for _, file := range files {
			if all, err := os.ReadFile(file); err == nil && strings.Contains(string(all), "\nSubject: "+subject+"\n") {
				text = string(all)
				return true
			}
		}
		return false
	})
	return text
}
