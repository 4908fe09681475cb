package proxies

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/test/guide"
	"sallyport/test/load/rig"
	"sallyport/test/port"
)

// heavy skips what runs other servers: make proxies.
func heavy(t *testing.T) {
	t.Helper()
	if os.Getenv("SALLYPORT_PROXIES") == "" {
		t.Skip("make proxies runs it")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a server, and what stands before it.
type world struct {
	*rig.Server
	t     *testing.T
	guide *guide.Guide
	dir   string
}

// doors are those of a balancer.
type doors struct{ mx, submission, submissions string }

// few are the guesses of one network, so that the test is soon through; what a password costs is
// not what is tried.
const few = "\n[auth]\nguesses = 1000\nnetwork_guesses = 6\nargon_memory = \"8MiB\"\nargon_rounds = 1\nscram_rounds = 4096\n"

func serve(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxies") // not t.TempDir: nginx's own user has to get there
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	s, err := rig.Prepare(t.Context(), rig.Options{Binary: binary, Dir: filepath.Join(dir, "server"), Remote: "127.0.0.1:9", Extra: few})
	must(t, err)
	must(t, s.Start(t.Context()))
	t.Cleanup(func() { must(t, s.Stop()) })
	return &world{Server: s, t: t, guide: guide.Open(t, "balancer.md"), dir: dir}
}

// listed is what the guide writes into the configuration.
func (w *world) listed() string {
	return guide.Replaced(w.t, w.guide.Block("toml", 0), "10.0.0.1/32", "127.0.0.1/32")
}

// reload puts something more into the configuration and reloads it, as the guide says.
func (w *world) reload(more string) {
	w.t.Helper()
	text, err := os.ReadFile(w.Config)
	must(w.t, err)
	must(w.t, os.WriteFile(w.Config, append(text, more...), 0o600))
	_, err = w.CLI(w.t.Context(), "", strings.Fields(w.guide.Command("sallyport reload"))[1:]...)
	must(w.t, err)
}

func (w *world) password(local string) string {
	w.t.Helper()
	for _, a := range w.Accounts {
		if strings.HasPrefix(a.Address, local+"@") {
			return a.Password
		}
	}
	w.t.Fatalf("there is no account %s", local)
	return ""
}

func portOf(address string) string { _, p, _ := net.SplitHostPort(address); return p }

// free gives a port of a balancer.
func (w *world) free() string {
	w.t.Helper()
	r, err := port.Reserve("127.0.0.1")
	must(w.t, err)
	w.t.Cleanup(func() { _ = r.Release() })
	return strconv.Itoa(r.Number)
}

// fronted writes a guide's configuration with this test's addresses and without the lines that
// are edited out, runs a balancer with it, and waits until its doors open.
func (w *world) fronted(name, text string, edit []string, d doors, command ...string) doors {
	w.t.Helper()
	text = guide.Replaced(w.t, text, edit...)
	file := filepath.Join(w.dir, name)
	must(w.t, os.WriteFile(file, []byte(text), 0o644))
	log, err := os.Create(file + ".log")
	must(w.t, err)
	defer log.Close()
	cmd := exec.Command(command[0], append(command[1:], file)...)
	cmd.Stdout, cmd.Stderr = log, log
	must(w.t, cmd.Start())
	w.t.Cleanup(func() {
		must(w.t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && w.t.Failed() {
			w.t.Logf("%s\n%s", text, w.LogTail())
		}
	})
	for _, door := range []string{d.mx, d.submission, d.submissions} {
		if door == "" {
			continue
		}
		eventually(w.t, name+" listens", func() bool {
			c, err := net.Dial("tcp", door)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return d
}

func haproxy(w *world, edit ...string) doors {
	w.t.Helper()
	d := doors{"127.0.0.1:" + w.free(), "127.0.0.1:" + w.free(), "127.0.0.1:" + w.free()}
	text := w.guide.Block("haproxy", 0)
	text, edit = guide.Replaced(w.t, text, edit...), nil
	text = guide.Replaced(w.t, text, "bind :25\n", "bind "+d.mx+"\n", "bind :587\n", "bind "+d.submission+"\n", "bind :465\n", "bind "+d.submissions+"\n",
		"10.0.0.5:25 ", w.Listen.MX[0]+" ", "10.0.0.5:587 ", w.Listen.Submission[0]+" ", "10.0.0.5:465 ", w.Listen.Submissions[0]+" ")
	text = strings.ReplaceAll(text, "check port 25", "check port "+portOf(w.Listen.MX[0]))
	return w.fronted("haproxy.cfg", text, edit, d, "haproxy", "-db", "-f")
}

// debian is what a configuration of Debian's nginx has beside the block of a guide.
func debian(w *world) string {
	return fmt.Sprintf("include /etc/nginx/modules-enabled/*.conf;\npid %s/nginx.pid;\nevents {}\n", w.dir)
}

func stream(w *world, edit ...string) doors {
	w.t.Helper()
	d := doors{"127.0.0.1:" + w.free(), "127.0.0.1:" + w.free(), "127.0.0.1:" + w.free()}
	text := guide.Replaced(w.t, w.guide.Block("nginx-stream", 0), "listen 25;", "listen "+d.mx+";", "listen 587;", "listen "+d.submission+";", "listen 465;", "listen "+d.submissions+";",
		"10.0.0.5:25;", w.Listen.MX[0]+";", "10.0.0.5:587;", w.Listen.Submission[0]+";", "10.0.0.5:465;", w.Listen.Submissions[0]+";")
	return w.fronted("nginx.conf", debian(w)+text, edit, d, "nginx", "-g", "daemon off;", "-e", "stderr", "-c")
}

func mailProxy(w *world, edit ...string) doors {
	w.t.Helper()
	d := doors{mx: "127.0.0.1:" + w.free()}
	text := guide.Replaced(w.t, w.guide.Block("nginx-mail", 0), "127.0.0.1:9025", "127.0.0.1:"+w.free(), "listen                   25;", "listen "+d.mx+";",
		"Auth-Server 10.0.0.5", "Auth-Server 127.0.0.1", "Auth-Port   25", "Auth-Port   "+portOf(w.Listen.MX[0]))
	return w.fronted("nginx.conf", debian(w)+text, edit, d, "nginx", "-g", "daemon off;", "-e", "stderr", "-c")
}

// client is a connection from an address of its own.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (w *world) dial(from, at string) *client {
	w.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}).Dial("tcp", at)
	must(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	must(w.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return &client{t: w.t, conn: conn, r: bufio.NewReader(conn)}
}

// reply reads one reply, all its lines; nothing when the connection ends.
func (c *client) reply() (all string) {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return all
		}
		all += line
		if len(line) < 4 || line[3] != '-' {
			return all
		}
	}
}

func (c *client) expect(code string) {
	c.t.Helper()
	if got := c.reply(); !strings.HasPrefix(got, code) {
		c.t.Fatalf("%q instead of %s", got, code)
	}
}

func (c *client) say(line string) string {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(line + "\r\n")); err != nil {
		return ""
	}
	return c.reply()
}

func (c *client) ask(line, code string) {
	c.t.Helper()
	if got := c.say(line); !strings.HasPrefix(got, code) {
		c.t.Fatalf("%s: %q instead of %s", line, got, code)
	}
}

// banner is what a door says by itself until it closes, or before a second is over.
func (w *world) banner(from, at string) string {
	w.t.Helper()
	c := w.dial(from, at)
	must(w.t, c.conn.SetDeadline(time.Now().Add(3*time.Second)))
	return c.reply() + c.reply()
}

// recipient is the answer to the first recipient of a message.
func (w *world) recipient(from, at, to, parameter string) string {
	w.t.Helper()
	c := w.dial(from, at)
	c.expect("220")
	c.ask("EHLO client.test", "250")
	c.ask("MAIL FROM:<x@far.test>"+parameter, "250")
	return c.say("RCPT TO:<" + to + ">")
}

// handshakes says whether TLS begins at a door.
func (w *world) handshakes(from, at string) bool {
	w.t.Helper()
	c := w.dial(from, at)
	return tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true}).Handshake() == nil
}

func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// signsIn is the answer to a sign-in.
func (w *world) signsIn(from, at string, implicit bool, local, password string) (code int, text string) {
	w.t.Helper()
	c := w.dial(from, at)
	secure := func() {
		conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	if implicit {
		secure()
	}
	c.expect("220")
	c.ask("EHLO client.test", "250")
	if !implicit {
		c.ask("STARTTLS", "220")
		secure()
		c.ask("EHLO client.test", "250")
	}
	reply := c.say("AUTH PLAIN " + plain(local+"@local.test", password))
	if len(reply) > 3 {
		code, _ = strconv.Atoi(reply[:3])
	}
	return code, reply
}
