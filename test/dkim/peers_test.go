package dkim

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	crand "crypto/rand"

	ours "sallyport/internal/auth/dkim"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// messages is how many random messages each way is tried with.
const messages = 1000

// world is the keys of one domain, as everybody needs them.
type world struct {
	*testing.T
	rnd     *rand.Rand
	keys    map[string]ours.SigningKey
	records map[string]string
	secrets map[string]string
	rsaPEM  []byte
}

func newWorld(t *testing.T) *world {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &world{T: t, rnd: rand.New(rand.NewPCG(seed, 1)), keys: map[string]ours.SigningKey{}, records: map[string]string{}, secrets: map[string]string{}}
	r, err := rsa.GenerateKey(crand.Reader, 1024) // its size changes nothing but the time
	w.must(err)
	_, e, err := ed25519.GenerateKey(crand.Reader)
	w.must(err)
	d, err := mail.ParseDomain("example.test")
	w.must(err)
	w.keys["r"], err = ours.NewSigningKey(ours.KeyName{Selector: "r", Domain: d}, r)
	w.must(err)
	w.keys["e"], err = ours.NewSigningKey(ours.KeyName{Selector: "e", Domain: d}, e)
	w.must(err)
	for sel, k := range w.keys {
		w.records[sel+"._domainkey.example.test"], err = ours.Record(k.Public())
		w.must(err)
	}
	w.rsaPEM = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)})
	w.secrets["r"], w.secrets["e"] = string(w.rsaPEM), base64.StdEncoding.EncodeToString(e.Seed())
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) pick(from ...string) string { return from[w.rnd.IntN(len(from))] }

// message draws a message such as mail programs write, with all that canonical forms
// treat specially.
func (w *world) message() string {
	var b strings.Builder
	b.WriteString("From: A <a@example.test>\r\nTo:  b@remote.test" + w.pick("", ",\r\n\tc@remote.test", ",\r\n   d@remote.test  ") + "\r\n")
	b.WriteString(w.pick("Subject", "subject", "SUBJECT") + w.pick(":", ": ", ":\t") + w.pick("hi", "two  words", "ein\r\n\tFalz \t", "=?utf-8?q?=C3=BC?=") + "\r\n")
	b.WriteString("Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" + fmt.Sprint(w.rnd.Uint64()) + "@example.test>\r\n")
	for range w.rnd.IntN(3) {
		b.WriteString(w.pick("MIME-Version: 1.0", "Content-Type: text/plain;\r\n charset=utf-8", "X-Other: 1", "Reply-To: a@example.test", "Cc: c@remote.test") + "\r\n")
	}
	b.WriteString("\r\n")
	for range w.rnd.IntN(8) {
		for range w.rnd.IntN(5) {
			b.WriteString(w.pick("word", " ", "  ", "\t", "=3D", "\xfc", "."))
		}
		b.WriteString("\r\n")
	}
	return b.String() + w.pick("", "end\r\n", "\r\n\r\n")
}

// mutate changes a signed message in one way: some change what was signed, others
// only what canonical forms forgive.
func (w *world) mutate(text string) string {
	at := strings.Index(text, "\r\n\r\n") + 2
	head, body := text[:at], text[at+2:]
	switch w.rnd.IntN(10) {
	case 0:
		body += "more\r\n"
	case 1:
		body += "\r\n\r\n"
	case 2:
		body = strings.Replace(body, " ", "\t ", 1)
	case 3:
		body = strings.Replace(body, "\r\n", " \r\n", 1)
	case 4:
		body = "x" + body
	case 5:
		head += "To: x@remote.test\r\n"
	case 6:
		head = strings.Replace(head, "Date: Mon", "Date: Tue", 1)
	case 7:
		head = strings.Replace(head, "Date: Mon", "Date:\r\n Mon", 1)
	case 8:
		head = "X-New: 1\r\n" + head
	case 9:
		i := strings.Index(head, "b=") + 2 + w.rnd.IntN(20)
		head = head[:i] + w.pick("A", "b", "0") + head[i+1:]
	}
	return head + "\r\n" + body
}

func (w *world) split(text string) (message.Header, []byte) {
	w.Helper()
	at := strings.Index(text, "\r\n\r\n") + 4
	h, err := message.ParseHeader([]byte(text[:at]))
	w.must(err)
	return h, []byte(text[at:])
}

func (w *world) sign(text string, selectors ...string) string {
	w.Helper()
	h, body := w.split(text)
	var keys []ours.SigningKey
	for _, s := range selectors {
		keys = append(keys, w.keys[s])
	}
	s := ours.NewSigning(h, keys)
	s.Body(body)
	f, err := s.Fields(time.Now(), 0)
	w.must(err)
	return string(f) + text
}

// verify tells for each signature whether it passes here.
func (w *world) verify(text string) []bool {
	w.Helper()
	h, body := w.split(text)
	c := ours.NewCheck(h, ours.DefaultLimits())
	c.Body(body)
	found := map[ours.KeyName]ours.Found{}
	for _, n := range c.Names() {
		if r, ok := w.records[n.String()]; ok {
			found[n] = ours.Found{Records: []string{r}}
		} else {
			found[n] = ours.Found{}
		}
	}
	var out []bool
	for _, r := range c.Results(time.Now(), found) {
		out = append(out, r.Passed())
	}
	return out
}

// peer is a running dkimpy.
type peer struct {
	w   *world
	in  *json.Encoder
	out *json.Decoder
}

func (w *world) dkimpy() *peer {
	w.Helper()
	cmd := exec.Command("/usr/bin/python3", "testdata/peer.py")
	in, err := cmd.StdinPipe()
	w.must(err)
	out, err := cmd.StdoutPipe()
	w.must(err)
	cmd.Stderr = os.Stderr
	w.must(cmd.Start())
	w.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			w.Errorf("dkimpy: %v", err)
		}
	})
	p := &peer{w, json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
	w.must(p.in.Encode(map[string]any{"secrets": w.secrets, "records": w.records}))
	return p
}

// ask gives dkimpy a task; octets travel as Latin-1.
func (p *peer) ask(answer any, task map[string]any, text string) {
	p.w.Helper()
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	task["message"] = string(runes)
	p.w.must(p.in.Encode(task))
	p.w.must(p.out.Decode(answer))
}

// dkimpy agrees about every message that we sign with both keys, and about every
// mutation of it.
func TestDkimpyVerifiesOurs(t *testing.T) {
	w := newWorld(t)
	p := w.dkimpy()
	passed := 0
	for range messages {
		signed := w.sign(w.message(), "r", "e")
		for i, text := range []string{signed, w.mutate(signed)} {
			var theirs []bool
			p.ask(&theirs, map[string]any{"do": "verify", "signatures": 2}, text)
			here := w.verify(text)
			if fmt.Sprint(theirs) != fmt.Sprint(here) || i == 0 && !(here[0] && here[1]) {
				t.Fatalf("we say %v, dkimpy %v of\n%q", here, theirs, text)
			}
			if i == 1 && here[0] {
				passed++
			}
		}
	}
	if passed < messages/20 || passed > messages*19/20 {
		t.Errorf("%d of %d mutations pass: they show nothing", passed, messages)
	}
}

// We agree with dkimpy about what it signs in every canonical form, and about every
// mutation of it.
func TestWeVerifyDkimpy(t *testing.T) {
	w := newWorld(t)
	p := w.dkimpy()
	for range messages {
		text, sel, alg := w.message(), "e", "ed25519-sha256"
		if w.rnd.IntN(4) == 0 {
			sel, alg = "r", "rsa-sha256"
		}
		canon := w.pick("simple", "relaxed") + "/" + w.pick("simple", "relaxed")
		var field string
		p.ask(&field, map[string]any{"do": "sign", "selector": sel, "algorithm": alg, "canon": canon}, text)
		for i, text := range []string{field + text, w.mutate(field + text)} {
			var theirs []bool
			p.ask(&theirs, map[string]any{"do": "verify", "signatures": 1}, text)
			here := w.verify(text)
			if fmt.Sprint(theirs) != fmt.Sprint(here) || i == 0 && !here[0] {
				t.Fatalf("%s: we say %v, dkimpy %v of\n%q", canon, here, theirs, text)
			}
		}
	}
}

// openDKIM runs the test mode of OpenDKIM over files and returns what it printed.
func (w *world) openDKIM(dir, conf string, names []string) string {
	w.Helper()
	path := filepath.Join(dir, "opendkim.conf")
	w.must(os.WriteFile(path, []byte(conf), 0o600))
	tool, err := exec.LookPath("opendkim")
	if err != nil {
		tool = "/usr/sbin/opendkim"
	}
	cmd := exec.Command(tool, "-x", path, "-vv", "-t", strings.Join(names, ","))
	cmd.Dir = dir
	// What it says of messages is on its standard output; the other tells of its steps,
	// and the two would mix within lines.
	var steps strings.Builder
	cmd.Stderr = &steps
	out, err := cmd.Output()
	if err != nil {
		w.Logf("opendkim: %v: %.500s", err, steps.String())
	}
	return string(out)
}

// OpenDKIM agrees about what we sign with either key, and about every mutation.
func TestOpenDKIMVerifiesOurs(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var names []string
	want := map[string]bool{}
	for i := range messages {
		signed := w.sign(w.message(), w.pick("r", "e"))
		for kind, text := range map[string]string{"s": signed, "m": w.mutate(signed)} {
			name := fmt.Sprintf("%s%d", kind, i)
			w.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			names, want[name] = append(names, name), w.verify(text)[0]
		}
	}
	var keys strings.Builder
	for name, r := range w.records {
		keys.WriteString(name + " " + r + "\n")
	}
	w.must(os.WriteFile(filepath.Join(dir, "keys"), []byte(keys.String()), 0o600))
	out := w.openDKIM(dir, "Mode v\nTestPublicKeys "+filepath.Join(dir, "keys")+"\n", names)
	good := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^opendkim: (\w+): verification \(.*\) succeeded`).FindAllStringSubmatch(out, -1) {
		good[m[1]] = true
	}
	for _, n := range names {
		if good[n] != want[n] {
			text, _ := os.ReadFile(filepath.Join(dir, n))
			said := regexp.MustCompile(`(?m)^opendkim: `+n+`: .*$`).FindAllString(out, -1)
			t.Fatalf("%s: we say %v, OpenDKIM %v (%q) of\n%q", n, want[n], good[n], said, text)
		}
	}
}

// We verify what OpenDKIM signs. Its test mode reads header fields as a milter gets
// them, without the white space that the simple form keeps, so it signs them relaxed;
// dkimpy tries the simple form.
func TestWeVerifyOpenDKIM(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var names, texts []string
	for i := range messages {
		texts = append(texts, w.message())
		names = append(names, fmt.Sprintf("t%d", i))
		w.must(os.WriteFile(filepath.Join(dir, names[i]), []byte(texts[i]), 0o600))
	}
	w.must(os.WriteFile(filepath.Join(dir, "key.pem"), w.rsaPEM, 0o600))
	out := w.openDKIM(dir,
		"Mode s\nRequireSafeKeys no\nDomain example.test\nSelector r\nKeyFile "+filepath.Join(dir, "key.pem")+"\nCanonicalization relaxed/"+w.pick("relaxed", "simple")+"\n",
		names)
	fields := regexp.MustCompile(`(?s)hname='DKIM-Signature' hvalue='(.*?)'`).FindAllStringSubmatch(out, -1)
	if len(fields) != messages {
		t.Fatalf("%d signatures of %d\n%.2000s", len(fields), messages, out)
	}
	for i, f := range fields {
		text := "DKIM-Signature: " + strings.ReplaceAll(f[1], "\n", "\r\n") + "\r\n" + texts[i]
		if got := w.verify(text); len(got) != 1 || !got[0] {
			t.Fatalf("%v of\n%q", got, text)
		}
	}
}
