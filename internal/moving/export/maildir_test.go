package export

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving/mbox"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// write writes two folders, and returns how many keywords found no room.
func write(t *testing.T, w Writer, uids ...uint32) (dropped int) {
	t.Helper()
	for _, name := range []string{"INBOX", "Sent"} {
		if err := w.Folder(name, true, 7); err != nil {
			t.Fatal(err)
		}
		for _, uid := range uids {
			if w.Has(uid) {
				continue
			}
			n, err := w.Write(Message{
				UID: uid, Flags: mailbox.NewFlags(mailbox.Seen, "Work", fmt.Sprint("k", uid)), Date: noon,
				Octets: Unix([]byte("Subject: x\r\n\r\nHello.\r\n")),
			})
			if err != nil {
				t.Fatal(err)
			}
			dropped += n
		}
	}
	return dropped
}

// files are those of a folder on the disk.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A Maildir++ has each message once, as others name it, with its time, flags and keywords; an
// export that goes on writes what came since, and nothing twice; one that is to begin leaves what
// is there.
func TestAMaildirGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	w, err := Maildir(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if write(t, w, 1); w.Commit() != nil {
		t.Fatal("not committed")
	}
	const name = "1795435200.V7U1.sallyport,S=19,W=22:2,Sab"
	for _, sub := range []string{"", ".Sent"} {
		if got := files(t, filepath.Join(dir, sub, "cur")); !slices.Equal(got, []string{name}) {
			t.Errorf("%q in cur: %q", sub, got)
		}
		if got := files(t, filepath.Join(dir, sub, "tmp")); len(got) != 0 {
			t.Errorf("%q in tmp: %q", sub, got)
		}
	}
	if i, err := os.Stat(filepath.Join(dir, "cur", name)); err != nil || !i.ModTime().Equal(noon) || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i, err)
	}
	for file, want := range map[string]string{"subscriptions": "Sent\n", "dovecot-keywords": "0 k1\n1 Work\n", ".Sent/maildirfolder": "", "cur/" + name: "Subject: x\n\nHello.\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
	if _, err := Maildir(dir, false); !errors.Is(err, ErrThere) {
		t.Errorf("begun anew: %v", err)
	}
	if w, err = Maildir(dir, true); err != nil {
		t.Fatal(err)
	}
	if write(t, w, 1, 2); w.Commit() != nil {
		t.Fatal("not committed")
	}
	if got := files(t, filepath.Join(dir, "cur")); len(got) != 2 || !strings.HasSuffix(got[1], ":2,Sbc") {
		t.Errorf("after both: %q", got)
	}
	if _, err := Maildir(filepath.Join(dir, "subscriptions"), true); err == nil {
		t.Error("a file is taken for a folder")
	}
}

// A folder of a Maildir has as many keywords as there are letters; the others are counted.
func TestKeywordsWithoutALetter(t *testing.T) {
	w, err := Maildir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	var uids []uint32
	for uid := range uint32(keywordLetters + 4) {
		uids = append(uids, uid+1)
	}
	if n := write(t, w, uids...); n != 2*5 { // one letter is that of Work
		t.Errorf("%d keywords found no room", n)
	}
}

// An archive has the same Maildir, gets its name when it is whole, and replaces nothing; one that
// was given up leaves nothing.
func TestAnArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.tar")
	w, err := Tar(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, 1, 2)
	if _, err := os.Stat(path); err == nil {
		t.Error("it has its name before it is whole")
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	held := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
		text, _ := io.ReadAll(r)
		held[h.Name] = string(text)
	}
	for name, want := range map[string]string{
		"Maildir/cur/1795435200.V7U1.sallyport,S=19,W=22:2,Sab": "Subject: x\n\nHello.\n", "Maildir/.Sent/cur/1795435200.V7U2.sallyport,S=19,W=22:2,Sbc": "Subject: x\n\nHello.\n",
		"Maildir/dovecot-keywords": "0 k1\n1 Work\n2 k2\n", "Maildir/subscriptions": "Sent\n", "Maildir/.Sent/new/": "",
	} {
		if got, ok := held[name]; !ok || got != want {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
	if _, err := Tar(path); !errors.Is(err, ErrThere) {
		t.Errorf("where it is already: %v", err)
	}
	other := filepath.Join(filepath.Dir(path), "other.tar")
	if w, err = Tar(other); err != nil {
		t.Fatal(err)
	}
	write(t, w, 1)
	w.Abort()
	if got := files(t, filepath.Dir(path)); !slices.Equal(got, []string{"out.tar"}) {
		t.Errorf("left: %q", got)
	}
}

// Files of mail that were given up leave nothing either.
func TestFilesOfMailThatAreGivenUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	w, err := Mbox(dir, mbox.RD)
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, 1)
	if w.Has(1) {
		t.Error("a file of mail is said to have a message")
	}
	w.Abort()
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}
