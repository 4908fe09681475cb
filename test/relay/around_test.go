package relay

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
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
	if grown := after.RSS - before.RSS; grown > 1<<20*rounds*int64(len(all))/10 {
		t.Errorf("memory grew by %d octets over %d rows", grown, rounds*len(all))
	}
}

// settled waits until the server has closed what clients have left.
func settled(t *testing.T, wanted rig.Resources) rig.Resources {
	t.Helper()
	var r rig.Resources
	for range 50 {
		var err error
		if r, err = the.server.Resources(); err != nil {
			t.Fatal(err)
		}
		if wanted.Sockets > 0 && r.Sockets <= wanted.Sockets {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return r
}

// TestRefusalsAreInTheTrace asks the trace for strangers who were refused: each
// refusal is there, with the address escaped so that it cannot speak to the reader.
func TestRefusalsAreInTheTrace(t *testing.T) {
	v4 := target(t, 0)
	rows := []struct{ script, word string }{
		{`F:<x@{RD}> ⏎ T:<trace-relay@{RD}> | rcpt=550`, "trace-relay@remote.test"},
		{`F:<x@{RD}> ⏎ T:<trace-nobody@{LD}> | rcpt=550`, "trace-nobody@local.test"},
		{`F:<x@{RD}> ⏎ T:<trace-esc\x1b[2J@{LD}> | rcpt=5/close mayclose`, "trace-esc"},
		{`F:<bob@{LD}> ⏎ T:<victim@{RD}> | mail=5`, "bob@local.test"},
	}
	for i, row := range rows {
		cases, err := relayaudit.ParseCases(strings.NewReader(fmt.Sprintf("T%d | S25 | %s | trace", i, row.script)))
		if err != nil {
			t.Fatal(err)
		}
		peer := netip.AddrFrom4([4]byte{127, 240, 0, byte(10 + i)})
		r := relayaudit.Probe(context.Background(), v4, cases[0], relayaudit.Mode{Source: peer})
		if faults := relayaudit.Judge(r, nil); len(faults) > 0 {
			t.Fatalf("%s: %q", row.script, faults)
		}
		inTrace(t, peer, row.word)
	}
}

// inTrace waits until the trace of peer has a refusal that names word.
func inTrace(t *testing.T, peer netip.Addr, word string) {
	t.Helper()
	deadline := time.Now().Add(drainTime)
	var out string
	for time.Now().Before(deadline) {
		var err error
		out, err = the.server.CLI(context.Background(), "", "trace", peer.String(), "--json")
		if err == nil && refusalNames(t, out, word) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Errorf("the trace of %s tells of no refusal of %q:\n%s", peer, word, out)
}

func refusalNames(t *testing.T, out, word string) bool {
	t.Helper()
	for _, c := range []byte(out) {
		if c < 0x20 && c != '\n' && c != '\t' || c == 0x7f {
			t.Fatalf("the trace prints the octet %#x", c)
		}
	}
	values, err := rig.Values(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if json.Valid(v) && strings.Contains(string(v), "refuse") && strings.Contains(string(v), word) {
			return true
		}
	}
	return false
}
