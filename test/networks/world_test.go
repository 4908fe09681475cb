package networks

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// world is four namespaces: the Internet and a network of printers, each behind one gateway,
// and the host of the servers behind it.
//
//	the Internet   203.0.113.5, 198.51.100.5, 192.0.2.5    \
//	                                                          gateway 10.30.0.1 -- host 10.30.0.2
//	printers       10.20.0.7, 10.20.0.8                     /
type world struct {
	t    *testing.T
	name string
}

const host = "10.30.0.2"

func newWorld(t *testing.T, more ...string) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it needs root, for namespaces")
	}
	for _, tool := range append([]string{"ip", "nft"}, more...) {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("it needs %s: %v", tool, err)
		}
	}
	w := &world{t: t, name: "sp" + strconv.Itoa(os.Getpid()) + "-"}
	for _, ns := range []string{"net", "gw", "dev", "srv"} {
		w.run("ip", "netns", "add", w.name+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", w.name+ns).Run() })
		w.in(ns, "ip", "link", "set", "lo", "up")
	}
	w.link("net", []string{"203.0.113.5/24", "198.51.100.5/32", "192.0.2.5/32"}, "203.0.113.1/24")
	w.link("dev", []string{"10.20.0.7/24", "10.20.0.8/24"}, "10.20.0.1/24")
	w.link("srv", []string{host + "/24"}, "10.30.0.1/24")
	for _, a := range []string{"198.51.100.5/32", "192.0.2.5/32"} {
		w.in("gw", "ip", "route", "add", a, "via", "203.0.113.5")
	}
	w.in("gw", "sysctl", "-qw", "net.ipv4.ip_forward=1")
	return w
}

// link joins a namespace to the gateway, and routes everything over it.
func (w *world) link(ns string, own []string, gateway string) {
	w.t.Helper()
	w.run("ip", "link", "add", ns+"0", "netns", w.name+ns, "type", "veth", "peer", "name", ns+"0", "netns", w.name+"gw")
	for _, a := range own {
		w.in(ns, "ip", "address", "add", a, "dev", ns+"0")
	}
	w.in("gw", "ip", "address", "add", gateway, "dev", ns+"0")
	w.in("gw", "ip", "link", "set", ns+"0", "up")
	w.in(ns, "ip", "link", "set", ns+"0", "up")
	at, _, _ := strings.Cut(gateway, "/")
	w.in(ns, "ip", "route", "add", "default", "via", at)
}

// translate makes the Internet look like one address to the host, by a rule of nft; "" makes
// nothing of it.
func (w *world) translate(rule string) {
	w.t.Helper()
	_ = exec.Command("ip", "netns", "exec", w.name+"gw", "nft", "flush", "ruleset").Run()
	if rule != "" {
		w.in("gw", "nft", "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; add rule ip nat post oifname srv0 ip saddr != 10.20.0.0/24 "+rule)
	}
}

func (w *world) run(args ...string) string {
	w.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (w *world) in(ns string, args ...string) string {
	w.t.Helper()
	return w.run(append([]string{"ip", "netns", "exec", w.name + ns}, args...)...)
}

// session is one connection of a client, and what it was answered.
type session struct {
	From   string // address of the client
	To     string // of the server
	Hello  string
	Sender string
	Rcpt   string
	TLS    bool
	Body   string // "": only the envelope is tried

	Codes []int // of MAIL, RCPT, and the end of data, as far as it came
}

// reached reports whether the recipient was taken.
func (s session) reached() bool { return len(s.Codes) > 1 && s.Codes[1] == 250 }

// client has sessions in a namespace, one after the other.
func (w *world) client(ns string, all ...session) []session {
	w.t.Helper()
	given, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	c := exec.Command("ip", "netns", "exec", w.name+ns, os.Args[0], "-test.run", "^TestClient$")
	c.Env = append(os.Environ(), "SALLYPORT_CLIENT="+string(given))
	out, err := c.Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil || json.Unmarshal([]byte(line), &all) != nil {
		w.t.Fatalf("the client in %s: %v\n%s", ns, err, out)
	}
	return all
}

// TestClient is the client's side of every session, in a process of its own.
func TestClient(t *testing.T) {
	given := os.Getenv("SALLYPORT_CLIENT")
	if given == "" {
		t.Skip("it is the client of the other tests")
	}
	var all []session
	if err := json.Unmarshal([]byte(given), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if err := all[i].talk(); err != nil {
			t.Fatal(err)
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(all)
}

func (s *session) talk() error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(s.From)}, Timeout: 10 * time.Second}
	nc, err := d.Dial("tcp", s.To)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	r := textproto.NewReader(bufio.NewReader(nc))
	say := func(format string, args ...any) (int, error) {
		if _, err := fmt.Fprintf(nc, format+"\r\n", args...); err != nil {
			return 0, err
		}
		code, _, err := r.ReadResponse(0)
		return code, err
	}
	if _, _, err := r.ReadResponse(220); err != nil {
		return err
	}
	if code, err := say("EHLO %s", s.Hello); err != nil || code != 250 {
		return fmt.Errorf("EHLO: %d, %w", code, err)
	}
	if s.TLS {
		if code, err := say("STARTTLS"); err != nil || code != 220 {
			return fmt.Errorf("STARTTLS: %d, %w", code, err)
		}
		secure := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
		nc, r = secure, textproto.NewReader(bufio.NewReader(secure))
		if code, err := say("EHLO %s", s.Hello); err != nil || code != 250 {
			return fmt.Errorf("EHLO: %d, %w", code, err)
		}
	}
	commands := []string{"MAIL FROM:<" + s.Sender + ">", "RCPT TO:<" + s.Rcpt + ">"}
	if s.Body != "" {
		commands = append(commands, "DATA", s.Body+"\r\n.")
	}
	for _, c := range commands {
		code, err := say("%s", c)
		if err != nil {
			return nil // it was ended: what came so far counts
		}
		if code == 354 {
			continue
		}
		if s.Codes = append(s.Codes, code); code >= 400 {
			break
		}
	}
	_, _ = say("QUIT")
	return nil
}
