package moving

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// odd are messages that a form could spoil.
var odd = []string{
	"Subject: from\nMessage-ID: <odd1@old.test>\n\nFrom here on\n>From there\n>>From nowhere\n\nFrom a@b.test Sun Nov 29 15:04:05 2009\nx\n",
	"Subject: dots\nMessage-ID: <odd2@old.test>\n\n.\n..\n\n\n",
	"Subject: no body\nMessage-ID: <odd3@old.test>\n\n",
	"Subject: octets\nMessage-ID: <odd4@old.test>\nContent-Type: text/plain; charset=utf-8\n\n\xc3\xbc \xff\x80 \x7f \t \x0c\n",
	"Subject: long\nMessage-ID: <odd5@old.test>\n\n" + strings.Repeat("x", 5000) + "\n",
}

// filled is a site whose bob has what a Maildir had.
func filled(t *testing.T) (*site, string) {
	s := newSite(t)
	old := filepath.Join(t.TempDir(), "old")
	fill(t, old, 60)
	for i, m := range odd {
		must(t, os.WriteFile(filepath.Join(old, "cur", fmt.Sprintf("160000000%d.M1.old:2,FS", i)), []byte(m), 0o644))
	}
	s.gives(0, "mailbox", "import", s.account().Address, old)
	return s, old
}

// What comes out is, for Dovecot, what it was: to the octet, with flags, keywords and dates, as a
// Maildir, out of a tar, and as mbox files.
func TestExportReadByDovecot(t *testing.T) {
	d := newDovecot(t)
	s, _ := filled(t)
	was := look(t, ours(t, s, nil))
	who := s.account().Address
	s.gives(0, "mailbox", "export", who, d.mail("maildir"))
	tar := filepath.Join(t.TempDir(), "bob.tar")
	s.gives(0, "mailbox", "export", who, tar, "--format", "tar")
	run(t, "tar", "-C", d.mail(""), "-xf", tar)
	must(t, os.Rename(d.mail("Maildir"), d.mail("tar")))
	for _, user := range []string{"maildir", "tar"} {
		d.own(t, user)
		compare(t, was, look(t, signedIn(t, d.address, d.ca, user, d.password, nil)), nil)
	}
	boxes := filepath.Join(t.TempDir(), "boxes")
	s.gives(0, "mailbox", "export", who, boxes, "--format", "mbox", "--form", "mboxcl2")
	mbox := map[string]map[string][]seen{}
	for folder := range was {
		text, err := os.ReadFile(filepath.Join(boxes, filepath.FromSlash(folder)) + ".mbox")
		must(t, err)
		must(t, os.MkdirAll(d.mail("spool"), 0o755))
		must(t, os.WriteFile(d.mail("spool/inbox"), text, 0o644))
		d.own(t, "spool")
		mbox[folder] = look(t, d.reads(t, "mbox:"+d.mail("spool")+":INBOX="+d.mail("spool/inbox")+":INDEX=MEMORY"))["INBOX"]
		must(t, os.RemoveAll(d.mail("spool")))
	}
	// Dovecot takes keywords from an mbox only where it has listed them itself.
	for _, all := range was {
		for id, m := range all {
			m[0].flags = strings.TrimSpace(strings.NewReplacer("$Label1 ", "", " work", "").Replace(m[0].flags))
			all[id] = m
		}
	}
	compare(t, was, mbox, nil)
}

// Damage in the middle of use: what is lost is named, and nothing else is.
func TestDamageIsNamedAndNothingElseLost(t *testing.T) {
	s, _ := filled(t)
	c := ours(t, s, nil)
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	before := look(t, ours(t, s, nil))
	all, err := filepath.Glob(filepath.Join(s.box(), "cur", "*"))
	must(t, err)
	file := func(id string) string {
		return all[slices.IndexFunc(all, func(f string) bool {
			text, _ := os.ReadFile(f)
			return bytes.Contains(text, []byte(id))
		})]
	}
	cut, flipped := file("odd5@"), file("odd1@")
	must(t, os.Truncate(cut, 60))
	text, err := os.ReadFile(flipped)
	must(t, err)
	text[len(text)-2] ^= 4
	must(t, os.WriteFile(flipped, text, 0o600))
	index := filepath.Join(s.box(), "sallyport")
	text, err = os.ReadFile(filepath.Join(index, "journal"))
	must(t, err)
	text[len(text)/2] ^= 4
	must(t, os.WriteFile(filepath.Join(index, "journal"), text, 0o600)) // a flipped bit
	must(t, os.RemoveAll(filepath.Join(s.box(), ".Sent", "sallyport"))) // a lost index
	out := s.gives(1, "mailbox", "verify")
	if !strings.Contains(out, filepath.Base(cut)+" has 63 octets with CRLF, and had 5048") ||
		!strings.Contains(out, filepath.Base(flipped)+" is not what it was") ||
		!strings.Contains(out, "sallyport/journal is damaged") {
		t.Errorf("verify says\n%s", out)
	}
	to := filepath.Join(t.TempDir(), "out")
	out = s.gives(1, "mailbox", "export", s.account().Address, to)
	if strings.Count(out, "sallyport: ") != 2 ||
		!strings.Contains(out, "has 63 octets with CRLF, and had 5048; it is written as it is") ||
		!strings.Contains(out, "is not what it was: its octets have changed; it is written as it is") {
		t.Errorf("export names\n%s", out)
	}
	s.stop()
	s.start()
	after := look(t, ours(t, s, nil))
	for _, id := range []string{"<odd5@old.test>", "<odd1@old.test>"} {
		delete(before["INBOX"], id)
		delete(after["INBOX"], id)
	}
	for _, all := range []map[string]map[string][]seen{before, after} { // keywords were in what is lost
		for _, folder := range []string{"INBOX", "Sent"} {
			for id, m := range all[folder] {
				m[0].flags = strings.TrimSpace(strings.NewReplacer("$Label1", "", "work", "").Replace(m[0].flags))
				all[folder][id] = m
			}
		}
	}
	compare(t, before, after, nil)
}
