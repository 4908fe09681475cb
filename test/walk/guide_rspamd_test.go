package walk

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/test/guide"
)

// verdicts lets a message say what Rspamd is to say of it. The rest is Debian's Rspamd as it is.
const verdicts = `
rspamd_config:register_symbol({ name = 'ASKED', type = 'prefilter', callback = function(task)
  local action = task:get_header('X-Ask-Action')
  if action then task:set_pre_result(action, 'because it was asked') end
end })
rspamd_config.ASKED_SCORE = { score = 1.0, callback = function(task)
  local score = tonumber(task:get_header('X-Ask-Score') or '')
  if score then task:insert_result('ASKED_SCORE', score) end
end }
`

// content is a world with Debian's Rspamd in it, and a server that asks it.
type content struct {
	*follower
	rspamd func() // ends it
}

// offers hands in a message as a stranger and returns the answer.
func (f *follower) offers(to, subject, more, body string) string {
	f.t.Helper()
	c := dial(f.t, "127.0.0.1:25")
	defer c.Close()
	must(f.t, c.Mail("stranger@remote.test"))
	must(f.t, c.Rcpt(to))
	answer, err := c.data(fmt.Sprintf("From: <stranger@remote.test>\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%s@remote.test>\r\nSubject: %s\r\n%s\r\n%s\r\n", to, time.Now().Format(time.RFC1123Z), regexp.MustCompile(`\W`).ReplaceAllString(subject, "-"), subject, more, body))
	if err != nil {
		return err.Error()
	}
	return "250 " + answer
}

// lies returns a message from a folder of a mailbox, once it is there.
func (f *follower) lies(folder, subject string) (text string) {
	f.t.Helper()
	eventually(f.t, subject+" is in "+folder, func() bool {
		files, _ := filepath.Glob(f.path("/var/lib/sallyport/mail/example.org/you" + folder + "/new/*"))
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

func (f *follower) held(subject string) {
	f.t.Helper()
	if out := f.must(`for id in $(sallyport queue ls --held --json | jq -r .id); do sallyport queue show $id --headers; done`); !strings.Contains(out, subject) {
		f.t.Errorf("%s is not held:\n%s", subject, out)
	}
}

func newContent(t *testing.T) *content {
	t.Helper()
	needs(t, "rspamd", "opendkim", "swaks", "redis-server", "jq")
	c := &content{follower: follow(t, guide.Open(t, "rspamd.md"), nightsZone, least, "you@example.org")}
	c.write("/etc/rspamd/rspamd.local.lua", verdicts)
	c.write("/etc/rspamd/local.d/options.inc", "dns { timeout = 0.2s; retransmits = 1; }\n")
	c.must("groupadd sallyport && mkdir -p /run/rspamd /run/opendkim && chown _rspamd:sallyport /run/rspamd && mkdir -p /var/lib/rspamd /var/log/rspamd && chown -R _rspamd /var/lib/rspamd /var/log/rspamd")
	return c
}

// ask runs Rspamd as its service does, until it answers.
func (c *content) ask(network, at string) {
	c.t.Helper()
	if c.rspamd != nil {
		c.rspamd()
	}
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at)
	}}}
	c.rspamd = c.daemon("rspamd -f -u _rspamd -g _rspamd", func() bool {
		r, err := client.Get("http://rspamd/ping")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	eventually(c.t, "a message is judged", func() bool {
		r, err := client.Post("http://rspamd/checkv2", "", strings.NewReader("Subject: ready\r\n\r\nhello\r\n"))
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// The guide to Rspamd and milters: Debian's Rspamd where it listens after installation and at the
// guide's socket, each line of its tables, its swaks, and Debian's OpenDKIM as the guide's milter.
func TestGuideRspamd(t *testing.T) {
	long(t)
	c := newContent(t)
	c.doc.EveryCommand(nil)
	c.doc.Says("Debian's Rspamd listens there after installation")
	c.ask("tcp", "127.0.0.1:11333")
	block := c.doc.Block("toml", 0)
	c.edit(block)
	c.must("sallyport check")
	c.serve("sallyport serve", "127.0.0.1:25")
	c.rejected()
	// The socket that the guide prints.
	c.write("/etc/rspamd/local.d/worker-normal.inc", c.doc.Block("", 0))
	c.ask("unix", c.path("/run/rspamd/worker.sock"))
	if out, code := c.sh("setpriv --reuid 65534 --regid 65534 --clear-groups curl -s --unix-socket /run/rspamd/worker.sock http://x/ping"); code == 0 {
		t.Errorf("every user of the host reaches the socket: %s", out)
	}
	_, socket, found := strings.Cut(block, `# or "`)
	if socket, _, _ = strings.Cut(socket, `"`); !found || c.doc.Says(socket) != "unix:///run/rspamd/worker.sock" {
		t.Fatalf("the guide's other address is %q", socket)
	}
	c.swap(`"http://127.0.0.1:11333"`, fmt.Sprintf("%q", socket))
	c.must("sallyport reload")
	c.rejected()
	script := c.milter()
	c.everyRow(c.acts(script))
	c.sentences()
	c.greylisted()
	c.isDown()
}

// rejected is the guide's try.
func (c *content) rejected() {
	c.t.Helper()
	c.doc.Says("The answer is `550 5.7.1 Gtube pattern`")
	c.gives(26, c.doc.Block("", 1), `<\*\* 550 5\.7\.1 Gtube pattern`)
	c.doc.Says("shows the rule `rspamd-reject` with score and symbols")
	c.gives(0, c.doc.Command("sallyport trace you@example.org"), "rspamd-reject", "score", "GTUBE")
}

func (c *content) acts(script *milter) map[string]func([]string) {
	says := func(name, header string) func() (string, string) {
		return func() (string, string) { return name, c.offers("you@example.org", name, header, "hello") }
	}
	spam := func(name, header, folder, want string) {
		_, got := says(name, header)()
		c.begins(name, got, "250 ")
		c.wants(name, c.lies(folder, name), want)
	}
	return map[string]func([]string){
		"no action, greylist, an action of your own": func(cells []string) {
			c.doc.Says("`actions { tag-it = 8; }`")
			c.write("/etc/rspamd/local.d/actions.conf", "tag-it = 8;\nadd_header = 10;\nquarantine = { flags = [\"no_threshold\"]; }\ndiscard = { flags = [\"no_threshold\"]; }\n")
			c.ask("unix", c.path("/run/rspamd/worker.sock"))
			for name, header := range map[string]string{"no action": "", "greylist": "X-Ask-Score: 5\r\n", "tag-it": "X-Ask-Score: 9\r\n"} {
				spam(name, header, "", `(?m)^X-Spam-Status: No`)
				c.gives(0, "sallyport trace you@example.org --limit 20", regexp.QuoteMeta(name))
			}
		},
		"soft reject": func(cells []string) {
			_, got := says("soft", "X-Ask-Action: soft reject\r\n")()
			c.begins("soft reject", got, cells[1])
		},
		"add header, rewrite subject, quarantine": func(cells []string) {
			for _, action := range []string{"add header", "rewrite subject", "quarantine"} {
				spam(action, "X-Ask-Action: "+action+"\r\n", "/.Junk", `(?m)^X-Spam: Yes`)
			}
			url := regexp.MustCompile(`(?m)^url = .*$`).FindString(c.read("/etc/sallyport/sallyport.toml"))
			c.swap(url, url+"\nspam = \"field\"")
			c.must("sallyport reload")
			spam("marked", "X-Ask-Action: add header\r\n", "", `(?m)^X-Spam: Yes`)
			c.swap("\nspam = \"field\"", "")
			c.must("sallyport reload")
		},
		"reject": func(cells []string) {
			if strings.HasPrefix(cells[1], "550") { // Rspamd's
				_, got := says("rejected", "X-Ask-Action: reject\r\n")()
				c.wants("reject", got, `^550 .*because it was asked`)
			}
		},
		"discard": func(cells []string) {
			if cells[1] == "250" { // Rspamd's
				_, got := says("discarded by Rspamd", "X-Ask-Action: discard\r\n")()
				c.begins("discard", got, "250 ")
				c.gives(0, c.doc.Command("sallyport queue ls"), "stranger@remote.test")
				c.held("discarded by Rspamd")
				return
			}
			c.begins("discard", script.offer(c, "discarded by a milter", pack('d', "")), "250 ")
			c.held("discarded by a milter")
		},
		"accept, continue": func([]string) {
			c.begins("accept", script.offer(c, "accepted", pack('a', "")), "250 ")
			c.begins("continue", script.offer(c, "continued", pack('c', "")), "250 ")
		},
		"reject, or a 5xx of its own": func([]string) {
			c.begins("reject", script.offer(c, "refused", pack('r', "")), "55")
			c.wants("a 5xx", script.offer(c, "refused in words", pack('y', "554 5.7.1 by my own words\x00")), `^554 .*by my own words`)
		},
		"tempfail, or a 4xx of its own": func([]string) {
			c.begins("tempfail", script.offer(c, "put off", pack('t', "")), "45")
			c.wants("a 4xx", script.offer(c, "put off in words", pack('y', "450 4.7.1 later, I said\x00")), `^450 .*later, I said`)
		},
		"quarantine": func([]string) {
			c.begins("quarantine", script.offer(c, "quarantined", pack('q', "it looks odd\x00")+pack('c', "")), "250 ")
			c.held("quarantined")
			c.gives(0, "sallyport queue ls --held", "it looks odd")
		},
		"add or insert a header field": func([]string) {
			c.begins("fields", script.offer(c, "fields", pack('h', "X-Mine\x00yes\x00")+pack('h', "Organization\x00no\x00")+pack('c', "")), "250 ")
			text := c.lies("", "fields")
			if c.wants("a field", text, "(?m)^X-Mine: yes$"); strings.Contains(text, "Organization:") {
				c.t.Errorf("a field that is not among those that it may add:\n%s", text)
			}
			c.gives(0, "sallyport trace you@example.org --limit 50", "Organization")
		},
		"change or remove a header field": func([]string) {
			c.begins("a change", script.offer(c, "changed", pack('m', "\x00\x00\x00\x01Subject\x00other\x00")+pack('c', "")), "250 ")
			c.lies("", "changed")
			c.gives(0, "sallyport trace you@example.org --limit 50", "Subject")
		},
		"add or remove a recipient, change the sender or the body": func([]string) {
			c.begins("a recipient", script.offer(c, "another", pack('+', "<bob@example.org>\x00")+pack('b', "another body\r\n")+pack('c', "")), "250 ")
			c.wants("the body", c.lies("", "another"), "(?m)^hello$")
			c.gives(0, "sallyport trace you@example.org --limit 50", "milter script not done")
			c.doc.Says("(`milter NAME not done`)")
		},
	}
}

// milter is one that the test tells what to say at the end of a message.
type milter struct{ say chan string }

func pack(cmd byte, data string) string {
	n := len(data) + 1
	return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), cmd}) + data
}

// offer hands in a message of which the milter says something.
func (m *milter) offer(c *content, subject, say string) string {
	c.t.Helper()
	m.say <- say
	return c.offers("you@example.org", subject, "", "hello")
}

// milter puts the guide's milters into the configuration: Debian's OpenDKIM at its socket, and one
// at the guide's other address.
func (c *content) milter() *milter {
	c.t.Helper()
	block := c.doc.Block("toml", 1)
	c.must("mkdir -p /etc/dkimkeys && openssl genrsa -out /etc/dkimkeys/walk.private 2048 2>/dev/null && printf '0.0.0.0/0\n' > /etc/dkimkeys/hosts")
	c.write("/etc/dkimkeys/walk.conf",
		"Background no\nUserID root\nRequireSafeKeys no\nSyslog no\nMode s\nDomain remote.test\nSelector s\nKeyFile /etc/dkimkeys/walk.private\nInternalHosts /etc/dkimkeys/hosts\nSocket local:/run/opendkim/opendkim.sock\n")
	c.daemon("opendkim -f -x /etc/dkimkeys/walk.conf", func() bool {
		nc, err := net.Dial("unix", c.path("/run/opendkim/opendkim.sock"))
		if err == nil {
			_ = nc.Close()
		}
		return err == nil
	})
	c.edit("\n" + block)
	c.must("sallyport reload")
	c.begins("signed", c.offers("you@example.org", "signed", "", "hello"), "250 ")
	c.wants("what OpenDKIM did", c.lies("", "signed"), `(?m)^DKIM-Signature: .*`)
	_, other, found := strings.Cut(block, `# or "tcp://`)
	if other, _, _ = strings.Cut(other, `"`); !found {
		c.t.Fatal("the guide has no other address of a milter")
	}
	m := &milter{say: make(chan string, 1)}
	ln, err := net.Listen("tcp", other)
	must(c.t, err)
	c.t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go m.serve(nc)
		}
	}()
	c.edit("\n[milter.script]\naddress = \"tcp://" + other + "\"\n")
	return m
}

func (m *milter) serve(nc net.Conn) {
	defer nc.Close()
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(nc, head); err != nil {
			return
		}
		data := make([]byte, int(head[0])<<24|int(head[1])<<16|int(head[2])<<8|int(head[3])-1)
		if _, err := io.ReadFull(nc, data); err != nil {
			return
		}
		answer := pack('c', "")
		switch head[4] {
		case 'O': // version 6, all actions, nothing left out
			answer = pack('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x00\x00\x00")
		case 'D':
			continue
		case 'Q':
			return
		case 'E':
			select {
			case answer = <-m.say:
			default:
			}
		}
		if _, err := nc.Write([]byte(answer)); err != nil {
			return
		}
	}
}

// sentences are those of the guide that are in no table.
func (c *content) sentences() {
	c.t.Helper()
	c.doc.Says("where Rspamd is asked, nobody else may bring them along")
	c.begins("a forged field", c.offers("you@example.org", "forged", "X-Spam-Status: No, score=-100\r\nX-Rspamd-Server: mine\r\n", "hello"), "250 ")
	if text := c.lies("", "forged"); strings.Contains(text, "-100") || strings.Contains(text, "X-Rspamd-Server: mine") {
		c.t.Errorf("fields of somebody else stay:\n%s", text)
	}
	c.doc.Says("**Mail of your own people** is not shown to it unless `accounts = \"on\"`.")
	own := func(subject string) error {
		c.t.Helper()
		k := dial(c.t, "127.0.0.1:587")
		defer k.Close()
		must(c.t, signIn(k, "you@example.org"))
		must(c.t, k.Mail("you@example.org"))
		must(c.t, k.Rcpt("you@example.org"))
		_, err := k.data("From: <you@example.org>\r\nTo: <you@example.org>\r\nSubject: " + subject + "\r\nX-Ask-Action: reject\r\n\r\nhello\r\n")
		return err
	}
	if err := own("mine"); err != nil {
		c.t.Errorf("mail of our people is judged: %v", err)
	}
	c.swap("[rspamd]\n", "[rspamd]\naccounts = \"on\"\n")
	c.must("sallyport reload")
	if err := own("mine too"); err == nil || !strings.Contains(err.Error(), "550 ") {
		c.t.Errorf("mail of our people is not judged: %v", err)
	}
}

// greylisted is Rspamd's greylisting, which needs a Redis.
func (c *content) greylisted() {
	c.t.Helper()
	c.doc.Says("`greylist` is no request to put mail off: Rspamd's greylisting module, which needs a Redis, makes `soft reject` of it for the first attempt, and `no action` for the next.")
	c.doc.Says("Without Redis nothing is greylisted.")
	c.daemon("redis-server --port 6379 --save '' --dir /tmp", func() bool {
		out, _ := exec.Command("redis-cli", "ping").Output()
		return strings.HasPrefix(string(out), "PONG")
	})
	c.write("/etc/rspamd/local.d/redis.conf", "servers = \"127.0.0.1\";\n")
	c.write("/etc/rspamd/local.d/greylist.conf", "timeout = 1s;\nwhitelisted_ip = [];\ncheck_local = true;\n")
	c.ask("unix", c.path("/run/rspamd/worker.sock"))
	grey := func() string {
		return c.offers("you@example.org", "grey", "X-Ask-Score: 5\r\n", "hello, all of this is new")
	}
	eventually(c.t, "the first attempt is put off", func() bool { return strings.HasPrefix(grey(), "451 ") })
	eventually(c.t, "the next is taken", func() bool { return strings.HasPrefix(grey(), "250 ") })
}

// isDown is what happens while Rspamd gives no answer.
func (c *content) isDown() {
	c.t.Helper()
	c.rspamd()
	c.doc.Says("senders are told to come back (451, rule `rspamd-unavailable`)")
	c.begins("down", c.offers("you@example.org", "down", "", "hello"), "451 ")
	c.gives(0, "sallyport trace --rule rspamd-unavailable --since 1m", "rspamd-unavailable")
	c.doc.Says("With `down = \"accept\"` mail is taken unseen, and each such message says so in the trace.")
	c.swap("[rspamd]\n", "[rspamd]\ndown = \"accept\"\n")
	c.must("sallyport reload")
	c.begins("unseen", c.offers("you@example.org", "unseen", "", "hello"), "250 ")
	c.gives(0, "sallyport trace you@example.org --limit 50", "(?i)unseen|rspamd.*not")
	c.doc.Says("The log says once when it stops to answer")
	c.wants("the log", c.log.String(), "(?i)rspamd")
}
