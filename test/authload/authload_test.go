package authload

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/test/load"
	"sallyport/test/load/rig"
)

const (
	author = "author@signed.test"
	octets = 10240 // of a message without its signatures
)

// signer is the domain signed.test: its keys and what its DNS says.
type signer struct {
	keys    []dkim.SigningKey
	records map[string]string // name to TXT
}

func newSigner(t testing.TB) signer {
	t.Helper()
	d, err := mail.ParseDomain("signed.test")
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	s := signer{records: map[string]string{
		"signed.test.":        "v=spf1 ip4:127.0.0.0/8 -all",
		"_dmarc.signed.test.": "v=DMARC1; p=reject",
	}}
	for name, key := range map[string]crypto.Signer{"rsa": rs, "ed": ed} {
		k, err := dkim.NewSigningKey(dkim.KeyName{Selector: name, Domain: d}, key)
		must(t, err)
		text, err := dkim.Record(key.Public())
		must(t, err)
		s.keys, s.records[name+"._domainkey.signed.test."] = append(s.keys, k), text
	}
	return s
}

// message returns a message of the domain, signed with the keys of these selectors.
func (s signer) message(t testing.TB, selectors ...string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <alice@local.test>\r\nSubject: a message\r\nDate: %s\r\nMessage-ID: <1@signed.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
		author, time.Now().UTC().Format(time.RFC1123Z))
	header := b.Len()
	for i := 0; b.Len() < octets; i++ {
		fmt.Fprintf(&b, "Line %d of an ordinary message with words of ordinary length in it.\r\n", i)
	}
	text := b.String()
	h, err := message.ParseHeader([]byte(text[:header]))
	must(t, err)
	var keys []dkim.SigningKey
	for _, name := range selectors {
		for _, k := range s.keys {
			if k.Name.Selector == name {
				keys = append(keys, k)
			}
		}
	}
	signing := dkim.NewSigning(h, keys)
	signing.Body([]byte(text[header:]))
	fields, err := signing.Fields(time.Now(), 0)
	must(t, err)
	return string(fields) + text
}

// serve answers for signed.test.
func (s signer) serve(t testing.TB) (addr string) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		name := q.Question[0].Name
		text, ok := s.records[strings.ToLower(name)]
		switch {
		case ok && q.Question[0].Qtype == dns.TypeTXT:
			var parts []string
			for ; len(text) > 255; text = text[255:] {
				parts = append(parts, text[:255])
			}
			m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 3600}, Txt: append(parts, text)}}
		case !ok:
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = srv.Shutdown()
		<-done
	})
	return pc.LocalAddr().String()
}

// server is a quickstart server.
type server struct {
	rig.Info
	pid int
}

// start starts a server in dir, which it may know already. stop ends it, once.
func start(t testing.TB, binary, dir string, args ...string) (s server, stop func()) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"quickstart", "--json", "--dir", dir}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the server ended with %v:\n%s", err, log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	t.Cleanup(stop)
	must(t, json.NewDecoder(out).Decode(&s.Info))
	s.pid = cmd.Process.Pid
	return s, stop
}

// prepare makes the data of a server, which holds mail against its sender if it has a
// resolver.
func prepare(t testing.TB, binary, resolver string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "server")
	s, stop := start(t, binary, dir, "--listen-base", "0")
	stop()
	b, err := os.ReadFile(s.Config)
	must(t, err)
	_, text, _ := strings.Cut(string(b), "\n") // without the line that lets quickstart write it anew
	if resolver != "" {
		text = strings.Replace(text, `check = "off"`, `check = "on"`, 1)
		text = strings.Replace(text, "[mx]\n", fmt.Sprintf("[mx]\ndns = [%q]\n", resolver), 1)
	}
	must(t, os.WriteFile(s.Config, []byte(text), 0o600))
	return dir
}

// cpu is the processor time of the server so far.
func (s server) cpu(t testing.TB) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	must(t, err)
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(f, 10, 64)
		must(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func (s server) send(t testing.TB, text, prefix string, n int) {
	t.Helper()
	rep, err := load.Run(context.Background(), load.Options{
		Addr: func() string { return s.Listen.MX[0] }, Connections: min(n, 20), Messages: n, Text: text,
		From: author, To: []string{"alice@local.test"}, Prefix: prefix, Patience: time.Minute,
	})
	must(t, err)
	if rep.Acknowledged != n {
		t.Fatalf("%d of %d messages were acknowledged: %+v", rep.Acknowledged, n, rep)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What is measured is what it says: the mailbox shows that all three checks passed.
func TestChecksPass(t *testing.T) {
	s := newSigner(t)
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	srv, _ := start(t, binary, prepare(t, binary, s.serve(t)))
	srv.send(t, s.message(t, "rsa"), "one", 1)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(srv.Accounts[0].Maildir, "new", "*"))
		must(t, err)
		if len(files) == 1 {
			b, err := os.ReadFile(files[0])
			must(t, err)
			for _, want := range []string{"spf=pass", "dkim=pass", "dmarc=pass"} {
				if !bytes.Contains(b, []byte(want)) {
					t.Errorf("no %s in\n%s", want, b[:min(len(b), 1500)])
				}
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the message did not arrive")
		}
	}
}

// BenchmarkAccept takes mail in and keeps it, as "accepted" in test/bench.
func BenchmarkAccept(b *testing.B) { bench(b, "--paused") }

// BenchmarkDeliver takes mail in and puts it into a mailbox.
func BenchmarkDeliver(b *testing.B) { bench(b) }

func bench(b *testing.B, args ...string) {
	s := newSigner(b)
	binary, err := rig.Build(b.Context(), b.TempDir())
	must(b, err)
	resolver := s.serve(b)
	for _, c := range []struct {
		name      string
		checked   bool
		selectors []string
	}{
		{"unchecked", false, []string{"rsa"}},
		{"checked,unsigned", true, nil},
		{"checked,rsa", true, []string{"rsa"}},
		{"checked,ed25519", true, []string{"ed"}},
		{"checked,both", true, []string{"rsa", "ed"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			asks := ""
			if c.checked {
				asks = resolver
			}
			srv, stop := start(b, binary, prepare(b, binary, asks), args...)
			defer stop()
			text := s.message(b, c.selectors...)
			srv.send(b, text, "warm", 200)
			before := srv.rest(b)
			b.ResetTimer()
			srv.send(b, text, "measured", b.N)
			b.StopTimer()
			b.ReportMetric(float64((srv.rest(b)-before).Microseconds())/float64(b.N), "cpu-µs/message")
		})
	}
}

// rest waits until the server does nothing, so that work put off counts too, and
// returns its processor time.
func (s server) rest(t testing.TB) time.Duration {
	last := s.cpu(t)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		time.Sleep(300 * time.Millisecond)
		now := s.cpu(t)
		if now-last <= 10*time.Millisecond {
			return now
		}
		last = now
	}
	t.Fatal("the server does not come to rest")
	return 0
}
