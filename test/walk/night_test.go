package walk

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// night is one on call: the page that is followed, and the system that it is followed in.
type night struct {
	*world
	all   []*section
	at    *section
	done  map[string]bool // what was done, or left with a reason, by title and command
	out   string          // of the last command
	words []string        // what the reader puts in the place of the page's: old, new, …
}

// open goes to a section of the page, which the one before has to be finished for.
func (n *night) open(title string, words ...string) {
	n.t.Helper()
	for _, s := range n.all {
		if s.title == title {
			n.at, n.words = s, words
			return
		}
	}
	n.t.Fatalf("operations.md has no section %q", title)
}

// says looks that the section prints a text, and notes that it was followed.
func (n *night) says(text string) {
	n.t.Helper()
	asked := slices.Contains(n.at.asked(), text) || slices.Contains(n.at.spans, text)
	if !asked && !strings.Contains(strings.Join(strings.Fields(n.at.text), " "), text) &&
		!slices.ContainsFunc(n.at.blocks, func(b string) bool { return strings.Contains(b, text) }) {
		n.t.Fatalf("%q: the page no longer says %q", n.at.title, text)
	}
	n.done[n.at.title+": "+text] = true
}

// gives gives a command that the section prints, with the reader's own words in it, and wants
// its exit code, and some patterns in what it prints.
func (n *night) gives(code int, command string, want ...string) {
	n.t.Helper()
	n.says(command)
	line := command
	if !slices.ContainsFunc(programs, func(p string) bool { return strings.HasPrefix(line, p+" ") }) {
		line = "sallyport " + line // the page names it after the program
	}
	line = strings.NewReplacer(n.words...).Replace(line)
	out, got := n.sh(line)
	n.out = out
	if got != code {
		n.t.Errorf("%q: %s: exit code %d, want %d\n%s", n.at.title, line, got, code, out)
	}
	for _, pattern := range want {
		if !regexp.MustCompile(pattern).MatchString(out) {
			n.t.Errorf("%q: %s: no %q in\n%s", n.at.title, line, pattern, out)
		}
	}
}

// shows compares the form of what the last command printed with what the page shows below it;
// each line must be there but those with one of these words in them.
func (n *night) shows(command string, without ...string) {
	n.t.Helper()
	i := slices.IndexFunc(n.at.commands(), func(c shown) bool { return c.command == command })
	if i < 0 || len(n.at.commands()[i].output) == 0 {
		n.t.Fatalf("%q shows no output of %s", n.at.title, command)
	}
	have := forms(n.out)
	skipped := false
	for _, line := range n.at.commands()[i].output {
		if slices.ContainsFunc(without, func(w string) bool { return strings.Contains(line, w) }) {
			skipped = true
			continue
		}
		if skipped && strings.HasPrefix(strings.TrimSpace(line), "->") {
			continue
		}
		skipped = false
		if !slices.Contains(have, form(line)) {
			n.t.Errorf("%q shows %q, and %s printed\n%s", n.at.title, line, command, n.out)
		}
	}
}

// leaves names commands of the section that are not given here, and why.
func (n *night) leaves(why string, commands ...string) {
	n.t.Helper()
	if why == "" {
		n.t.Fatal("why?")
	}
	for _, c := range commands {
		n.says(c)
	}
}

// nothingIsLeft fails for each command of the page that nobody gave.
func (n *night) nothingIsLeft() {
	n.t.Helper()
	for _, s := range n.all {
		for _, c := range s.asked() {
			if !n.done[s.title+": "+c] {
				n.t.Errorf("operations.md, %q: nobody tries %q", s.title, c)
			}
		}
	}
}

const nightsZone = `
mx.example.org.          300 IN A   192.0.2.1
example.org.             300 IN MX  10 mx.example.org.
example.org.             300 IN TXT "v=spf1 mx -all"
_dmarc.example.org.      300 IN TXT "v=DMARC1; p=none; rua=mailto:dmarc@example.org"
1.2.0.192.in-addr.arpa.  300 IN PTR mx.example.org.
. 300 IN SOA a.root. b.root. 1 2 3 4 5
`

const nightsConfiguration = `hostname = "mx.example.org"
data = "/var/lib/sallyport"
[listen]
mx = ["192.0.2.1:25"]
submission = ["127.0.0.1:587"]
sendmail = "/run/sallyport/sendmail.sock"
[tls]
cert = "cert.pem"
key = "key.pem"
[domain."example.org"]
deliver = "maildir"
[route."*"]
to = "smtp://127.0.0.1:2600"
[route."example.net"]
to = "smtp://127.0.0.1:2699"
[forward]
external = "on"
[limits]
greet_delay = "0s"
min_free = "16MiB"
[hijack]
mode = "off"
[authentication]
check = "off"
[auth]
argon_memory = "8MiB"
argon_rounds = 1
scram_rounds = 4096
[callout]
timeout = "2s"
`

// newNight makes the system that the page is about: some people, a server of others that
// answers, and two that do not.
func newNight(t *testing.T) *night {
	t.Helper()
	n := &night{world: newWorld(t, 256, nightsZone), all: sections(t, "docs/operations.md"), done: map[string]bool{}}
	must(t, os.MkdirAll(n.path("/run/sallyport"), 0o755))
	must(t, os.MkdirAll(n.path("/backup"), 0o755))
	if out, err := netCommand("addr", "add", "192.0.2.1/32", "dev", "lo"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { _, _ = netCommand("addr", "del", "192.0.2.1/32", "dev", "lo") })
	n.certificate(time.Now())
	n.write("/etc/sallyport/sallyport.toml", nightsConfiguration)
	for _, a := range []string{"alice", "bob", "shop", "scans", "mallory"} {
		n.must("echo " + password + " | sallyport account add " + a + "@example.org --password-stdin")
	}
	return n
}

const password = "correct-horse-battery-staple"

// change edits the configuration.
func (n *night) change(old, now string) {
	n.t.Helper()
	text := n.read("/etc/sallyport/sallyport.toml")
	if !strings.Contains(text, old) {
		n.t.Fatalf("no %q in the configuration", old)
	}
	n.write("/etc/sallyport/sallyport.toml", strings.Replace(text, old, now, 1))
}

// The page for the night, section by section, with a real server in the state that each is
// about. Every command that it prints is given here, or left with a reason.
func TestNight(t *testing.T) {
	n := newNight(t)
	n.theServerDoesNotRun()
	sink := listen(t, "127.0.0.1:2600")
	n.serve("sallyport serve", "192.0.2.1:25")
	waiting := n.sends("alice@example.org", "carl@example.net")
	n.sends("shop@example.org", "x@example.net")
	n.sends("shop@example.org", "z@example.net")
	n.sends("mallory@example.org", "y@example.net")
	n.must("sallyport account freeze mallory@example.org --reason test")
	relayed := n.sends("alice@example.org", "carl@remote.test")
	n.refusedAsARelay()
	refused := n.sends("alice@example.org", "ghost@remote.test")
	n.whereToLookFirst()
	n.whereIsThatMessage(relayed, refused)
	n.theQueueGrows(sink, waiting)
	n.mailIsHeld()
	n.forwards(sink)
	n.behindUs()
	n.programs()
	n.mailboxes()
	n.people()
	n.limits()
	n.contained()
	n.theDiskIsFull()
	n.backups()
	n.aRestoredServer()
	n.theCertificate()
	n.theRest()
	n.nothingIsLeft()
}

func (n *night) whereToLookFirst() {
	n.t.Helper()
	n.open("Where to look first")
	n.gives(0, "sallyport status")
	n.shows("sallyport status")
	n.gives(1, "sallyport doctor") // one next hop is down
	n.shows("sallyport doctor", "clock:")
	n.leaves("nothing leaves this network", "doctor --outbound example.net")
	n.gives(1, "doctor --all", "(?m)^fine ")
	n.open("Every day, every week")
	n.gave("sallyport doctor")
	n.gives(0, "sallyport queue ls --held", "y@example.net")
	n.gives(0, "sallyport backup --to /backup", "wrote /backup/sallyport-mx.example.org-")
	n.gives(0, "sallyport trace --verify", "whole and unchanged")
	n.must("ls /var/lib/sallyport/trace/checkpoint")
	n.gave("sallyport restore")
	n.open("A change of the configuration")
	n.change("hostname", "hostnam")
	n.gives(1, "sallyport check", "sallyport.toml:1.*hostnam")
	n.gives(1, "sallyport reload", "sallyport.toml:1.*hostnam")
	n.change("hostnam ", "hostname ")
	n.gives(0, "sallyport check")
	n.gives(0, "sallyport reload")
	n.leaves("a rehearsal takes a minute and a half of the machine, and has tests of its own", "sallyport drill")
	n.open("Why something is refused", "ADDRESS", "carl@remote.test")
	n.gives(0, "sallyport trace ADDRESS", "carl@remote.test")
	n.gives(0, "sallyport check --explain 'client=192.0.2.7 from=x@example.net to=sales@example.org'", "(?m)^answer: 550 5.1.1 ")
	n.gives(0, "sallyport check --explain 'auth=alice@example.org from=sales@example.org to=x@example.net'", "(?m)^answer: 553 5.7.1 ")
}

func (n *night) whereIsThatMessage(relayed, refused string) {
	n.t.Helper()
	bounce := ""
	eventually(n.t, "the bounce is there", func() bool {
		bounce, _ = n.sh(`grep -rl 'Final-Recipient' /var/lib/sallyport/mail/example.org/alice/new`)
		return bounce != ""
	})
	n.must("cp " + strings.TrimSpace(bounce) + " bounce.eml")
	n.open("Where is that message?", "06h188v4gch90q0f3dp4nekg", relayed, "198.51.100.0/24", "127.0.0.0/24")
	n.gives(0, "sallyport trace carl@remote.test --since 48h", relayed, "delivered")
	n.gives(0, "sallyport trace 06h188v4gch90q0f3dp4nekg", "carl@remote.test")
	n.gives(0, "sallyport trace ip:198.51.100.0/24", "alice@example.org")
	n.gives(1, "sallyport trace envid:QQ314159", "nothing is known about that")
	n.leaves("it names an option of those who send", "sallyport sendmail -V")
	n.gives(0, "sallyport trace < bounce.eml", refused, "ghost@remote.test")
	n.gives(1, "sallyport trace --kind ALARM --since 7d", "nothing is known about that")
	n.gives(1, "sallyport trace --rule relay-denied --since 1h --until 30m", "nothing is known about that")
	n.gives(0, "sallyport trace alice@example.org --kind sign-in --limit 20", "signed in alice@example.org")
	n.gives(0, "sallyport trace alice@example.org --kind accepted --limit 20 --oldest-first", "(?s)carl@example.net.*carl@remote.test")
	n.gives(0, "sallyport trace --summary --since 24h", `alice@example\.org +\d+`)
	n.gives(0, "sallyport sessions")
	n.says(`"Nothing is known about that" with exit code 1`)
}

func (n *night) theQueueGrows(sink *sink, waiting string) {
	n.t.Helper()
	n.open("The queue grows", "06h188v4gch90q0f3dp4nekg", waiting, "--older-than 24h", "--older-than 1ms", "DOMAIN", "example.net", "ID", waiting)
	n.says("`connection refused`")
	n.gives(0, "sallyport queue ls --by destination", "example.net")
	n.gives(0, "sallyport queue ls --by account", "alice@example.org", "shop@example.org")
	n.gives(0, "sallyport queue ls --no-held --older-than 1h --limit 20")
	n.gives(0, "sallyport queue show 06h188v4gch90q0f3dp4nekg", "connection refused", "carl@example.net")
	n.gives(1, "sallyport doctor --outbound DOMAIN")
	n.gives(0, "queue show ID --headers", "Subject: ")
	n.says("`--raw > message.eml`")
	n.must("sallyport queue show " + waiting + " --raw > message.eml && grep -q 'Subject: ' message.eml")
	n.gives(0, "sallyport queue rm --sender shop@example.org --older-than 24h --dry-run")
	n.shows("sallyport queue rm --sender shop@example.org --older-than 24h --dry-run")
	n.gives(0, `sallyport queue rm --sender shop@example.org --older-than 24h --reason "wrong newsletter"`, "2 messages")
	// Only as a forward that an account owns.
	outside := "sallyport queue redirect ID bob@elsewhere.example --forward-of bob@example.org"
	n.gives(1, outside, "forward")
	n.must("sallyport forward add bob@example.org bob@elsewhere.example")
	n.gives(0, outside)
	eventually(n.t, "it left as a forward", func() bool { return sink.has("bob@elsewhere.example") })
	n.words = append(n.words, "ID", "")
	again := n.sends("alice@example.org", "dora@example.net")
	n.words = []string{"ID", again}
	n.gives(0, `sallyport queue redirect ID bob@example.org --reason "he took over her mail"`)
	// The cause is gone.
	third := n.sends("alice@example.org", "emil@example.net")
	eventually(n.t, "it was tried", func() bool {
		out, _ := n.sh("sallyport queue show " + third)
		return strings.Contains(out, "connection refused")
	})
	back := listen(n.t, "127.0.0.1:2699")
	n.gives(0, "sallyport queue retry --domain example.net", "messages? due now")
	eventually(n.t, "what waited leaves", func() bool { return back.has("emil@example.net") })
	back.close()
	eventually(n.t, "the queue is empty but for what is held", func() bool {
		out, _ := n.sh("sallyport queue ls --no-held")
		return strings.Contains(out, "empty") || !strings.Contains(out, "example.net")
	})
}

func (n *night) mailIsHeld() {
	n.t.Helper()
	id := n.sends("alice@example.org", "fred@example.net")
	n.must("sallyport queue hold " + id + " --reason 'ask me'")
	n.open("Mail is held", "ID", id, "DOMAIN", "example.net", "ADDRESS", "bob@example.org")
	n.gives(0, "sallyport queue ls --held", id)
	n.gives(0, "sallyport queue show ID", "because .*ask me")
	n.says("held with its account")
	n.gives(0, "queue release ID")
	n.must("sallyport queue hold " + id)
	n.gives(0, "sallyport queue show ID", "because .*held by an operator")
	n.gives(0, "queue release --domain DOMAIN")
	n.gives(0, "queue redirect ID ADDRESS")
	n.words[1] = n.sends("alice@example.org", "gina@example.net")
	n.gives(0, "queue rm ID")
	n.words[5] = "mallory@example.org"
	n.gives(0, "queue rm --account ADDRESS", "1 message")
	n.sends("alice@example.org", "gina@example.net")
	n.gives(0, "queue rm --domain DOMAIN", "1 message")
}

// refusedAsARelay is what a stranger tries.
func (n *night) refusedAsARelay() {
	n.t.Helper()
	c := dial(n.t, "192.0.2.1:25")
	defer c.Close()
	must(n.t, c.Mail("stranger@remote.test"))
	if err := c.Rcpt("victim@elsewhere.test"); err == nil || !strings.Contains(err.Error(), "5.7.1 relaying denied") {
		n.t.Errorf("a stranger is told %v", err)
	}
}

var queuedAs = regexp.MustCompile(`queued as (\w+)`)

// sends signs in as a sender and returns the queue id of the message.
func (n *night) sends(from string, to ...string) string {
	n.t.Helper()
	id, err := n.tries(from, "hello", to...)
	must(n.t, err)
	return id
}

// tries sends a message, which may be refused.
func (n *night) tries(from, text string, to ...string) (id string, err error) {
	n.t.Helper()
	c := dial(n.t, "127.0.0.1:587")
	defer c.Close()
	if err := signIn(c, from); err != nil {
		return "", err
	}
	if err := c.Mail(from); err != nil {
		return "", err
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return "", err
		}
	}
	answer, err := c.data(fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: hello\r\n\r\n%s\r\n", from, to[0], text))
	if err != nil {
		return "", err
	}
	m := queuedAs.FindStringSubmatch(answer)
	if m == nil {
		return "", fmt.Errorf("the answer is %q", answer)
	}
	return m[1], nil
}
