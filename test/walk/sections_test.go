package walk

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// theServerDoesNotRun brings about what the page lists as reasons, and looks for its words.
func (n *night) theServerDoesNotRun() {
	n.t.Helper()
	n.open("The server does not run")
	n.says("`not running`")
	n.gives(0, "sallyport status", "not running")
	n.gives(0, "sallyport check")
	n.gives(0, "ss -ltnp")
	n.gave("sallyport serve") // below
	// Another program has the port.
	ln, err := net.Listen("tcp", "192.0.2.1:25")
	must(n.t, err)
	n.starts("address already in use; another program listens there")
	must(n.t, ln.Close())
	// A key that is open to others.
	keys, err := filepath.Glob(n.path("/var/lib/sallyport/keys/*"))
	must(n.t, err)
	if len(keys) == 0 {
		n.t.Fatal("there are no keys")
	}
	must(n.t, os.Chmod(keys[0], 0o644))
	n.starts("is open to others than its owner (mode 0644)")
	n.says("chmod 600")
	must(n.t, os.Chmod(keys[0], 0o600))
	must(n.t, os.Rename(n.path("/var/lib/sallyport/keys"), n.path("/var/lib/sallyport/gone")))
	n.starts("is missing, but the store is not new")
	must(n.t, os.RemoveAll(n.path("/var/lib/sallyport/keys")))
	must(n.t, os.Rename(n.path("/var/lib/sallyport/gone"), n.path("/var/lib/sallyport/keys")))
	n.leaves("no process hangs here", "fuser -v DATA/store/lock")
	// An older program on a newer folder.
	format := n.read("/var/lib/sallyport/format")
	n.write("/var/lib/sallyport/format", strings.Replace(format, "format ", "format 9", 1))
	n.starts("the data folder is of a newer format")
	n.write("/var/lib/sallyport/format", format)
	// Somebody else.
	n.says("only root and the user whom DATA belongs to may do this")
	if out, code := n.sh("chmod 644 /etc/sallyport/key.pem; setpriv --reuid 65534 --clear-groups sallyport status"); code == 0 || !strings.Contains(out, "only root and the user whom /var/lib/sallyport belongs to may do this") {
		n.t.Errorf("somebody else is told %d, %s", code, out)
	}
	must(n.t, os.Chmod(n.path("/etc/sallyport/key.pem"), 0o600))
}

// gave is for a command that is given elsewhere, in a state like that of the section.
func (n *night) gave(command string) { n.t.Helper(); n.says(command) }

// starts tries to start the server, which has to say why it does not.
func (n *night) starts(words string) {
	n.t.Helper()
	n.says(words)
	out, code := n.sh("timeout 60 sallyport serve")
	if code != 1 || !strings.Contains(out, words) {
		n.t.Errorf("sallyport serve: exit code %d, and not %q in\n%s", code, words, out)
	}
}

func (n *night) forwards(sink *sink) {
	n.t.Helper()
	n.open("A forward fails, or mail stays", "ACCOUNT", "bob@example.org", "sallyport forward rm", "sallyport forward rm bob@example.org bob@elsewhere.example")
	n.sends("alice@example.org", "bob@example.org")
	eventually(n.t, "it was sent on", func() bool {
		out, _ := n.sh("sallyport trace bob@example.org")
		return strings.Contains(out, "forward-relay")
	})
	n.says("forward-relay")
	n.gives(0, "trace ACCOUNT", "forward-relay")
	n.gives(0, "sallyport trace ACCOUNT", "forward-relay")
	n.gives(0, "sallyport forward rm")
	n.open("Mail is refused or put off by its content", "ADDRESS", "alice@example.org")
	n.gives(0, "sallyport trace ADDRESS")
	n.open("Bounces of mail that we never sent")
	if len(n.at.blocks) != 1 {
		n.t.Fatal("the section has no configuration to paste")
	}
	before := n.read("/etc/sallyport/sallyport.toml")
	n.write("/etc/sallyport/sallyport.toml", before+n.at.blocks[0])
	n.must("sallyport check")
	n.gives(0, "sallyport reload")
	n.sends("alice@example.org", "signed@remote.test")
	eventually(n.t, "it left", func() bool { return sink.has("signed@remote.test") })
	n.gives(0, "sallyport status", "(?i)bounce")
	n.leaves("it is about a bounce that was refused", "sallyport trace")
	n.write("/etc/sallyport/sallyport.toml", before)
	n.must("sallyport reload")
}

func (n *night) behindUs() {
	n.t.Helper()
	n.change("[domain.\"example.org\"]", "[domain.\"behind.test\"]\ndeliver = \"smtp://127.0.0.1:9\"\n[domain.\"example.org\"]")
	n.must("sallyport reload")
	c := dial(n.t, "192.0.2.1:25")
	must(n.t, c.Mail("stranger@remote.test"))
	n.open("A server behind us does not answer", "ADDRESS", "alice@behind.test")
	n.says("451 4.3.0 the directory cannot tell now; try again later")
	if err := c.Rcpt("alice@behind.test"); err == nil || !strings.Contains(err.Error(), "4.3.0 the directory cannot tell now; try again later") {
		n.t.Errorf("a stranger is told %v", err)
	}
	_ = c.Close()
	n.says("directory-unavailable")
	n.gives(0, "sallyport trace ADDRESS", "directory-unavailable")
	n.gives(1, "sallyport doctor")
	n.shows("sallyport doctor")
	behind := listen(n.t, "127.0.0.1:9")
	eventually(n.t, "it is asked again", func() bool {
		c := dial(n.t, "192.0.2.1:25")
		defer c.Close()
		must(n.t, c.Mail("stranger@remote.test"))
		return c.Rcpt("alice@behind.test") == nil
	})
	n.gives(0, "sallyport queue retry --domain behind.test")
	n.gives(0, "sallyport callout ls", "alice@behind.test")
	n.gives(0, "sallyport callout forget alice@behind.test")
	behind.close()
	n.open("A route gets no token")
	n.leaves("no route here signs in with a token", "sallyport doctor")
	n.gives(0, "sallyport queue retry --domain example.net")
}

func (n *night) programs() {
	n.t.Helper()
	n.open("A program of this host cannot send", "ACCOUNT", "alice@example.org")
	n.gave("sallyport sendmail")
	out, code := n.sh("printf 'To: you@remote.test\\n\\nhello\\n' | SALLYPORT_SENDMAIL=/run/sallyport/sendmail.sock sallyport sendmail you@remote.test")
	n.says("77 not allowed")
	if code != 77 {
		n.t.Errorf("a program without an account: %d, %s", code, out)
	}
	n.gives(0, "namei -l /run/sallyport/sendmail.sock", "sendmail.sock")
	n.gives(0, "ss -xlp | grep sendmail.sock", "sendmail.sock")
	n.gives(0, "sallyport trace ACCOUNT")
	n.gave("sallyport doctor")
	n.open("A mail program cannot sign in")
	c := dial(n.t, "127.0.0.1:587")
	if err := signIn(c, "nobody@example.org"); err == nil || !strings.Contains(err.Error(), "535") {
		n.t.Errorf("nobody is told %v", err)
	}
	_ = c.Close()
	n.gives(0, "sallyport trace alice@example.org --kind sign-in --since 1h", "signed in alice@example.org")
	n.words = []string{"show", "show alice@example.org"}
	n.gives(0, "sallyport account show")
}

func (n *night) mailboxes() {
	n.t.Helper()
	n.open("A mailbox looks wrong")
	n.sends("shop@example.org", "alice@example.org")
	n.must("for i in $(seq 100); do sallyport mailbox ls | grep -q alice@example.org && exit 0; sleep 0.1; done; exit 1")
	n.gives(0, "sallyport mailbox ls", `alice@example\.org +1 +[1-9]`)
	n.gives(0, "sallyport mailbox show alice@example.org", "INBOX +- +[1-9]")
	n.gives(0, "sallyport mailbox verify", "(is|are) sound")
	n.must("printf x | dd of=/var/lib/sallyport/mail/example.org/alice/sallyport/index bs=1 seek=12 conv=notrunc")
	n.gives(1, "sallyport mailbox verify alice@example.org", "sallyport/index is damaged")
	n.gives(0, "sallyport mailbox rebuild alice@example.org", "INBOX: [1-9][0-9]* messages?, 0 with a new UID; it was damaged: sallyport/index is damaged")
	n.says("`the index of a mailbox is damaged`")
	n.moving()
}

// moving moves mail into a mailbox, out of it, and back out of a backup.
func (n *night) moving() {
	n.t.Helper()
	n.open("Mail moves in")
	n.leaves("there is no other server here; test/moving moves from a Dovecot",
		"sallyport mailbox import alice@example.org imaps://old.example.org --password-file /root/alice.pw --dry-run",
		"sallyport mailbox import alice@example.org imaps://old.example.org --password-file /root/alice.pw")
	n.must("mkdir -p /srv/old/cur /srv/old/.Invoices/cur && printf 'Subject: a letter of the tax office\nMessage-ID: <1234@example.net>\n\nx\n' | tee /srv/old/cur/1700000000.M1.old:2,S > /srv/old/.Invoices/cur/1700000001.M1.old:2,")
	n.must("printf 'From a@example.net Sun Nov 29 15:04:05 2009\nSubject: b\n\nb\n' > /srv/spool")
	n.words = []string{"/home/alice/Maildir", "/srv/old", "/var/mail/alice", "/srv/spool"}
	n.gives(0, "sallyport mailbox import alice@example.org /home/alice/Maildir", "2 messages came")
	n.gives(0, "sallyport mailbox import alice@example.org /var/mail/alice --into 'Old mail'", "1 message came")
	n.gives(0, "sallyport mailbox ls", `alice@example\.org`)
	n.open("Mail comes back, or goes elsewhere")
	n.must("mkdir -p /srv/export && sallyport backup --to /srv/night.tar.zst && rm -r /var/lib/sallyport/mail/example.org/alice/.Invoices")
	n.words = []string{"/backup/sallyport-….tar.zst", "/srv/night.tar.zst"}
	for command, want := range map[string]string{
		" --dry-run":                            "1 message would come",
		" --folder Invoices --since 2026-01-01": "1 message",
		" --message-id '<1234@example.net>'":    "1 message",
		" --search 'tax office'":                "still in the folder",
	} {
		n.gives(0, "sallyport mailbox restore alice@example.org --from /backup/sallyport-….tar.zst"+command, want)
	}
	n.gives(0, "sallyport mailbox export alice@example.org /srv/export/alice", "wrote /srv/export/alice")
	n.gives(0, "sallyport mailbox export alice@example.org /srv/export/alice.tar --format tar", "wrote")
	n.gives(0, "sallyport mailbox export alice@example.org /srv/export/alice-mbox --format mbox", "wrote")
	n.must("rm -r /srv/*")
	n.full()
}

// full is a mailbox that holds more than it may.
func (n *night) full() {
	n.t.Helper()
	n.must("sallyport account set alice@example.org --quota-messages 1")
	n.open("A mailbox is full")
	n.gives(0, "sallyport mailbox ls", `alice@example\.org .* 1 message`)
	n.gives(0, "sallyport status", "alice@example.org")
	n.must("(sallyport doctor || true) | grep alice@example.org")
	n.says("sallyport doctor")
	n.says("sallyport trace alice@example.org")
	n.gives(0, "sallyport account set alice@example.org --quota 10GiB", "may hold 10 GiB")
	n.gives(0, "sallyport mailbox verify", "(is|are) sound")
	n.must("sallyport account set alice@example.org --quota default --quota-messages default")
}

func (n *night) people() {
	n.t.Helper()
	n.must("echo " + password + " | sallyport account add leaver@example.org --password-stdin && sallyport alias add old@example.org leaver@example.org")
	n.open("Who may ask, and no more")
	n.leaves("a script of the commands gives them as a member of such a group", "sallyport trace", "sallyport queue ls", "sallyport queue show", "sallyport status")
	n.gives(0, "sallyport trace --kind ask", "the message was read", "by uid")
	n.open("A change of domains, aliases or people", "ALIAS", "old@example.org", "ADDRESS", "leaver@example.org")
	n.gives(0, "sallyport account freeze ADDRESS")
	n.gives(0, "sallyport account rm ADDRESS", "old@example.org")
	n.gives(0, "sallyport alias rm ALIAS ADDRESS")
	n.must("sallyport account add dora@example.org --generate")
	n.words = []string{"alice@", "dora@", "alice.smith@", "dora.smith@"}
	n.gives(0, "sallyport account rename alice@example.org alice.smith@example.org --keep-alias", "dora.smith@example.org")
	n.must("sallyport account rm dora.smith@example.org")
	n.open("A password for each device")
	n.gives(0, "sallyport account app add alice@example.org phone")
	n.gives(0, "sallyport account app add scans@example.org scanner --scope send --network 192.0.2.0/28")
	n.gives(0, "sallyport account app ls alice@example.org", "phone")
	n.gives(0, "sallyport account app rm alice@example.org phone")
	n.gives(0, "sallyport account sign-in alice@example.org app")
	n.must("sallyport account sign-in alice@example.org any")
	n.open("Signatures (DKIM)")
	n.gives(0, "sallyport dkim ls")
	n.gives(1, "sallyport dkim check example.org") // nobody published them
	n.gives(0, "sallyport dkim rotate example.org", "_domainkey")
}

func (n *night) limits() {
	n.t.Helper()
	n.open("An account reaches its limit of recipients", "--role bulk", "--role bulk --generate") // it asks on a terminal
	n.must("sallyport account set scans@example.org --recipients-hour 1")
	n.sends("scans@example.org", "one@remote.test")
	_, err := n.tries("scans@example.org", "more", "two@remote.test")
	n.says("`451 4.7.1 this account has reached its limit of 300 recipients an hour (recipients-hour); try again in 12 minutes`")
	if err == nil || !strings.Contains(err.Error(), "4.7.1 this account has reached its limit of 1 recipients an hour (recipients-hour); try again in ") {
		n.t.Errorf("the person reads %v", err)
	}
	n.says("is capped")
	n.gives(0, "sallyport status", "is capped")
	n.gives(0, "sallyport trace capped", "scans@example.org")
	n.gives(0, "sallyport account show alice@example.org")
	n.gives(0, "sallyport account set alice@example.org --recipients-hour 800 --recipients-day 2000")
	n.gives(0, "account add news@example.org --role bulk")
	n.gives(0, "sallyport account add scanner@example.org --recipients-hour 20 --recipients-day 100 --generate")
}

func (n *night) contained() {
	n.t.Helper()
	stolen := n.sends("alice@example.org", "victim@example.net")
	n.open("A stolen account")
	n.gives(0, `sallyport account freeze alice@example.org --reason "sends spam"`)
	n.gives(0, "sallyport queue ls --account alice@example.org", stolen)
	n.open("An account is contained", " 7", " 2", "incident-7", "incident-2", "ID", stolen, "ip:ADDRESS", "ip:127.0.0.1")
	n.gives(0, "sallyport incident ls --open", "alice@example.org")
	var number string
	for line := range strings.Lines(n.out) {
		if strings.Contains(line, "alice@example.org") {
			number = strings.Fields(line)[0]
		}
	}
	n.words[1], n.words[3] = " "+number, "incident-"+number
	n.gives(0, "sallyport incident show 7", "sends spam")
	n.gives(0, "sallyport account passwd alice@example.org --generate")
	n.gives(0, "sallyport incident export 7 --to incident-7.zip", "signed")
	n.must("test -s incident-" + number + ".zip")
	n.gives(0, "sallyport trace ip:ADDRESS")
	n.gives(0, "sallyport account show bob@example.org")
	n.leaves("it is given with an address", "sallyport account show")
	n.words = append(n.words, "ADDRESS", "scans@example.org")
	n.gives(0, "sallyport account freeze ADDRESS")
	n.must("sallyport account thaw scans@example.org")
	n.gives(0, "sallyport account set alice@example.org --notify alice@home.example")
	n.leaves("no registry of networks answers in here", "whois 192.0.2.7")
	n.open("A stolen account", " 7", " "+number)
	n.gives(0, "sallyport incident purge 7 --all")
	n.must("sallyport queue ls --account alice@example.org --json | { ! grep -q " + stolen + "; }")
	// Once more, and it was the owner.
	n.must("echo " + password + "-2 | sallyport account passwd alice@example.org --password-stdin")
	n.open("An account is contained")
	n.leaves("the other two ends of an incident, of which one was tried",
		"sallyport incident release 7 --message ID", "sallyport incident purge 7",
		"sallyport queue release ID", "sallyport status")
	n.gave("sallyport doctor")
	n.must("sallyport account freeze bob@example.org --reason again")
	out := n.must("sallyport incident ls --open")
	n.words = []string{" 7", " " + strings.Fields(out[strings.LastIndex(out[:strings.Index(out, "bob@example.org")], "\n")+1:])[0]}
	n.gives(0, "sallyport incident release 7 --false-alarm --all")
	n.must("sallyport account freeze bob@example.org --reason again")
	n.open("A stolen account", "alice@", "bob@")
	n.gives(0, "sallyport account thaw alice@example.org")
	n.open("Somebody guesses passwords", "NETWORK", "127.0.0.0/24")
	n.guessed("alice@example.org")
	n.gives(0, "sallyport status", `somebody guesses the password of alice@example\.org: \d+ wrong passwords? and \d+ refused attempts?`)
	n.gives(0, "sallyport account show alice@example.org", "being guessed at", `attempts? from 127\.0\.0\.0/24`)
	n.gives(0, "sallyport trace ip:NETWORK", "signed in")
	n.leaves("they take ways to sign in from the account, and are tried by the page that they are from",
		"sallyport account app add", "sallyport account sign-in ADDRESS app")
	n.open("A route gets no token")
	n.gave("sallyport doctor")
	n.leaves("no route of this server signs in with a token; test/cloud has one whose tokens fail", "sallyport queue retry --domain example.net")
	n.open("Connections are turned away")
	n.gave("sallyport doctor")
	n.leaves("it names a socket", "sallyport sendmail")
	n.gives(1, "sallyport trace --rule proxy-header", "nothing is known about that")
}

// guessed tries wrong passwords until one is refused unread, and waits until people are told.
func (n *night) guessed(who string) {
	n.t.Helper()
	for try := 0; ; try++ {
		c := dial(n.t, "127.0.0.1:587")
		must(n.t, c.StartTLS(&tls.Config{InsecureSkipVerify: true}))
		err := c.Auth(smtp.PlainAuth("", who, fmt.Sprintf("wrong %d", try), "127.0.0.1"))
		_ = c.Close()
		if err == nil || try == 20 {
			n.t.Fatalf("wrong passwords of %s are judged without end, the last: %v", who, err)
		}
		if strings.HasPrefix(err.Error(), "454") {
			break
		}
	}
	eventually(n.t, "people are told who is being guessed at", func() bool {
		return strings.Contains(n.must("sallyport account show "+who), "being guessed at")
	})
}

// theDiskIsFull fills it, follows the page, and wants mail to be taken again.
func (n *night) theDiskIsFull() {
	n.t.Helper()
	n.open("The disk is full", "DATA", "/var/lib/sallyport")
	var st syscall.Statfs_t
	must(n.t, syscall.Statfs(n.path("/var/lib/sallyport"), &st))
	filler := int64(st.Bavail)*st.Bsize - 8<<20
	n.must(fmt.Sprintf("fallocate -l %d /var/lib/sallyport/old.log", filler))
	n.says("`452 4.3.1 … try again later`")
	eventually(n.t, "new mail is put off", func() bool {
		_, err := n.tries("shop@example.org", "hello", "bob@example.org")
		return err != nil && strings.Contains(err.Error(), "4.3.1 ") && strings.Contains(err.Error(), "try again later")
	})
	eventually(n.t, "the log says so", func() bool { return strings.Contains(n.log.String(), "the disk is nearly full") })
	n.says("`the disk is nearly full`")
	n.must("sallyport trace --kind ALARM | grep -q disk-low")
	n.must("sallyport status | grep -q 'less than limits.min_free is free'")
	n.says("`disk-low`")
	n.gives(0, "df -h DATA; df -i DATA; du -xsh DATA/*", "old.log")
	n.gives(0, "sallyport queue ls --json | jq -r 'select(.size > 10000000) | .id'")
	n.must("sallyport account freeze scans@example.org --reason 'on a full disk'")
	n.says("less than the reserve and 96 MiB is free")
	if out, code := n.sh("sallyport backup --to /backup/low.tar.zst"); code != 1 || !strings.Contains(out, "less than the reserve and 96 MiB is free") {
		n.t.Errorf("backup, without room: %d, %s", code, out)
	}
	must(n.t, os.Remove(n.path("/var/lib/sallyport/old.log")))
	eventually(n.t, "mail is taken again", func() bool {
		_, err := n.tries("shop@example.org", "hello", "bob@example.org")
		return err == nil
	})
	n.gives(0, "sallyport queue retry --all")
	n.gives(0, "sallyport status", "running for")
	n.gave("sallyport backup")
}

func (n *night) backups() {
	n.t.Helper()
	must(n.t, os.MkdirAll(n.path("/other/disk"), 0o755))
	n.open("The disk fails")
	n.gives(0, "sallyport backup --to /other/disk/now.tar.zst", "manifest ")
	n.gives(0, "sallyport trace --verify", "whole and unchanged")
	n.must("rm -f /other/disk/*")
	n.open("The disk has damaged something")
	n.gives(0, "sallyport damage ls", "nothing is damaged")
	n.gives(0, "sallyport backup --to /other/disk/now.tar.zst", "manifest ")
	n.gives(0, "sallyport damage acknowledge --all", "acknowledged: 0")
	n.gives(0, "sallyport trace --verify", "whole and unchanged")
	n.gives(0, "sallyport status", "running for")
	n.must("rm -f /backup/*")
	n.open("Backup and restore")
	n.gives(0, "sallyport backup --to /backup")
	n.shows("sallyport backup --to /backup")
	file := strings.TrimSpace(n.must("ls /backup/*"))
	check := "zstd -dc FILE | tar -x -C DIR && cd DIR && sha256sum -c manifest.sha256"
	must(n.t, os.MkdirAll(n.path("/srv/plain"), 0o755))
	n.words = []string{"FILE", file, "DIR", "/srv/plain"}
	if out, _ := n.sh("command -v zstd"); out == "" {
		n.leaves("there is no zstd here", check)
	} else {
		n.gives(0, check, "OK")
	}
	n.must("rm -rf /srv/*")
	n.words = []string{"/backup/sallyport-….tar.zst", file}
	n.sends("shop@example.org", "waits@example.net")
	n.must("rm /backup/* && sallyport backup --to " + file)
	restore := "sallyport restore --from /backup/sallyport-….tar.zst --to /srv/restored --hold"
	n.gives(0, restore)
	n.shows(restore)
	n.gives(0, "sallyport incident ls", "(?m)^ *1 ")
	n.gives(0, "sallyport trace --kind account --since 14d", "frozen|contained|password")
	n.open("Upgrade and the way back")
	n.gives(0, "sallyport backup --to before-upgrade.tar.zst", "manifest ")
}

// aRestoredServer follows what restore printed, and the page about what was held.
func (n *night) aRestoredServer() {
	n.t.Helper()
	n.halt()
	n.must("sallyport check -c /srv/restored/sallyport.toml")
	n.must("sallyport queue ls -c /srv/restored/sallyport.toml | grep -q waits@example.net")
	n.open("Backup and restore")
	n.says("`queue release --all`")
	n.must("sallyport queue release --all -c /srv/restored/sallyport.toml")
	n.serve("sallyport serve", "192.0.2.1:25")
}

func (n *night) theCertificate() {
	n.t.Helper()
	n.open("The certificate")
	n.certificate(time.Now().AddDate(-2, 0, 0))
	n.says("out of its time never takes the place of a good one")
	n.gives(0, "sallyport check", "(?i)expired")
	n.gives(1, "sallyport reload", "(?i)expired")
	n.must("sallyport doctor > doctor.txt || true; grep -i 'certificate.*expired' doctor.txt")
	n.gives(0, "openssl s_client -starttls smtp -connect mx.example.org:25 -servername mx.example.org", "NotAfter: .* (2027|2028|2029|203)")
	n.certificate(time.Now().AddDate(0, 0, -1))
	n.gives(0, "sallyport check")
	n.gives(0, "sallyport reload")
	if len(n.at.blocks) != 1 {
		n.t.Fatal("the section has no configuration to paste")
	}
	tls := "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n"
	text := n.read("/etc/sallyport/sallyport.toml")
	if !strings.Contains(text, tls) {
		n.t.Fatal("no [tls] to be replaced")
	}
	n.write("/etc/sallyport/acme.toml", strings.Replace(text, tls, n.at.blocks[0], 1))
	n.must("sallyport check -c /etc/sallyport/acme.toml")
}

func (n *night) theRest() {
	n.t.Helper()
	n.open("Whom people wrote to before", "/var/log/mail.log*", "mail.log*", "/home/alice/Maildir/.Sent", "Sent")
	n.must(`mkdir -p Sent/cur && printf 'From: alice@example.org\nTo: known@remote.test\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n\nhello\n' > Sent/cur/1:2,S`)
	n.write("/root/night/known.txt", "alice@example.org listed@remote.test 2026-11-01\nbob@example.org: one@remote.test, two@remote.test\n")
	n.write("/root/night/mail.log", "2026-11-02T10:00:00+00:00 mx postfix/submission/smtpd[7]: 4B1C2D3E4F: client=c[192.0.2.9], sasl_method=PLAIN, sasl_username=alice@example.org\n"+
		"2026-11-02T10:00:00+00:00 mx postfix/qmgr[7]: 4B1C2D3E4F: from=<alice@example.org>, size=9, nrcpt=1 (queue active)\n"+
		"2026-11-02T10:00:01+00:00 mx postfix/smtp[7]: 4B1C2D3E4F: to=<logged@remote.test>, relay=r[192.0.2.8]:25, delay=1, dsn=2.0.0, status=sent (250 ok)\n")
	n.gives(0, "sallyport learn log /var/log/mail.log*", "alice@example.org")
	n.gives(0, "sallyport learn maildir /home/alice/Maildir/.Sent", "alice@example.org")
	n.gives(0, "sallyport learn list known.txt", "bob@example.org")
	n.open("Moving to another machine")
	n.leaves("make systemd moves under a booted systemd", "sallyport doctor")
	n.open("The DNS", "ADDRESS", "127.0.0.1")
	n.leaves("dig is no part of what the tests install", "dig SOA . @ADDRESS", "dig MADE-UP.com @ADDRESS", "time dig MX example.org @ADDRESS")
	n.gave("sallyport doctor")
	n.open("We are on a blocklist")
	n.gave("sallyport doctor")
	n.gave("sallyport trace")
	n.gives(0, "sallyport queue ls --json | jq -r '.recipients[].last' | sort | uniq -c | sort -rn | head", "connection refused")
	n.gives(0, "queue hold --domain example.net", "1 message")
	n.open("The trace, and an alarm", "ID", n.sends("shop@example.org", "last@remote.test"))
	n.gives(0, "sallyport trace --verify", "the log is whole and unchanged")
	n.gives(0, "sallyport trace alice@example.org", "frozen")
	n.gives(0, "sallyport trace ID", "last@remote.test")
	n.gives(0, "sallyport trace backup", "backed up")
}
