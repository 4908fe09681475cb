package relay

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/textproto"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sallyport/internal/relayaudit"
	"sallyport/test/load/rig"
)

// TestNmap lets the best-known scanner look at every door, before and while
// somebody is signed in.
func TestNmap(t *testing.T) {
	t.Parallel()
	nmap, err := exec.LookPath("nmap")
	if err != nil {
		t.Fatal("nmap is missing: apt-get install nmap")
	}
	scan(t, nmap)
	session := signedIn(t)
	defer session.Close()
	scan(t, nmap)
	if _, err := session.Cmd("NOOP"); err != nil {
		t.Fatal(err)
	}
	if code, text, err := session.ReadCodeLine(250); err != nil {
		t.Errorf("the session that was signed in meanwhile: %d %s: %v", code, text, err)
	}
}

func scan(t *testing.T, nmap string) {
	t.Helper()
	l := the.server.Listen
	var ports []string
	for _, addr := range []string{l.MX[0], l.Submission[0], l.Submissions[0]} {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, nmap, "-Pn", "-n", "-v", "--script", "+smtp-open-relay",
		"-p", strings.Join(ports, ","), "127.0.0.1").CombinedOutput()
	text := string(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if strings.Contains(text, "is an open relay") {
		t.Errorf("nmap calls the server an open relay:\n%s", text)
	}
	// A scan that asked nothing proves nothing.
	if n := strings.Count(text, "smtp-open-relay:"); n != len(ports) {
		t.Errorf("nmap tells of %d doors, not of %d:\n%s", n, len(ports), text)
	}
}

// signedIn opens a session of alice on the door with implicit TLS.
func signedIn(t *testing.T) *textproto.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", the.server.Listen.Submissions[0], tlsConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	tc := textproto.NewConn(c)
	account := the.server.Accounts[0]
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + account.Address + "\x00" + account.Password))
	for _, step := range []struct {
		line string
		code int
	}{{"", 220}, {"EHLO client.remote.test", 250}, {"AUTH PLAIN " + plain, 235}} {
		if step.line != "" {
			if _, err := tc.Cmd("%s", step.line); err != nil {
				t.Fatal(err)
			}
		}
		if _, text, err := tc.ReadResponse(step.code); err != nil {
			t.Fatalf("%s: %v %s", step.line, err, text)
		}
	}
	return tc
}

// TestHalfOpenHandshakes is row G15: clients that begin a TLS handshake and stop
// keep nobody out.
func TestHalfOpenHandshakes(t *testing.T) {
	const stalled = 90
	// The start of a ClientHello record that announces 512 octets and sends four.
	begun := []byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc}
	for i := range stalled {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 230, byte(i), 2)}}
		c, err := d.Dial("tcp", the.server.Listen.Submissions[0])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(begun); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	session := signedIn(t)
	defer session.Close()
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("signing in took %s beside %d stalled handshakes", took, stalled)
	}
}

// maxGrowth is how much memory may differ before and after more than a thousand
// rows: the store's buffers and the collector's breathing, about 4 MiB.
const maxGrowth = 32 << 20

// TestNothingIsLeftBehind runs the refused rows again and again: neither sockets
// nor descriptors nor memory may grow with them.
func TestNothingIsLeftBehind(t *testing.T) {
	cases, err := relayaudit.Cases()
	if err != nil {
		t.Fatal(err)
	}
	var all []job
	v4 := target(t, 0)
	for _, c := range cases {
		if c.State == relayaudit.StateMX && strings.ContainsAny(c.ID[:1], "ABCE") && !c.Alone {
			all = append(all, job{target: v4, cases: []relayaudit.Case{c}}, job{target: v4, cases: []relayaudit.Case{c}, mode: relayaudit.Mode{TLS: !c.Clear}})
		}
	}
	for i := range all {
		all[i].mode.Source = source(all[i], i)
	}
	runAll(t, all)
	emptyQueue(t)
	before := settled(t, rig.Resources{})
	const rounds = 4
	for range rounds {
		runAll(t, all)
	}
	emptyQueue(t)
	after := settled(t, before)
	t.Logf("before %+v, after %+v", before, after)
	if after.Sockets > before.Sockets {
		t.Errorf("sockets grew from %d to %d", before.Sockets, after.Sockets)
	}
	if after.Files > before.Files+16 { // the store opens and closes files of its own
		t.Errorf("descriptors grew from %d to %d", before.Files, after.Files)
	}
	if grown := after.RSS - before.RSS; grown > maxGrowth {
		t.Errorf("memory grew by %d octets over %d rows", grown, rounds*len(all))
	}
}

// settled waits until the server has closed what clients have left, and connections to
// servers behind it that it keeps for half a minute.
func settled(t *testing.T, wanted rig.Resources) rig.Resources {
	t.Helper()
	var r rig.Resources
	for i := range 400 {
		var err error
		if r, err = the.server.Resources(); err != nil {
			t.Fatal(err)
		}
		if wanted.Sockets == 0 && i == 50 || wanted.Sockets > 0 && r.Sockets <= wanted.Sockets {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return r
}
