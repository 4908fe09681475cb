package moving

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rare are further messages that a form could spoil.
var rare = []string{
	"Subject: no line end\nMessage-ID: <rare1@old.test>\n\nThe last line has no end",
	"Subject: nothing\nMessage-ID: <rare2@old.test>\n",
	"From: a@old.test\nSubject: a very long line\nMessage-ID: <rare3@old.test>\n\n" + strings.Repeat("long ", 40_000) + "\n",
	"Subject: quoted\nMessage-ID: <rare4@old.test>\n\n>>>From x\n > From y\n\n\nFrom z@old.test Sun Nov 29 15:04:05 2009\nSubject: inner\n\nFrom here\n\n",
	"Subject: length\nMessage-ID: <rare5@old.test>\nContent-Length: 3\nStatus: RO\nX-Status: F\nX-Keywords: forged\n\nmore than three\n",
	"Subject: latin\nMessage-ID: <rare6@old.test>\nContent-Type: text/plain; charset=iso-8859-1\n\n\xfc\xe4\xa0\x85 \x1b[1m\n",
	"Subject: form\nMessage-ID: <rare7@old.test>\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: within\n\nFrom within\n--b--\nFrom after\n",
}

// muttReads opens a mailbox with Debian's mutt, pipes each message out as it is, and returns them
// by Message-ID.
func muttReads(t *testing.T, mailbox string) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	pipe, out := filepath.Join(dir, "pipe"), filepath.Join(dir, "out")
	must(t, os.Mkdir(out, 0o700))
	must(t, os.WriteFile(pipe, fmt.Appendf(nil, "#!/bin/sh\nexec cat > $(mktemp %s/XXXXXX)\n", out), 0o700))
	rc := filepath.Join(dir, "rc")
	must(t,
		os.WriteFile(rc, []byte("set pipe_decode=no pipe_split=yes pipe_sep=\"\" weed=no wait_key=no quit=yes move=no mark_old=no header_cache=\"\" record=\"\" folder=\""+dir+"\" check_new=no tmpdir=\""+dir+"\"\n"), 0o600))
	// The commands are read from a file: what stands in quotes within quotes is nobody's delight.
	keys := "push '<tag-pattern>~A<enter><tag-prefix><pipe-message>" + pipe + "<enter><exit>'\n"
	must(t, os.WriteFile(rc, append(must1(t, os.ReadFile, rc), keys...), 0o600))
	run(t, "timeout", "-k", "5", "120", "script", "-qec", "TERM=xterm HOME="+dir+" mutt -n -R -F "+rc+" -f "+mailbox, "/dev/null")
	files, err := filepath.Glob(filepath.Join(out, "*"))
	must(t, err)
	found := map[string][]string{}
	for _, f := range files {
		text := string(must1(t, os.ReadFile, f))
		found[messageID(text)] = append(found[messageID(text)], text)
	}
	return found
}

func must1(t *testing.T, read func(string) ([]byte, error), name string) []byte {
	t.Helper()
	b, err := read(name)
	must(t, err)
	return b
}

func messageID(text string) string {
	_, id, _ := strings.Cut(text, "Message-ID: ")
	id, _, _ = strings.Cut(id, "\n")
	return strings.TrimSuffix(id, "\r")
}

// plain is a message without what may differ: the ends of its lines, the empty line that mutt puts behind a
// header alone and, in an mbox, the first line and the header fields that keep flags and length.
func plain(text string, mbox bool) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	head, body, _ := strings.Cut(text, "\n\n")
	head = strings.TrimSuffix(head, "\n")
	if !mbox {
		return head + "\n\n" + body
	}
	if strings.HasPrefix(head, "From ") {
		_, head, _ = strings.Cut(head, "\n")
	}
	lines := slices.DeleteFunc(strings.Split(head, "\n"), func(l string) bool {
		name, _, _ := strings.Cut(l, ":")
		return slices.Contains([]string{"Status", "X-Status", "X-Keywords", "Content-Length", "Lines"}, name)
	})
	return strings.Join(lines, "\n") + "\n\n" + body
}

// What comes out is, for Debian's mutt, what it was, to the octet but for the ends of lines: as a
// Maildir, out of a tar, and as mbox files.
func TestExportReadByMutt(t *testing.T) {
	for _, p := range []string{"mutt", "script", "tar"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	s := newSite(t)
	old := filepath.Join(t.TempDir(), "old")
	fill(t, old, 40)
	want := map[string]map[string]string{}
	for i, m := range append(slices.Clone(odd), rare...) {
		must(t, os.WriteFile(filepath.Join(old, "cur", fmt.Sprintf("16000000%02d.M1.old:2,%s", i, []string{"", "S", "FS"}[i%3])), []byte(m), 0o644))
	}
	for folder, name := range map[string]string{"": "INBOX", ".Sent Items": "Sent", ".Papierkorb": "Trash", ".Lists.Go &- more": "Lists/Go & more"} {
		files, err := filepath.Glob(filepath.Join(old, folder, "cur", "*"))
		must(t, err)
		want[name] = map[string]string{}
		for _, f := range files {
			text := string(must1(t, os.ReadFile, f))
			want[name][messageID(text)] = text
		}
	}
	who, out := s.account().Address, t.TempDir()
	s.gives(0, "mailbox", "import", who, old)
	s.gives(0, "mailbox", "export", who, filepath.Join(out, "maildir"))
	s.gives(0, "mailbox", "export", who, filepath.Join(out, "bob.tar"), "--format", "tar")
	run(t, "tar", "-C", out, "-xf", filepath.Join(out, "bob.tar"))
	s.gives(0, "mailbox", "export", who, filepath.Join(out, "boxes"), "--format", "mbox", "--form", "mboxcl2")
	for name, all := range want {
		folder := "." + strings.ReplaceAll(strings.ReplaceAll(name, "&", "&-"), "/", ".")
		if name == "INBOX" {
			folder = "."
		}
		for form, at := range map[string]string{"maildir": filepath.Join(out, "maildir", folder), "tar": filepath.Join(out, "Maildir", folder), "mbox": filepath.Join(out, "boxes", filepath.FromSlash(name)+".mbox")} {
			link := filepath.Join(t.TempDir(), "box") // a name without blanks
			must(t, os.Symlink(at, link))
			got := muttReads(t, link)
			if len(got) != len(all) {
				t.Errorf("%s %s: mutt finds %d messages of %d", form, name, len(got), len(all))
			}
			for id, text := range all {
				if len(got[id]) != 1 || plain(got[id][0], form == "mbox") != plain(text, form == "mbox") {
					t.Errorf("%s %s %s: %.300q, want %.300q", form, name, id, got[id], text)
				}
			}
		}
	}
}
