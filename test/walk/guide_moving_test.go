package walk

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sallyport/test/guide"
)

const movingsZone = nightsZone + "old.example.org. 300 IN A 127.0.0.1\n"

// mbox is a file with so many letters about something.
func mbox(about string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b,
			"From a@old.test Fri Jan  2 03:04:%02d 2004\nFrom: a@old.test\nSubject: %[2]s %[1]d\nMessage-ID: <%[2]s%[1]d@old.test>\nStatus: RO\n\n>From here on\n\n",
			i, about)
	}
	return b.String()
}

// old is Debian's Dovecot as it is installed, on the host old.example.org, with users of that host.
func (f *follower) old(people ...string) {
	f.t.Helper()
	for _, p := range []string{"/usr/sbin/dovecot", "/usr/lib/dovecot/imap", "/usr/sbin/useradd", "/etc/pam.d/dovecot"} {
		if _, err := os.Stat(f.path(p)); err != nil {
			f.t.Skipf("%s is not there: scripts/install-test-tools", p)
		}
	}
	for _, who := range people {
		f.must(fmt.Sprintf("useradd -m -g mail %[1]s && echo '%[1]s:%[2]s' | chpasswd", who, password))
		f.write("/var/mail/"+who, mbox(who, 3))
		f.write("/home/"+who+"/mail/Sent Items", mbox("sent", 2))
		f.write("/home/"+who+"/mail/Lists", mbox("list", 1))
		f.must(fmt.Sprintf("chown -R %[1]s:mail /home/%[1]s /var/mail/%[1]s && chmod 600 /var/mail/%[1]s", who))
	}
	f.trusted("mx.example.org", "old.example.org")
	f.must("cp --remove-destination /etc/sallyport/cert.pem /etc/dovecot/private/dovecot.pem && cp --remove-destination /etc/sallyport/key.pem /etc/dovecot/private/dovecot.key")
	f.dovecot("")
}

// unpunished lets who failed try again at once, which is not what is tried.
const unpunished = "auth_failure_delay = 0\nservice anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"

// dovecot runs it with a local.conf, and ends the one before.
func (f *follower) dovecot(local string) {
	f.t.Helper()
	if f.other != nil {
		f.other()
	}
	f.write("/etc/dovecot/local.conf", local+"log_path = /tmp/dovecot.log\n"+unpunished)
	cmd := f.command("exec dovecot -F")
	must(f.t, cmd.Start())
	f.other = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		f.other = nil
	}
	f.t.Cleanup(func() {
		if f.other != nil {
			f.other()
		}
		if text, _ := os.ReadFile(f.path("/tmp/dovecot.log")); f.t.Failed() {
			f.t.Logf("Dovecot says:\n%s", text[max(0, len(text)-4000):])
		}
	})
	eventually(f.t, "Dovecot answers", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:993")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// holds wants so many messages in a folder of a mailbox here; "" is the INBOX.
func (f *follower) holds(who, folder string, n int) {
	f.t.Helper()
	local, domain, _ := strings.Cut(who, "@")
	var all []string
	for _, sub := range []string{"cur", "new"} {
		files, err := filepath.Glob(f.path("/var/lib/sallyport/mail/" + domain + "/" + local + "/" + folder + "/" + sub + "/*"))
		must(f.t, err)
		all = append(all, files...)
	}
	if len(all) != n {
		f.t.Errorf("%s has %d messages in %q, not %d", who, len(all), folder, n)
	}
}

// The guide to moving mail in: from Debian's Dovecot with the users of its host, then from files.
func TestGuideMovingIn(t *testing.T) {
	f := follow(t, guide.Open(t, "moving-in.md"), movingsZone, least)
	f.doc.EveryCommand(nil)
	f.old("alice", "bob", "carol")
	f.write("/root/alice.pw", password+"\n")
	f.serve("sallyport serve", "127.0.0.1:25")
	f.typed(f.doc.Command("sallyport account add alice@example.org"), password)
	way := strings.Split(strings.TrimSpace(f.doc.Block("", 0)), "\n")
	if len(way) != 2 || !strings.HasSuffix(way[0], " --dry-run") {
		t.Fatalf("the way is %q", way)
	}
	look, move := way[0], way[1]
	f.doc.Says("Where that server's users are plain names, as those of Debian's Dovecot are, say it: `imaps://alice@old.example.org`.")
	f.gives(1, look, "does not let in alice@example.org")
	plain := guide.Replaced(t, look, "imaps://old.example.org", "imaps://alice@old.example.org")
	f.doc.Says("`--dry-run` lists every folder of the other side, what it becomes here, and how much is in it")
	f.gives(0, plain, "INBOX .*3", "Sent Items +Sent .*2", "Lists .*1")
	f.holds("alice@example.org", "", 0)
	f.dovecot("auth_username_format = %Ln\n") // their names are whole addresses from now on
	f.gives(0, move, "6 messages came")
	f.doc.Says("each message comes once")
	f.gives(0, move, "0 messages came.* 6 messages known from before")
	f.doc.Says("it brings what came to the old server since")
	f.must("cat >> /var/mail/alice <<'END'\n" + mbox("later", 1) + "END")
	f.gives(0, move, "1 message came")
	f.holds("alice@example.org", "", 4)
	f.holds("alice@example.org", ".Sent", 2)
	f.holds("alice@example.org", ".Lists", 1)
	f.ways(plain)
	f.masters()
	f.files()
	f.folders(move)
	f.gives(0, f.doc.Command("sallyport domain add example.net"), "example.net is ours")
	f.gives(0, f.doc.Command("sallyport alias add sales@example.net alice@example.org"), "sales@example.net leads to alice@example.org")
	f.must("openssl genrsa -out mail2023.private 2048")
	f.gives(0, f.doc.Command("sallyport dkim import example.net mail2023 mail2023.private"), "mail2023")
	f.gives(0, f.doc.Command("sallyport mailbox export")+" alice@example.org out --format mbox && test -s out/INBOX.mbox")
}

// ways are the sentences about TLS and passwords.
func (f *follower) ways(plain string) {
	f.t.Helper()
	f.doc.Says("`imaps://` is TLS from the first octet (port 993), `imap://` is STARTTLS (143) or nothing")
	f.gives(0, strings.Replace(plain, "imaps://", "imap://", 1))
	f.must("cp /etc/ssl/certs/ca-certificates.crt /root/old-ca.pem && : > /etc/ssl/certs/ca-certificates.crt")
	f.doc.Says("one that is signed by nobody whom this machine knows is named with its fingerprint, to be believed with `--fingerprint`, or by its authority with `--ca`")
	told := f.gives(1, plain, "--fingerprint [0-9a-f]{64}")
	f.gives(0, plain+" "+regexp.MustCompile("--fingerprint [0-9a-f]{64}").FindString(told))
	f.gives(1, plain+" --fingerprint "+strings.Repeat("0", 64))
	f.gives(0, plain+" --ca /root/old-ca.pem")
	f.must("cp /root/old-ca.pem /etc/ssl/certs/ca-certificates.crt")
	f.doc.Says("`--no-tls` speaks in the clear")
	f.gives(0, strings.Replace(plain, "imaps://", "imap://", 1)+" --no-tls")
	f.doc.Says("A password is read from a file (`--password-file`), from standard input (`--password-stdin`) or at the terminal")
	f.gives(0, "sallyport mailbox import alice@example.org imaps://old.example.org --user alice --password-stdin --dry-run < /root/alice.pw")
	f.must("(sleep .5; echo " + password + ") | script -qec 'sallyport mailbox import alice@example.org imaps://alice@old.example.org --dry-run' /dev/null")
}

// masters is the guide's way for many people at once.
func (f *follower) masters() {
	f.t.Helper()
	f.write("/root/mover.pw", "the password of the mover\n")
	f.doc.Says("and in `/etc/dovecot/masters` a line `mover:{SHA512-CRYPT}$6$…`, which `doveadm pw -s SHA512-CRYPT` makes")
	out := f.typed("doveadm pw -s SHA512-CRYPT", "the password of the mover")
	hash := regexp.MustCompile(`\{SHA512-CRYPT\}\$6\$\S+`).FindString(out)
	f.write("/etc/dovecot/masters", "mover:"+hash+"\n")
	f.dovecot(f.doc.Block("", 1))
	for _, who := range []string{"bob", "carol"} {
		f.must("sallyport account add " + who + "@example.org --generate")
	}
	loop := f.doc.Block("", 2)
	f.doc.Says("What came is remembered by the name of the server and the name of the mailbox there: keep to one form of both, or everything comes twice.")
	if out := f.gives(0, loop); strings.Contains(out, "look above") || strings.Count(out, "6 messages came") != 2 || !strings.Contains(out, "7 messages came") {
		f.t.Errorf("the loop says\n%s", out)
	}
	f.holds("carol@example.org", ".Sent", 2)
	f.dovecot(f.doc.Block("", 1) + "auth_username_format = %Ln\n")
	f.doc.Says("Where the other server has whole addresses as names, write `--as $who@example.org`.")
	if out := f.gives(0, guide.Replaced(f.t, loop, "--as $who ", "--as $who@example.org ")); strings.Count(out, "0 messages came") != 1 || strings.Count(out, "6 messages came") != 2 {
		f.t.Errorf("the loop says\n%s", out)
	}
	f.must("rm /etc/dovecot/masters")
	f.dovecot("auth_username_format = %Ln\n")
	f.gives(0, guide.Replaced(f.t, loop, "alice bob carol", "bob"), "bob: look above")
}

// files is the guide's section about files.
func (f *follower) files() {
	f.t.Helper()
	box := "/home/alice/Maildir/"
	for _, d := range []string{"cur", "new", "tmp", ".Sent/cur", ".Sent/new", ".Sent/tmp"} {
		must(f.t, os.MkdirAll(f.path(box+d), 0o755))
	}
	f.write(box+"cur/1100000000.M1.old:2,FSa", "From: a@old.test\nSubject: kept\n\nhello\n")
	f.write(box+"dovecot-keywords", "0 work\n")
	f.write(box+".Sent/cur/1100000001.M1.old:2,S", "From: a@old.test\nSubject: was sent\n\nhello\n")
	profile := "/home/alice/.thunderbird/x1.default/Mail/LocalFolders/"
	f.write(profile+"Archives", mbox("local", 2))
	f.write(profile+"Archives.msf", "index\n")
	commands := strings.Split(strings.TrimSpace(f.doc.Block("", 3)), "\n")
	if len(commands) != 3 {
		f.t.Fatalf("there are %d commands for files", len(commands))
	}
	f.holds("alice@example.org", "", 8)
	f.gives(0, commands[0], "2 messages came")
	f.holds("alice@example.org", "", 9)
	f.holds("alice@example.org", ".Sent", 5)
	f.doc.Says("a message that comes by both comes twice")
	f.gives(0, commands[1], "4 messages came")
	f.holds("alice@example.org", "", 13)
	f.gives(0, commands[2], "2 messages came")
	f.holds("alice@example.org", ".Thunderbird.Archives", 2)
	for _, c := range commands {
		f.gives(0, c, "0 messages came")
	}
	f.doc.Says("`>From ` loses its `>` (mboxrd)")
	if out, err := exec.Command("grep", "-rl", "^From here on", f.path("/var/lib/sallyport/mail/example.org/alice/.Thunderbird.Archives/cur")).Output(); err != nil || len(out) == 0 {
		f.t.Errorf("no line that begins with From: %v", err)
	}
}

// folders are the sentences about them.
func (f *follower) folders(move string) {
	f.t.Helper()
	f.doc.Says("`--keep-names` leaves names as they are. `--folder NAME` takes one folder with those below it, `--exclude NAME` leaves one out, both as often as needed; `--into NAME` puts all below one folder.")
	f.must("sallyport account add dora@example.org --generate")
	to := guide.Replaced(f.t, move, "import alice@example.org imaps://old", "import dora@example.org imaps://alice@old")
	f.gives(0, to+" --keep-names --folder 'Sent Items'", "2 messages came")
	f.holds("dora@example.org", ".Sent Items", 2)
	f.gives(0, to+" --exclude Lists --exclude 'Sent Items' --into Old", "4 messages came")
	f.holds("dora@example.org", ".Old", 4)
}
