package networks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

// ours is this server in the namespace of the host, with printers as the only trusted network,
// and the network of the host named beside it by an administrator who meant well.
func ours(t *testing.T, w *world) *server {
	t.Helper()
	s := prepare(t, "local.test", "data", `[network.printers]
from = ["10.20.0.0/24", "10.30.0.0/24"]
account = "printers@local.test"
`)
	if _, err := s.CLI(t.Context(), "a password of printers\n", "account", "add", "printers@local.test", "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	serve(t, w, s)
	return s
}

// server is the program, and what is known of its configuration.
type server struct {
	*rig.Server
	binary string
}

// prepare writes the configuration of a domain with a folder for its data, which "data" is a used
// one of, and more.
func prepare(t *testing.T, domain, data, more string) *server {
	t.Helper()
	dir := t.TempDir()
	binary, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: dir + "/data", Remote: "127.0.0.1:2626"})
	if err != nil {
		t.Fatal(err)
	}
	s.Config = filepath.Join(filepath.Dir(s.Config), "networks.toml")
	text := fmt.Sprintf(`hostname = "mx.%[2]s"
data = "%[3]s"
[listen]
mx = ["%[1]s:25"]
submission = ["%[1]s:587"]
[tls]
cert = "data/tls/server.pem"
key = "data/tls/server.key"
[domain."%[2]s"]
deliver = "maildir"
[mx]
delivery = "off"
[limits]
greet_delay = "0s"
min_free = "1MiB"
[authentication]
check = "off"
`, host, domain, data)
	if err := os.WriteFile(s.Config, []byte(text+more), 0o600); err != nil {
		t.Fatal(err)
	}
	return &server{Server: s, binary: binary}
}

// serve runs a server in the namespace of the host until the test ends.
func serve(t *testing.T, w *world, s *server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := exec.CommandContext(ctx, "ip", "netns", "exec", w.name+"srv", s.binary, "serve", "-c", s.Config)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = c.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the log:\n%s", text)
		}
	})
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if all, err := filepath.Glob(filepath.Join(filepath.Dir(s.Config), "*/sallyport.sock")); err != nil || len(all) == 0 {
			continue // who asks too early opens the folder himself
		}
		if out, err := s.CLI(t.Context(), "", "status"); err == nil && strings.Contains(out, "running for") {
			return
		}
	}
	t.Fatal("it does not run")
}

// theirs is a Postfix in the same namespace, at port 2525, which trusts inner networks as usual.
func theirs(t *testing.T, w *world) {
	t.Helper()
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	dir, err := os.MkdirTemp("", "mynetworks") // not t.TempDir: Postfix's own user has to get there
	if err != nil {
		t.Fatal(err)
	}
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/state
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
inet_interfaces = %[2]s
inet_protocols = ipv4
myhostname = postfix.local.test
mydestination =
mynetworks = 127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16
smtpd_peername_lookup = no
disable_dns_lookups = yes
defer_transports = smtp
`, dir, host)
	master := strings.Join([]string{host + ":2525 inet n - n - - smtpd", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr", "rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce",
		"defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "proxymap unix - - n - - proxymap", "smtp unix - - n - - smtp", "error unix - - n - - error", "retry unix - - n - - error", "anvil unix - - n - 1 anvil", "postlog unix-dgram n - n - 1 postlogd"}, "\n") + "\n"
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/queue", 0o755), os.Mkdir(dir+"/state", 0o755), os.Chown(dir+"/state", uid, gid), os.Mkdir(dir+"/etc", 0o755),
		os.WriteFile(dir+"/etc/main.cf", []byte(main), 0o644), os.WriteFile(dir+"/etc/master.cf", []byte(master), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	w.in("srv", "postfix", "-c", dir+"/etc", "start")
	t.Cleanup(func() {
		_ = exec.Command("ip", "netns", "exec", w.name+"srv", "postfix", "-c", dir+"/etc", "stop").Run()
		_ = os.RemoveAll(dir)
	})
}

// stranger is a session of somebody in the Internet who would have a server relay, with a
// sender that he guessed.
func stranger(from, to, sender string) session {
	return session{From: from, To: to, Hello: "stranger.invalid", Sender: sender, Rcpt: "victim@outside.invalid"}
}

// printer is what a printer sends.
func printer() session {
	return session{
		From: "10.20.0.7", To: host + ":587", Hello: "printer", Sender: "printers@local.test",
		Rcpt: "boss@elsewhere.invalid", Body: "From: <printers@local.test>\r\nSubject: scan\r\n\r\npage",
	}
}

func (w *world) want(what string, s session, reached bool) {
	w.t.Helper()
	if s.reached() != reached {
		w.t.Errorf("%s: %v", what, s.Codes)
	}
}

// public lets three networks of the Internet write to port 25.
func (w *world) public() {
	w.t.Helper()
	for _, a := range []string{"203.0.113.5", "198.51.100.5", "192.0.2.5"} {
		w.client("net", session{From: a, To: host + ":25", Hello: "remote.invalid", Sender: "x@remote.invalid", Rcpt: "alice@local.test"})
	}
}

// A gateway that masquerades makes Postfix with the usual mynetworks an open relay, and leaves
// this server as closed as it was, before and after it trusted its printers. When the gateway makes
// strangers look like a printer, whom nothing tells from one, what they do closes the network
// within a second, and signed-in users notice nothing.
func TestMasqueradingGateway(t *testing.T) {
	if os.Getenv("SALLYPORT_NETWORKS") == "" {
		t.Skip("make networks runs this")
	}
	w := newWorld(t, "postfix")
	s := ours(t, w)
	theirs(t, w)
	status := func(want string) {
		t.Helper()
		out, err := s.CLI(t.Context(), "", "status")
		if err != nil || !strings.Contains(out, "signs in as printers@local.test: "+want) {
			t.Errorf("status does not say %s: %v\n%s", want, err, out)
		}
	}
	status("waiting")
	w.want("a printer before anything is proven", w.client("dev", printer())[0], false)

	w.translate("masquerade")
	for _, c := range []struct {
		to, sender string
		reached    bool
	}{
		{host + ":2525", "x@remote.invalid", true}, // Postfix opens
		{host + ":25", "x@remote.invalid", false}, {host + ":25", "printers@local.test", false},
		{host + ":587", "x@remote.invalid", false}, {host + ":587", "printers@local.test", false},
	} {
		w.want("masqueraded, "+c.to+" from "+c.sender, w.client("net", stranger("203.0.113.5", c.to, c.sender))[0], c.reached)
	}
	w.public()
	status("waiting") // what looks like the gateway proves nothing

	w.translate("")
	w.want("Postfix with client addresses", w.client("net", stranger("203.0.113.5", host+":2525", "x@remote.invalid"))[0], false)
	w.public()
	status("open")
	w.want("a printer", w.client("dev", printer())[0], true)
	forged := printer()
	forged.Sender = "alice@local.test"
	w.want("a printer as somebody", w.client("dev", forged)[0], false)
	w.want("a stranger", w.client("net", stranger("203.0.113.5", host+":587", "printers@local.test"))[0], false)

	w.translate("masquerade")
	w.want("masqueraded while it is open", w.client("net", stranger("203.0.113.5", host+":587", "printers@local.test"))[0], false)
	w.want("a printer meanwhile", w.client("dev", printer())[0], true)

	w.translate("snat to 10.20.0.9")
	w.in("srv", "ip", "route", "replace", "10.20.0.9", "via", "10.30.0.1")
	leaked := 0
	for i := range 40 {
		c := stranger("203.0.113.5", host+":587", "printers@local.test")
		c.Body = "From: <printers@local.test>\r\n\r\nspam"
		got := w.client("net", c, stranger("203.0.113.5", host+":25", fmt.Sprintf("x@d%d.invalid", i)))
		if got[0].reached() {
			leaked++
		}
	}
	t.Logf("%d recipients were reached by a stranger who looks like a printer and knows its sender, until the network closed", leaked)
	if leaked > 3 {
		t.Errorf("a missed trap leaks %d recipients", leaked)
	}
	status("closed")
	w.want("a printer after that", w.client("dev", printer())[0], false)
	if out, err := s.CLI(t.Context(), "", "doctor"); err == nil || !strings.Contains(out, "it is not trusted any more") {
		t.Errorf("the doctor finds nothing: %v\n%s", err, out)
	}
	if out, err := s.CLI(t.Context(), "", "incident", "ls", "--open"); err != nil || !strings.Contains(out, "printers@local.test") {
		t.Errorf("no incident: %v\n%s", err, out)
	}

	w.translate("")
	w.public()
	status("closed") // until a person opens it
	if _, err := s.CLI(t.Context(), "", "account", "thaw", "printers@local.test"); err != nil {
		t.Error(err)
	}
	status("open")
	w.want("a printer when a person opened it", w.client("dev", printer())[0], true)
}
