package drill

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"sallyport/internal/drill"
	"sallyport/internal/drill/verdict"
	"sallyport/test/load/rig"
)

// aloneVar tells the test within the namespace where the program is.
const aloneVar = "SALLYPORT_DRILL_ALONE"

// nobody is the user who rehearses there, and who may read the configuration and nothing else.
const nobody = 65534

// All scenarios are played in a network namespace that has loopback and no routes, beside everything
// that a configuration can name, which listens there: its own doors, and LDAP, OpenID,
// webhook, Rspamd, a milter, name servers, a next hop and a server behind. Nobody connects to any of it,
// nothing in the folder of the configuration changes, and the data folder may not even be read.
// The doors that mail is read at, and web servers, are held by others, so that whoever binds them fails.
func TestARehearsalTouchesNothingThatLives(t *testing.T) {
	binary := os.Getenv(aloneVar)
	switch {
	case binary != "":
		inside(t, binary)
		return
	case os.Getenv("SALLYPORT_DRILL") == "" || os.Geteuid() != 0:
		t.Skip("make drill plays it, as root: it needs a network namespace")
	}
	dir, err := os.MkdirTemp("/var/tmp", "drill-alone")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if binary, err = rig.Build(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), aloneVar+"="+binary)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// traps are listeners at what a configuration names, which count who connects.
type traps struct {
	connected atomic.Int64
	from      atomic.Pointer[string]
}

// at opens one on a port of loopback, for TCP and UDP.
func (r *traps) at(t *testing.T, port int) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.touched(address)
			_ = c.Close()
		}
	}()
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	go func() {
		for {
			if _, _, err := udp.ReadFrom(make([]byte, 512)); err != nil {
				return
			}
			r.touched(address)
		}
	}()
}

func (r *traps) touched(address string) {
	r.connected.Add(1)
	r.from.Store(&address)
}

// everything is a configuration that names all that one can, at ports of loopback that are trapped.
const everything = `hostname = "mx.local.test"
data = "data"
literals = ["192.0.2.1"]
[listen]
mx = ["127.0.0.1:25"]
submission = ["127.0.0.1:587"]
submissions = ["127.0.0.1:465"]
imap = ["127.0.0.1:143"]
imaps = ["127.0.0.1:993"]
pop3 = ["127.0.0.1:110"]
pop3s = ["127.0.0.1:995"]
sendmail = "run/sendmail.sock"
[tls]
cert = "data/tls/cert.pem"
key = "data/tls/key.pem"
[proxy]
from = ["127.0.0.5/32"]
[helpers]
socket = "run/helpers.sock"
group = "root"
[network.printers]
from = ["192.0.2.16/28"]
account = "bob@local.test"
[domain."local.test"]
deliver = "maildir"
[domain."behind.test"]
deliver = "smtp://127.0.0.1:2001"
[domain."people.test"]
deliver = "maildir"
accounts = "ldap"
ldap = "staff"
[ldap.staff]
urls = ["ldap://127.0.0.1:389"]
tls = "off"
base = "ou=people,dc=people,dc=test"
[callout]
rate = 50
[route."*"]
to = "smtp://127.0.0.1:2002"
[mx]
dns = ["127.0.0.1:53"]
[tls_policy]
listen = ["127.0.0.1:443"]
report_account = "bob@local.test"
[autoconfig]
listen = ["127.0.0.1:443"]
[dmarc_report]
account = "bob@local.test"
organisation = "Local"
[forward]
external = "on"
[webhook]
url = "https://127.0.0.1:2003/hook"
key_file = "data/key"
[screen]
list = "data/list"
greylist = "5m"
[dnsbl."list.test"]
[oidc]
issuer = "https://127.0.0.1:2004/realm"
audience = "https://mail.local.test"
scope = "smtp"
clients = ["thunderbird"]
[rspamd]
url = "http://127.0.0.1:11333"
[milter.filter]
address = "tcp://127.0.0.1:2005"
[metrics]
listen = ["127.0.0.1:9025"]
[inflow]
network_connections = 100000
`

// trapped are the ports in it.
func trapped() []int {
	return []int{25, 587, 465, 143, 993, 110, 995, 2001, 389, 2002, 53, 443, 2003, 2004, 11333, 2005, 9025}
}

// inside is the test within the namespace.
func inside(t *testing.T, binary string) {
	if out, err := exec.Command("ip", "route", "show", "table", "main").Output(); err != nil || len(out) > 0 {
		t.Fatalf("there are routes: %s %v", out, err)
	}
	base := filepath.Dir(binary)
	home, scratch := filepath.Join(base, "etc"), filepath.Join(base, "scratch")
	for name, text := range map[string]string{"sallyport.toml": everything, "data/tls/cert.pem": "a certificate", "data/tls/key.pem": "a key", "data/key": "a secret", "data/list": "a list", "data/store/000001.log": "a store", "run/sendmail.sock": ""} {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(home, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(scratch, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	var r traps
	for _, port := range trapped() {
		r.at(t, port)
	}
	before := tree(t, home)
	checkAlone(t, played(t, binary, home, scratch))
	if after := tree(t, home); after != before {
		t.Errorf("the folder changed:\n%s\nbefore:\n%s", after, before)
	}
	if n := r.connected.Load(); n > 0 {
		t.Errorf("%d times something that lives was asked, at last %s", n, *r.from.Load())
	}
	if left := tree(t, scratch); strings.Count(left, "\n") > 1 {
		t.Errorf("it left behind:\n%s", left)
	}
}

// played rehearses everything as nobody.
func played(t *testing.T, binary, home, scratch string) (r drill.Report) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "drill", "-c", filepath.Join(home, "sallyport.toml"), "--seed", "1", "--json")
	cmd.Env = []string{"TMPDIR=" + scratch, "HOME=" + scratch, "PATH=" + os.Getenv("PATH")}
	cmd.Dir = scratch
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return r
}

func checkAlone(t *testing.T, r drill.Report) {
	t.Helper()
	if len(r.Played) != len(drill.Scenarios()) {
		t.Errorf("%d scenarios were played", len(r.Played))
	}
	for _, p := range r.Played {
		t.Logf("%-10s %v", p.Name, p.Took)
		if p.Fault != "" || p.Outside > 0 {
			t.Errorf("%s: %q, %d times outside", p.Name, p.Fault, p.Outside)
		}
	}
	for _, v := range r.Verdicts {
		if v.State != verdict.Kept {
			t.Errorf("%s is %s: %+v", v.Promise, v.State, v.Breaches())
		}
	}
}

// tree is everything below a folder: names, modes, owners, times of change, and what is in files.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %s %d:%d %d", path, info.Mode(), stat.Uid, stat.Gid, info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(text))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
