package chain

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

const (
	password = "correct horse battery staple"
	mxDoor   = ":25"
	ourDoor  = ":465"
)

// server is sallyport on the host mx.
type server struct {
	w      *wire
	binary string
	conf   string
	p      *process
}

func (w *wire) sallyport(extra string) *server {
	w.t.Helper()
	binary, err := rig.Build(w.t.Context(), w.t.TempDir())
	must(w.t, err)
	cert, key := w.certificate("mx.ours.test")
	s := &server{w: w, binary: binary}
	s.conf = w.write("sallyport/sallyport.toml", fmt.Sprintf(`hostname = "mx.ours.test"
data = "data"
[listen]
mx = ["%[1]s:25"]
submissions = ["%[1]s:465"]
[hijack]
# Alice does here what no honest person does in a minute: she is judged, and nobody waits.
mode = "observe"
[tls]
cert = %[2]q
key = %[3]q
[domain."ours.test"]
deliver = "maildir"
[domain."dove.test"]
deliver = "lmtp://%[4]s"
[domain."nook.test"]
deliver = "lmtp://%[4]s"
cut_through = "on"
[domain."shield.test"]
deliver = "smtp://%[5]s"
[domain."cut.test"]
deliver = "smtp://%[5]s"
cut_through = "on"
[authentication]
check = "off"
[callout]
timeout = "3s"
[retry]
first = "1s"
max = "2s"
`, hosts["mx"], cert, key, hosts["dovecot"], hosts["inner"])+extra)
	s.start()
	add := exec.Command(binary, "account", "add", "alice@ours.test", "--password-stdin", "-c", s.conf)
	add.Stdin = strings.NewReader(password + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	return s
}

func (s *server) start() {
	s.w.t.Helper()
	s.p = s.w.start("mx", s.binary, "serve", "-c", s.conf)
	s.w.answers(hosts["mx"] + mxDoor)
}

// again stops the server and starts it with more in its configuration.
func (s *server) again(extra string) {
	s.w.t.Helper()
	s.p.stop()
	text, err := os.ReadFile(s.conf)
	must(s.w.t, err)
	must(s.w.t, os.WriteFile(s.conf, append(text, extra...), 0o644))
	s.start()
}

func (s *server) command(args ...string) string {
	s.w.t.Helper()
	return s.w.run(s.binary, append(args, "-c", s.conf)...)
}

// queued is a message that waits, as `queue ls --json` tells.
type queued struct {
	State      string
	Reason     string
	Sender     string
	MessageID  string `json:"message_id"`
	Recipients []struct{ Address, Mailbox, State, Last string }
}

// token is what tells the messages of this test apart.
func (q queued) token() string {
	return strings.TrimSuffix(strings.TrimPrefix(q.MessageID, "<"), "@chain>")
}

func (s *server) queue() map[string]queued {
	s.w.t.Helper()
	all := map[string]queued{}
	lines := bufio.NewScanner(strings.NewReader(s.command("queue", "ls", "--json")))
	for lines.Scan() {
		var q queued
		must(s.w.t, json.Unmarshal(lines.Bytes(), &q))
		all[q.token()] = q
	}
	return all
}

// certificate makes a key and its certificate.
func (w *wire) certificate(name string) (certFile, keyFile string) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(w.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(w.t, err)
	certFile = w.write("sallyport/cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile = w.write("sallyport/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	must(w.t, os.Chmod(keyFile, 0o600))
	return certFile, keyFile
}

// letter is one message that somebody tries to send.
type letter struct {
	token   string
	from    string // "": nobody
	to      []string
	subject string
	inside  bool // by alice, signed in
}

// answer is what became of a letter at the door.
type answer struct {
	rcpt []int
	data int // 0: it did not come to that
	text string
}

func (a answer) String() string {
	return strings.TrimSpace(strings.Trim(fmt.Sprint(a.rcpt), "[]") + " " + fmt.Sprint(a.data))
}

// send sends a letter from the client's host.
func (w *wire) send(l letter) answer {
	w.t.Helper()
	door := mxDoor
	if l.inside {
		door = ourDoor
	}
	nc, err := w.dial("client", hosts["mx"]+door)
	must(w.t, err)
	must(w.t, nc.SetDeadline(time.Now().Add(90*time.Second)))
	if l.inside {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	c, err := smtp.NewClient(nc, "mx.ours.test")
	must(w.t, err)
	defer c.Close()
	must(w.t, c.Hello("client.test"))
	if l.inside {
		must(w.t, c.Auth(smtp.PlainAuth("", "alice@ours.test", password, "mx.ours.test")))
	}
	must(w.t, c.Mail(l.from))
	var a answer
	some := false
	for _, to := range l.to {
		code := codeOf(w.t, c.Rcpt(to), 250)
		some = some || code == 250
		a.rcpt = append(a.rcpt, code)
	}
	if !some {
		return a
	}
	author := l.from
	if author == "" {
		author = "mailer-daemon@remote.test"
	}
	d, err := c.Data()
	must(w.t, err)
	_, err = fmt.Fprintf(d, "From: %s\r\nTo: somebody@chain.test\r\nDate: %s\r\nMessage-ID: <%s@chain>\r\nSubject: %s\r\n\r\nhello\r\n",
		author, time.Now().Format(time.RFC1123Z), l.token, l.subject)
	must(w.t, err)
	err = d.Close()
	a.data = codeOf(w.t, err, 250)
	if err != nil {
		a.text = err.Error()
	}
	return a
}

func codeOf(t *testing.T, err error, ok int) int {
	t.Helper()
	var refused *textproto.Error
	switch {
	case err == nil:
		return ok
	case errors.As(err, &refused):
		return refused.Code
	}
	t.Fatal(err)
	return 0
}

// mail is what lies in the mailboxes of all hosts: token to mailboxes, each as often
// as the message lies there. Notifications of ours are under "notification", with the
// token that they are about.
func (w *wire) mail() map[string][]string {
	w.t.Helper()
	found := map[string][]string{}
	roots := map[string]string{
		"dovecot": filepath.Join(w.dir, "dovecot/mail"), "inner": filepath.Join(w.dir, "inner/mail"), "remote": filepath.Join(w.dir, "remote/mail"),
		"ours": filepath.Join(w.dir, "sallyport/data/mail"),
	}
	for host, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					return nil // it moves from tmp to new
				}
				return err
			}
			folder := filepath.Dir(path)
			if !d.Type().IsRegular() || filepath.Base(folder) != "new" {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			box := host + " " + filepath.Base(filepath.Dir(folder))
			head, body, _ := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n\n")
			key := tokenIn(head)
			if strings.Contains(head, "multipart/report") {
				key = "notification " + tokenIn(body)
			}
			found[key] = append(found[key], box)
			return nil
		})
		must(w.t, err)
	}
	return found
}

func tokenIn(text string) string {
	_, rest, found := strings.Cut(text, "Message-ID: <")
	token, _, ends := strings.Cut(rest, "@chain>")
	if !found || !ends {
		return "?"
	}
	return token
}
