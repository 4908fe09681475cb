package clients

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// reading is a running server with three letters in bob's mailbox.
type reading struct {
	t              *testing.T
	s              *Server
	dir            string
	user, password string
}

func newReading(t *testing.T) reading {
	t.Helper()
	s := Start(t)
	bob := s.Account("bob")
	r := reading{t: t, s: s, dir: t.TempDir(), user: bob.Address, password: bob.Password}
	for n := range 3 {
		r.letter(fmt.Sprintf("letter %d", n))
	}
	return r
}

// letter brings one from outside, and waits until it is there.
func (r reading) letter(subject string) {
	r.t.Helper()
	text := "From: eve@remote.test\r\nTo: " + r.user + "\r\nSubject: " + subject + "\r\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@remote.test>\r\n\r\nThe body of " + subject + ".\r\n"
	Run(r.t, []byte(text), "curl", "-sS", "--url", "smtp://"+r.s.MX(), "--mail-from", "eve@remote.test", "--mail-rcpt", r.user, "--upload-file", "-")
	for begun := time.Now(); !strings.Contains(r.folder("new")+r.folder("cur"), "Subject: "+subject+"\n"); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			r.t.Fatalf("%s does not arrive", subject)
		}
	}
}

// folder is what lies in a folder of the mailbox, with the names of the files.
func (r reading) folder(name string) (all string) {
	files, _ := filepath.Glob(filepath.Join(r.s.Account("bob").Maildir, name, "*"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		all += "file " + filepath.Base(f) + "\n" + string(text)
	}
	return all
}

// file writes one of the program's own, for its owner alone.
func (r reading) file(name, text string, args ...any) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, text, args...), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func portOf(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// python signs in over imap with STARTTLS, lists, reads, flags, appends, moves, deletes, idles
// through a letter that comes, and connects again.
const pythonReads = `
import imaplib, ssl, sys
host, port, ca, pem, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if pem:
    context.load_cert_chain(pem)
def connect():
    c = imaplib.IMAP4(host, int(port))
    c.starttls(context)
    if pem:
        c.authenticate("EXTERNAL", lambda challenge: b"")
    else:
        c.login(user, password)
    return c
def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]
c = connect()
names = b"\n".join(ok(c.list()))
assert b"INBOX" in names and b"\\Junk" in names, names
n = int(ok(c.select("INBOX"))[0])
assert n == 3, n
assert b"The body of letter 1." in ok(c.fetch("2", "(BODY.PEEK[TEXT])"))[0][1]
ok(c.store("2", "+FLAGS", r"(\Seen \Flagged)"))
ok(c.append("Drafts", r"(\Draft)", None, b"Subject: draft\r\n\r\nA draft.\r\n"))
assert int(ok(c.select("Drafts"))[0]) == 1
ok(c.select("INBOX"))
ok(c.uid("MOVE", ok(c.uid("SEARCH", "SUBJECT", '"letter 2"'))[0].decode(), "Archive"))
ok(c.store("1", "+FLAGS", r"(\Deleted)"))
ok(c.expunge())
c.send(b"x IDLE\r\n")
while not c.readline().startswith(b"+"):
    pass
print("idle", flush=True)
sys.stdin.readline()
while b"EXISTS" not in c.readline():
    pass
c.send(b"DONE\r\n")
while not c.readline().startswith(b"x OK"):
    pass
c.logout()
c = connect()
assert int(ok(c.select("INBOX", readonly=True))[0]) == 2
assert ok(c.search(None, "FLAGGED"))[0] == b"1"
assert int(ok(c.select("Archive", readonly=True))[0]) == 1
c.logout()
print("done", flush=True)
`

func TestPythonReads(t *testing.T) {
	r := newReading(t)
	for _, by := range []string{"password", "certificate"} {
		if by == "certificate" {
			r = newReading(t)
		}
		host, port, _ := net.SplitHostPort(r.s.Listen.IMAP[0])
		pem, password := "", r.password
		if by == "certificate" {
			pem, password = r.certificate(), ""
		}
		k := start(t, r.dir, "python3", "-c", pythonReads, host, port, r.s.CA, pem, r.user, password)
		k.hears("idle")
		r.letter("late " + by)
		k.says("\n")
		k.hears("done")
		if err := k.ends(); err != nil {
			t.Errorf("by %s: %v\n%s", by, err, k.out)
		}
	}
}

// certificate issues one to bob, and returns its file.
func (r reading) certificate() string {
	r.t.Helper()
	Run(r.t, nil, r.s.Binary, "cert", "issue", r.user, "reader", "--as", "pem", "--dir", r.dir, "-c", r.s.Config)
	return filepath.Join(r.dir, r.user+"-reader.pem")
}

// curl lists, reads, and flags; by password at every door, and by a certificate without any.
func TestCurlReads(t *testing.T) {
	r := newReading(t)
	pem := r.certificate()
	for _, door := range []string{"imap://" + r.s.Listen.IMAP[0], "imaps://" + r.s.Listen.IMAPS[0], "pop3://" + r.s.Listen.POP3[0], "pop3s://" + r.s.Listen.POP3S[0]} {
		for _, args := range [][]string{{"-u", r.user + ":" + r.password}, {"--cert", pem, "-u", r.user + ":", "--login-options", "AUTH=EXTERNAL"}} {
			args = append(args, "-sS", "--ssl-reqd", "--cacert", r.s.CA)
			letter := door + "/INBOX;MAILINDEX=2"
			if strings.HasPrefix(door, "pop3") {
				letter = door + "/2"
			}
			if got := Run(t, nil, "curl", append(args, letter)...); !strings.Contains(got, "The body of letter 1.\r\n") {
				t.Errorf("%s: %q", door, got)
			}
			if strings.HasPrefix(door, "pop3") {
				if got := Run(t, nil, "curl", append(args, door)...); !strings.Contains(got, "3 ") {
					t.Errorf("%s lists %q", door, got)
				}
				continue
			}
			if got := Run(t, nil, "curl", append(args, door, "-X", "LIST \"\" *")...); !strings.Contains(got, `\Junk`) {
				t.Errorf("%s lists %q", door, got)
			}
			if got := Run(t, nil, "curl", append(args, door+"/INBOX", "-X", `STORE 2 +FLAGS (\Seen)`)...); !strings.Contains(got, `\Seen`) {
				t.Errorf("%s flags %q", door, got)
			}
		}
	}
	out := Run(t, nil, r.s.Binary, "trace", r.user, "-c", r.s.Config)
	for _, want := range []string{"mechanism: EXTERNAL", "mechanism: PLAIN"} {
		if !strings.Contains(out, want) {
			t.Errorf("the trace does not say %q:\n%s", want, out)
		}
	}
	if out := Run(t, nil, r.s.Binary, "account", "show", r.user, "-c", r.s.Config); !strings.Contains(out, "pop3s") {
		t.Errorf("the account does not say where it was read last:\n%s", out)
	}
}

// mbsync takes everything, brings a letter of its own, a flag and a deletion, and takes what came
// meanwhile; a second run without changes does nothing.
func TestMbsyncReads(t *testing.T) {
	needsPrograms(t)
	r := newReading(t)
	local := filepath.Join(r.dir, "mail")
	if err := os.MkdirAll(local, 0o700); err != nil {
		t.Fatal(err)
	}
	rc := r.file("mbsyncrc", "IMAPAccount a\nHost localhost\nPort %s\nUser %s\nPass %s\nSSLType IMAPS\nCertificateFile %s\n\nIMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/\nInbox %s/INBOX\nSubFolders Verbatim\n\nChannel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
		portOf(r.s.Listen.IMAPS[0]), r.user, r.password, r.s.CA, local, local)
	Run(t, nil, "mbsync", "-c", rc, "-a")
	inbox := func() []string {
		all, _ := filepath.Glob(filepath.Join(local, "INBOX", "[cn][ue][rw]", "*"))
		return all
	}
	if got := inbox(); len(got) != 3 {
		t.Fatalf("%d letters came: %v", len(got), got)
	}
	for n, f := range inbox() {
		base, _, _ := strings.Cut(filepath.Base(f), ":")
		to := filepath.Join(local, "INBOX", "cur", base+":2,"+[]string{"S", "FS", "T"}[n])
		if err := os.Rename(f, to); err != nil {
			t.Fatal(err)
		}
	}
	r.letter("meanwhile")
	r.file("mail/INBOX/cur/1795960237.own.here:2,S", "From: %s\nSubject: own\n\nOwn.\n", r.user)
	Run(t, nil, "mbsync", "-c", rc, "-a")
	if got := inbox(); len(got) != 4 {
		t.Errorf("%d letters here: %v", len(got), got)
	}
	there := r.folder("new") + r.folder("cur")
	if n := strings.Count(there, "file "); n != 4 || !strings.Contains(there, "Subject: own") || !strings.Contains(there, ":2,FS") {
		t.Errorf("%d there:\n%s", n, there)
	}
	Run(t, nil, "mbsync", "-c", rc, "-a")
	if again := r.folder("new") + r.folder("cur"); again != there {
		t.Errorf("a run without changes makes of\n%s\n%s", there, again)
	}
}

// mutt and NeoMutt open the mailbox, delete one letter, save another elsewhere, and leave.
func TestMuttReads(t *testing.T) {
	for _, program := range []string{"mutt", "neomutt"} {
		t.Run(program, func(t *testing.T) {
			if program == "neomutt" {
				needsPrograms(t)
			}
			r := newReading(t)
			rc := r.file("rc", "set ssl_ca_certificates_file=%q imap_user=%q imap_pass=%q header_cache=\"\" message_cachedir=\"\" ssl_verify_host=no confirmappend=no confirmcreate=no delete=yes quit=yes move=no wait_key=no mark_old=no folder=\"imaps://%s/\" record=\"\" sort=date\n",
				r.s.CA, r.user, r.password, r.s.Listen.IMAPS[0])
			keys := "push '<first-entry><delete-message><first-entry><next-entry><save-message><kill-line>=Archive<enter><sync-mailbox><quit>'"
			line := fmt.Sprintf("TERM=xterm %s -n -F %s -f imaps://%s/INBOX -e \"%s\"", program, rc, r.s.Listen.IMAPS[0], keys)
			out, err := Try(t, nil, "script", "-qec", line, "/dev/null")
			left := r.folder("new") + r.folder("cur")
			saved := r.folder(".Archive/new") + r.folder(".Archive/cur")
			if err != nil || strings.Contains(left, "Subject: letter 0\n") ||
				strings.Count(left, "file ")+strings.Count(saved, "file ") != 2 ||
				strings.Count(saved, "file ") != 1 {
				t.Errorf("%v\nleft:\n%s\nsaved:\n%s\nit showed %q", err, left, saved, out[max(0, len(out)-2000):])
			}
		})
	}
}

// fetchmail, getmail6, mpop and offlineimap take what is there, and at a second run what came since.
func TestFetchersRead(t *testing.T) {
	needsPrograms(t)
	r := newReading(t)
	into := func(name string) string {
		dir := filepath.Join(r.dir, name)
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	count := func(dir string) int {
		all, _ := filepath.Glob(filepath.Join(dir, "[cn][ue][rw]", "*"))
		return len(all)
	}
	type fetcher struct {
		name string
		dir  string
		run  func() (string, error)
	}
	var all []fetcher
	for _, protocol := range []string{"imap", "pop3"} {
		at := map[string]string{"imap": r.s.Listen.IMAPS[0], "pop3": r.s.Listen.POP3S[0]}[protocol]
		dir := into("fetchmail-" + protocol)
		mda := r.script("mda-"+protocol, dir)
		rc := r.file("fetchmailrc-"+protocol, "poll localhost protocol %s service %s%s user %q password %q ssl sslproto \"tls1.2+\" sslcertck sslcertfile %q keep mda %q\n",
			protocol, portOf(at), map[string]string{"pop3": " uidl", "imap": ""}[protocol], r.user, r.password, r.s.CA, mda)
		home := filepath.Join(r.dir, "home-"+protocol)
		_ = os.MkdirAll(home, 0o700)
		all = append(all, fetcher{"fetchmail by " + protocol, dir, func() (string, error) {
			return Try(t, nil, "env", "FETCHMAILHOME="+home, "fetchmail", "-f", rc, "--idfile", filepath.Join(home, "ids"), "--pidfile", filepath.Join(home, "pid"))
		}})
		getdir := into("getmail-" + protocol)
		kind := map[string]string{"imap": "SimpleIMAPSSLRetriever", "pop3": "SimplePOP3SSLRetriever"}[protocol]
		getrc := r.file("getmailrc-"+protocol, "[retriever]\ntype = %s\nserver = localhost\nport = %s\nusername = %s\npassword = %s\nca_certs = %s\n[destination]\ntype = MDA_external\npath = %s\nallow_root_commands = true\n[options]\nread_all = false\ndelete = false\n",
			kind, portOf(at), r.user, r.password, r.s.CA, r.script("getmail-mda-"+protocol, getdir))
		all = append(all, fetcher{"getmail6 by " + protocol, getdir, func() (string, error) {
			return Try(t, nil, "getmail", "--getmaildir", home, "--rcfile", getrc)
		}})
	}
	mpopdir := into("mpop")
	mpoprc := r.file("mpoprc",
		"account default\nhost localhost\nport %s\ntls on\ntls_starttls off\ntls_trust_file %s\nuser %s\npassword %s\ndelivery maildir %s\nkeep on\nuidls_file %s/uidls\n",
		portOf(r.s.Listen.POP3S[0]), r.s.CA, r.user, r.password, mpopdir, r.dir)
	all = append(all, fetcher{"mpop", mpopdir, func() (string, error) { return Try(t, nil, "mpop", "-C", mpoprc) }})
	offdir := filepath.Join(r.dir, "off")
	offrc := r.file("offlineimaprc", "[general]\naccounts = a\nmetadata = %s/meta\nui = quiet\n[Account a]\nlocalrepository = l\nremoterepository = r\n[Repository l]\ntype = Maildir\nlocalfolders = %s\n[Repository r]\ntype = IMAP\nremotehost = localhost\nremoteport = %s\nremoteuser = %s\nremotepass = %s\nssl = yes\nsslcacertfile = %s\n",
		r.dir, offdir, portOf(r.s.Listen.IMAPS[0]), r.user, r.password, r.s.CA)
	all = append(all, fetcher{"offlineimap3", filepath.Join(offdir, "INBOX"), func() (string, error) { return Try(t, nil, "offlineimap", "-c", offrc, "-o") }})
	for round, want := range []int{3, 4, 4} {
		if round == 1 {
			r.letter("second round")
		}
		for _, f := range all {
			out, err := f.run()
			if strings.HasPrefix(f.name, "fetchmail") && err != nil && strings.Contains(err.Error(), "exit status 1") {
				err = nil // there was no new mail
			}
			if got := count(f.dir); err != nil || got != want {
				t.Errorf("round %d: %s has %d letters, want %d: %v\n%s", round, f.name, got, want, err, out)
			}
		}
	}
}

// script is a program that puts what it is given into a Maildir.
func (r reading) script(name, dir string) string {
	path := r.file(name, "#!/bin/sh\ncat > %s/new/$$.x\n", dir)
	if err := os.Chmod(path, 0o700); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// needsPrograms skips what `make test` does not install.
func needsPrograms(t *testing.T) {
	t.Helper()
	if os.Getenv("SALLYPORT_CLIENTS") == "" {
		t.Skip("make clients runs it")
	}
}
