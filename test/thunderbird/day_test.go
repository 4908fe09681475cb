package thunderbird

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A day with Thunderbird.
func TestADay(t *testing.T) {
	if !apart(t) {
		return
	}
	w := newWorld(t)
	w.begin()
	for _, part := range []struct {
		name string
		of   func(*world, *testing.T)
	}{
		{"set up by the address alone", (*world).setUp},
		{"reading and flags", (*world).reads},
		{"folders", (*world).filesAway},
		{"writing", (*world).writes},
		{"new mail while it idles", (*world).idles},
		{"offline and back", (*world).comesBack},
		{"offline and back with CONDSTORE", (*world).comesBackByModseq},
		{"a certificate and no password", (*world).certificate},
		{"revoked while it is connected", (*world).revoked},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			before := w.t
			w.t = t
			defer func() { w.t = before }()
			part.of(w, t)
		}) {
			t.Fatal("the day ends here")
		}
	}
	t.Logf("it sent:\n%s", strings.Join(verbs(w.sent()), "\n"))
}

// verbs is the forms of commands that were sent, each once, with how often.
func verbs(sent []string) []string {
	form := regexp.MustCompile(`(?i)^((?:uid )?[a-z]+)( .*)?$`)
	counts := map[string]int{}
	for _, s := range sent {
		if m := form.FindStringSubmatch(s); m != nil {
			counts[strings.ToUpper(m[1])]++
		}
	}
	var all []string
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%4d %s", counts[v], v))
	}
	return all
}

// since is what was sent after the first n commands, and whether one begins so.
func since(w *world, n int, begin string) bool {
	return slices.ContainsFunc(w.sent()[n:], func(s string) bool { return strings.HasPrefix(strings.ToLower(s), strings.ToLower(begin)) })
}

// The person gives a name, an address and a password. The doors stand at ports that no program guesses, so
// what it found is what it was told.
func (w *world) setUp(t *testing.T) {
	w.does("address", `await type("#realName", "Alice Heron"); await type("#email", "`+alice+`");`)
	got := w.does("settings found", `await click("#forward");
		return await until("settings", () => { const s = shown("email-config-found"); return s && s.textContent.includes("`+host+`") && ["`+readingPort+`", "`+sendingPort+`"].every(p => s.textContent.includes(p)); });`)
	if got != "true" {
		t.Fatalf("found: %s", got)
	}
	w.does("password", `await click("#forward"); await type("#password", "`+password+`"); await sleep(300);`)
	w.does("added", `await click("#forward"); await until("an account", () => server() && folder("Inbox")); await seen("email-added-success");`)
	got = w.does("folders", `await click("#forward"); await until("folders", () => ["SentMail", "Drafts", "Trash", "Junk", "Archive"].every(folder));
		const s = server(), o = outgoing().QueryInterface(Ci.nsISmtpServer);
		return [s.hostname || s.hostName, s.port, s.socketType, s.authMethod, s.username, o.hostname, o.port, o.socketType, o.authMethod, o.username].join();`)
	if want := fmt.Sprintf(`"%s,%s,3,3,%s,%s,%s,3,3,%s"`, host, readingPort, alice, host, sendingPort, alice); got != want {
		t.Errorf("it is set up as %s, want %s", got, want)
	}
	if out := w.sallyport("sessions"); !strings.Contains(out, "Thunderbird") || !strings.Contains(out, "imaps") {
		t.Errorf("sessions:\n%s", out)
	}
}

func (w *world) reads(t *testing.T) {
	for n := range 4 {
		w.letter(fmt.Sprintf("letter %d", n))
	}
	w.does("four letters", `await show(folder("Inbox")); await holds(folder("Inbox"), "letter 0", "letter 1", "letter 2", "letter 3");`)
	w.does("reading", `await select("letter 1"); await until("it to be read", () => list(folder("Inbox")).includes("letter 1 read")); await sleep(500);`)
	w.does("starred", `goDoCommand("cmd_markAsFlagged"); await holds(folder("Inbox"), "letter 0", "letter 1 read flagged", "letter 2", "letter 3"); await sleep(500);`)
	w.does("another read and then not", `await select("letter 2"); await until("it to be read", () => list(folder("Inbox")).includes("letter 2 read"));
		goDoCommand("cmd_markAsUnread"); await holds(folder("Inbox"), "letter 0", "letter 1 read flagged", "letter 2", "letter 3"); await sleep(500);`)
	w.holds(alice, "", map[string]string{"letter 0": "", "letter 1": "FS", "letter 2": "", "letter 3": ""})
}

func (w *world) filesAway(t *testing.T) {
	// What it opens by itself when a row goes stays unread from here on.
	w.does("a new folder",
		`Services.prefs.setBoolPref("mailnews.mark_message_read.auto", false); server().rootFolder.createSubfolder("Reeds & Röhricht", window.msgWindow); await until("the folder", () => named("Reeds & Röhricht")); await sleep(500);`)
	w.does("moved", `await select("letter 3"); const to = named("Reeds & Röhricht");
		MailServices.copy.copyMessages(folder("Inbox"), [pane().gDBView.hdrForFirstSelectedMessage], to, true, null, window.msgWindow, true);
		await holds(folder("Inbox"), "letter 0", "letter 1 read flagged", "letter 2"); await show(to); await holds(to, "letter 3"); await sleep(500);`)
	w.does("deleted", `await show(folder("Inbox")); await select("letter 0"); goDoCommand("cmd_delete");
		await holds(folder("Inbox"), "letter 1 read flagged", "letter 2"); await show(folder("Trash")); await holds(folder("Trash"), "letter 0 read"); await show(folder("Inbox")); await sleep(500);`)
	w.holds(alice, "", map[string]string{"letter 1": "FS", "letter 2": ""})
	w.holds(alice, ".Trash", map[string]string{"letter 0": "S"})
	w.holds(alice, ".Reeds &- R&APY-hricht", map[string]string{"letter 3": ""})
	for _, used := range []string{"create ", "subscribe ", "uid move "} {
		if !since(w, 0, used) {
			t.Errorf("it did not send %s", used)
		}
	}
}

func (w *world) writes(t *testing.T) {
	w.does("writing", `await write("`+bob+`", "Kingfisher", "Blue over water."); await sleep(500);`)
	w.does("sent", `await send(); await show(folder("SentMail")); await holds(folder("SentMail"), "Kingfisher read"); await sleep(500);`)
	w.holds(bob, "", map[string]string{"Kingfisher": ""})
	w.holds(alice, ".Sent", map[string]string{"Kingfisher": "S"})
	if out := w.sallyport("trace", alice); !regexp.MustCompile(`signed in \S+ client 127\.0\.0\.1 on submissions[^\n]*\n(?: +\S[^\n]*\n)*? +mechanism: PLAIN`).MatchString(out) {
		t.Errorf("the trace:\n%s", out)
	}
}

// Nobody touches the program: the letter is told to it.
func (w *world) idles(t *testing.T) {
	w.does("idle", `await show(folder("Inbox")); await sleep(2000);`)
	w.eventually("it to idle", func() bool { all := w.sent(); return strings.EqualFold(all[len(all)-1], "IDLE") })
	n := len(w.sent())
	w.letter("while idle")
	begun := time.Now()
	w.does("came by itself", `await holds(folder("Inbox"), "letter 1 read flagged", "letter 2", "while idle");`)
	t.Logf("it is there %v after the server had taken it", time.Since(begun).Round(time.Millisecond))
	if !since(w, n, "DONE") {
		t.Errorf("it sent %q", w.sent()[n:])
	}
}

// elsewhere is another program that changes the mailbox.
func (w *world) elsewhere(commands string) {
	w.t.Helper()
	w.run("", "python3", "-c", `import imaplib, ssl
c = imaplib.IMAP4_SSL("`+host+`", `+readingPort+`, ssl_context=ssl.create_default_context(cafile="`+w.dir+`/ca.pem"))
c.login("`+alice+`", "`+password+`")
c.select("INBOX")
def uid(subject):
    return c.uid("SEARCH", "SUBJECT", '"%s"' % subject)[1][0].decode()
def ok(answer):
    assert answer[0] == "OK", answer
`+commands+"\nc.logout()\n")
}

// away takes the program offline, lets another change the mailbox, and gets mail again.
func (w *world) away(what, commands, holds string) {
	w.t.Helper()
	w.does("offline "+what, `await offline(true); await sleep(1000);`)
	w.eventually("it to be gone", func() bool { return strings.Contains(w.sallyport("sessions"), "nobody is signed in") })
	w.elsewhere(commands)
	w.does("back "+what, `await offline(false); goDoCommand("cmd_getNewMessages"); await holds(folder("Inbox"), `+holds+`); await sleep(500);`)
}

func (w *world) comesBack(t *testing.T) {
	n := len(w.sent())
	w.away("by flags", `ok(c.uid("STORE", uid("letter 1"), "-FLAGS.SILENT", r"(\Flagged \Seen)"))
ok(c.append("INBOX", r"(\Flagged)", None, b"From: a@b.test\r\nSubject: put there by another\r\nDate: Sun, 29 Nov 2026 18:06:00 +0000\r\n\r\nThe body of it.\r\n"))
ok(c.uid("MOVE", uid("while idle"), "Archive"))`, `"letter 1", "letter 2", "put there by another flagged"`)
	if !since(w, n, "UID fetch 1:* (FLAGS)") || since(w, n, "UID fetch 1:* (FLAGS) (CHANGEDSINCE") {
		t.Errorf("it sent %q", w.sent()[n:])
	}
}

// CONDSTORE is used where a person turns it on in the program's configuration.
func (w *world) comesBackByModseq(t *testing.T) {
	w.does("CONDSTORE turned on", `Services.prefs.setBoolPref("mail.server.default.use_condstore", true);`)
	n := len(w.sent())
	w.away("with CONDSTORE", `ok(c.uid("STORE", uid("letter 2"), "+FLAGS.SILENT", r"(\Seen)"))`, `"letter 1", "letter 2 read", "put there by another flagged"`)
	if !since(w, n, "UID fetch 1:* (FLAGS) (CHANGEDSINCE") {
		t.Errorf("it sent %q", w.sent()[n:])
	}
	if all := w.refused(); len(all) > 0 {
		t.Errorf("the server refused %q", all)
	}
}

// The person imports the file of cert issue, and chooses "TLS certificate" for both servers.
func (w *world) certificate(t *testing.T) {
	out := w.sallyport("cert", "issue", alice, "laptop", "--dir", w.dir)
	_, passphrase, _ := strings.Cut(out, "passphrase: ")
	passphrase, _, _ = strings.Cut(passphrase, "\n")
	w.sallyport("account", "sign-in", alice, "certificate", "--without-auth")
	n := len(w.sent())
	got := w.does("certificate imported", fmt.Sprintf(`const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile); file.initWithPath(%q);
		const code = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).importPKCS12File(file, %q);
		Services.prefs.setCharPref("security.default_personal_cert", "Select Automatically");
		for (const s of [server(), outgoing()]) { s.authMethod = Ci.nsMsgAuthMethod.External; s.forgetPassword(); s.closeCachedConnections(); }
		return code;`, filepath.Join(w.dir, alice+"-laptop.p12"), passphrase))
	if got != "0" {
		t.Fatalf("the import gives %s", got)
	}
	w.letter("by certificate")
	w.does("read by certificate", `goDoCommand("cmd_getNewMessages"); await show(folder("Inbox")); await select("by certificate"); await sleep(500);`)
	if !since(w, n, "authenticate EXTERNAL") {
		t.Errorf("it sent %q", w.sent()[n:])
	}
	w.does("sent by certificate",
		`await write("`+bob+`", "Bittern", "No password."); await send(); await holds(folder("SentMail"), "Bittern read", "Kingfisher read"); await sleep(500);`)
	w.holds(bob, "", map[string]string{"Kingfisher": "", "Bittern": ""})
}

func (w *world) revoked(t *testing.T) {
	w.does("connected by certificate", `await show(folder("Inbox")); await sleep(1000);`)
	if out := w.sallyport("sessions"); !strings.Contains(out, "Thunderbird") {
		t.Fatalf("it is not connected:\n%s", out)
	}
	out := w.sallyport("cert", "revoke", alice, "laptop")
	begun := time.Now()
	for !strings.Contains(w.sallyport("sessions"), "nobody is signed in") {
		if time.Since(begun) > time.Second {
			t.Fatalf("after a second there is still\n%s", w.sallyport("sessions"))
		}
	}
	t.Logf("%safter %v nobody is signed in", out, time.Since(begun).Round(time.Millisecond))
	w.letter("too late")
	w.does("revoked", `await sleep(2000);`)
	w.does("asked for mail after that", `goDoCommand("cmd_getNewMessages"); await sleep(5000); if (list(folder("Inbox")).includes("too late")) { throw new Error("it reads on"); }`)
	text, err := os.ReadFile(w.commands)
	must(t, err)
	for _, want := range []string{"* BYE this session is closed", "No remaining auth method"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("Thunderbird does not write down %q", want)
		}
	}
}
