package mailbox

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// nobody is the user that Dovecot works as, which wants no root.
const nobody = 65534

// beside is a mailbox on which Debian's Dovecot and mutt work, too, while we have it open.
type beside struct {
	*site
	t    *testing.T
	home string
}

// program runs another program for at most half a minute.
func (b *beside) program(name string, args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "HOME="+b.home, "USER=nobody", "TERM=xterm")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// doveadm gives a command to Dovecot, as the owner of all files.
func (b *beside) doveadm(args ...string) string {
	b.t.Helper()
	for _, root := range []string{b.dir, b.home} {
		check(b.t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, nobody, nobody)
		}))
	}
	return b.program("setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "doveadm", "-c", filepath.Join(b.home, "dovecot.conf")}, args...)...)
}

// mutt opens the mailbox and types.
func (b *beside) mutt(keys string) {
	b.t.Helper()
	rc := filepath.Join(b.home, "muttrc")
	check(b.t,
		os.WriteFile(rc, []byte("set folder="+b.home+" record=\"\" delete=yes quit=yes move=no confirmappend=no confirmcreate=no sort=date mbox_type=maildir mark_old=no wait_key=no\n"), 0o644))
	b.program("script", "-qec", "mutt -n -F "+rc+" -f "+b.dir+" -e \"push '"+keys+"'\"", "/dev/null")
}

// Dovecot and mutt flag, remove and move what lies in a mailbox that we have open, and so do we: each
// sees what the others did, and no message gets another UID.
func TestDovecotAndMuttOnTheSameMaildir(t *testing.T) {
	for _, tool := range []string{"doveadm", "mutt", "script", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil || os.Geteuid() != 0 {
			t.Skip("needs Debian's Dovecot and mutt, and root")
		}
	}
	b := &beside{site: open(t, vfs.Default, t.TempDir()), t: t, home: t.TempDir()}
	for d := b.home; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		check(t, os.Chmod(d, 0o755))
	}
	for d := b.dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		check(t, os.Chmod(d, 0o755))
	}
	check(t,
		os.WriteFile(filepath.Join(b.home, "dovecot.conf"), []byte("base_dir = "+b.home+"/run\nlog_path = /dev/stderr\nmail_location = maildir:"+b.dir+"\nfirst_valid_uid = 1\nssl = no\nnamespace inbox {\n  inbox = yes\n  separator = /\n}\n"), 0o644))
	m, sent := b.sel(t, Inbox), b.sel(t, "Sent")
	for n := range 6 { // mutt lists them by date
		put(t, m, fmt.Sprintf("From: a@remote.test\r\nDate: Sun, 29 Nov 2026 10:00:%02d +0000\r\nSubject: number %d\r\n\r\nhello\r\n", n, n+1), NewFlags(0))
	}
	validity := m.State().UIDValidity
	flags := func(uid UID) Flags {
		t.Helper()
		refresh(t, m)
		refresh(t, sent)
		for _, msg := range m.State().Messages {
			if msg.UID == uid {
				return msg.Flags
			}
		}
		t.Fatalf("there is no message %d: %v", uid, uidsOf(m))
		return Flags{}
	}
	b.doveadm("flags", "add", `\Flagged \Seen`, "mailbox", "INBOX", "1")
	if got := flags(1); got != NewFlags(Flagged|Seen) {
		t.Errorf("Dovecot flagged the first, which has %v", got)
	}
	_, err := m.Store(t.Context(), []UID{2}, Add, NewFlags(Answered), nil)
	check(t, err)
	if got := b.doveadm("fetch", "flags", "mailbox", "INBOX", "2"); !strings.Contains(got, `\Answered`) {
		t.Errorf("Dovecot sees of the second: %s", got)
	}
	b.doveadm("flags", "remove", `\Flagged`, "mailbox", "INBOX", "1")
	b.mutt("<first-entry><next-entry><next-entry><flag-message><sync-mailbox><quit>")
	if one, three := flags(1), flags(3); one != NewFlags(Seen) || !three.Has(Flagged) {
		t.Errorf("the first has %v, the third, which mutt flagged, %v", one, three)
	}
	b.doveadm("expunge", "mailbox", "INBOX", "4")
	b.doveadm("move", "Sent", "mailbox", "INBOX", "4") // what was the fifth
	flags(1)
	if !slices.Equal(uidsOf(m), []UID{1, 2, 3, 6}) || len(sent.State().Messages) != 1 {
		t.Errorf("after Dovecot removed one and moved another: %v, %v", uidsOf(m), uidsOf(sent))
	}
	b.mutt("<first-entry><delete-message><sync-mailbox><quit>")
	_, err = m.Move(t.Context(), []UID{2}, sent)
	check(t, err)
	flags(3)
	if !slices.Equal(uidsOf(m), []UID{3, 6}) || len(sent.State().Messages) != 2 || m.State().UIDValidity != validity {
		t.Errorf("after mutt removed one and we moved another: %v, %v", uidsOf(m), uidsOf(sent))
	}
	if got := b.doveadm("mailbox", "status", "messages", "INBOX", "Sent"); !strings.Contains(got, "INBOX messages=2\n") || !strings.Contains(got, "Sent messages=2\n") {
		t.Errorf("Dovecot sees %q", got)
	}
	_, err = m.Store(t.Context(), []UID{6}, Replace, NewFlags(Deleted), nil)
	check(t, err)
	b.doveadm("flags", "remove", `\Deleted`, "mailbox", "INBOX", "2")
	gone, err := m.Expunge(t.Context(), nil)
	check(t, err)
	if len(gone) != 0 || !slices.Equal(uidsOf(m), []UID{3, 6}) {
		t.Errorf("what Dovecot had just kept was removed: %v, %v", gone, uidsOf(m))
	}
}
