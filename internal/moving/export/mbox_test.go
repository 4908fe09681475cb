package export

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
	"sallyport/internal/moving/mbox"
	read "sallyport/internal/moving/mboxes"
)

type taken struct{ messages []string }

func (t *taken) Listed([]mailbox.Origin)        {}
func (t *taken) Wanted(mailbox.Origin) bool     { return true }
func (t *taken) Remark(string, string)          {}
func (t *taken) Unreadable(string, error) error { return nil }

func (t *taken) Message(m moving.Message) error {
	t.messages = append(t.messages, string(m.Octets))
	return nil
}

// However somebody calls his folders, all of them are written, and those whose names a file can
// have are read under them again.
func TestEveryFolderHasAFile(t *testing.T) {
	names := []string{
		"INBOX", "A", "A/B", "A.mbox", "A.mbox/B", "A.mbox.part", "A.mbox.part/C", "A.sbd", "A.sbd/D", "A.mbox.sbd/E", ".x", "_.x", "__.x", "../up", "mbox", "mbox/mbox",
		strings.Repeat("l", 249), strings.Repeat("l", 248) + "m", strings.Repeat("\u00fc", 120) + "/x",
	}
	for _, order := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "out")
		w, err := Mbox(dir, mbox.RD)
		if err != nil {
			t.Fatal(err)
		}
		for i := range names {
			name := names[i]
			if !order {
				name = names[len(names)-1-i]
			}
			if err := w.Folder(name, true, 1); err != nil {
				t.Fatal(name, err)
			}
			if _, err := w.Write(Message{UID: 1, Date: time.Unix(1<<30, 0), Octets: []byte("Subject: " + name + "\n\nx\n")}); err != nil {
				t.Fatal(name, err)
			}
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		p, err := read.Open(dir, mbox.Any, time.UTC, "joe")
		if err != nil {
			t.Fatal(err)
		}
		folders, err := p.Folders(context.Background())
		if err != nil || len(folders) != len(names) {
			t.Errorf("%d folders of %d: %v %v", len(folders), len(names), folders, err)
		}
		for _, f := range folders {
			got := &taken{}
			if err := p.Read(context.Background(), f.Name, got); err != nil || len(got.messages) != 1 {
				t.Errorf("%s: %v %v", f.Name, got.messages, err)
				continue
			}
			was, _, _ := strings.Cut(strings.TrimPrefix(got.messages[0], "Subject: "), "\n")
			if f.Name != was && !strings.Contains(was, ".x") && !strings.HasPrefix(was, "..") && len(was) < 200 {
				t.Errorf("%q is read as %q", was, f.Name)
			}
		}
		_ = p.Close()
	}
}
