package moving

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// messages is how many messages are moved in: MOVING, or a sample.
func messages(t testing.TB) int {
	if n, err := strconv.Atoi(os.Getenv("MOVING")); err == nil {
		return n
	}
	if testing.Short() {
		t.Skip("it takes a while")
	}
	return 2000
}

// letter is a small message of its own.
func letter(n int) string {
	return fmt.Sprintf("From: a@old.test\nTo: bob@old.test\nSubject: letter %d\nMessage-ID: <%d@old.test>\n\nThe body of letter %d,\nFrom here on.\n.\n", n, n, n)
}

var base = time.Date(2004, 1, 2, 3, 4, 5, 0, time.UTC)

// fill writes a Maildir with so many letters, every tenth into a folder.
func fill(t testing.TB, dir string, n int) {
	t.Helper()
	folders := []string{"", ".Sent Items", ".Papierkorb", ".Lists.Go &- more"}
	for _, f := range folders {
		for _, sub := range []string{"cur", "new", "tmp"} {
			must(t, os.MkdirAll(filepath.Join(dir, f, sub), 0o755))
		}
		must(t, os.WriteFile(filepath.Join(dir, f, "dovecot-keywords"), []byte("0 $Label1\n1 work\n"), 0o644))
	}
	must(t, os.WriteFile(filepath.Join(dir, "subscriptions"), []byte("V\t2\n\nSent Items\n"), 0o644))
	for i := range n {
		folder, sub, flags := folders[0], "cur", []string{"", "S", "FS", "RSa", "Sb", "T"}[i%6]
		if i%10 == 0 {
			folder = folders[i/10%len(folders)]
		}
		path := filepath.Join(dir, folder, sub, fmt.Sprintf("%d.M%d.old:2,%s", base.Unix()+int64(i), i, flags))
		must(t, os.WriteFile(path, []byte(letter(i)), 0o644))
		at := base.Add(time.Duration(i) * time.Minute)
		must(t, os.Chtimes(path, at, at))
	}
}

// seen is what a client sees of a message.
type seen struct {
	flags string
	date  string
	sum   [32]byte
}

// look reads a whole mailbox over IMAP: by folder, by Message-ID.
func look(t testing.TB, c *imapclient.Client) map[string]map[string][]seen {
	t.Helper()
	all := map[string]map[string][]seen{}
	list, err := c.List("", "*", nil).Collect()
	must(t, err)
	for _, f := range list {
		if slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(f.Attrs, imap.MailboxAttrNonExistent) {
			continue
		}
		s, err := c.Select(f.Mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
		must(t, err)
		name := strings.ReplaceAll(f.Mailbox, string(f.Delim), "/")
		all[name] = map[string][]seen{}
		if s.NumMessages == 0 {
			continue
		}
		var set imap.SeqSet
		set.AddRange(1, 0)
		cmd := c.Fetch(set, &imap.FetchOptions{Flags: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
		for m := cmd.Next(); m != nil; m = cmd.Next() {
			b, err := m.Collect()
			must(t, err)
			text := b.BodySection[0].Bytes
			_, id, _ := strings.Cut(string(text), "Message-ID: ")
			id, _, _ = strings.Cut(id, "\r\n")
			var flags []string
			for _, f := range b.Flags {
				if f != "\\Recent" {
					flags = append(flags, string(f))
				}
			}
			slices.Sort(flags)
			all[name][id] = append(all[name][id], seen{strings.Join(flags, " "), b.InternalDate.UTC().Format(time.RFC3339), sha256.Sum256(text)})
		}
		must(t, cmd.Close())
	}
	return all
}

// compare says what differs between what was and what is, of folders that are called otherwise.
func compare(t testing.TB, was, is map[string]map[string][]seen, rename map[string]string) {
	t.Helper()
	n := 0
	for folder, all := range was {
		to := folder
		if r, ok := rename[folder]; ok {
			to = r
		}
		if len(is[to]) != len(all) {
			t.Errorf("%s: %d messages, and %s has %d", folder, len(all), to, len(is[to]))
		}
		for id, want := range all {
			n++
			if got := is[to][id]; !slices.Equal(got, want) {
				t.Errorf("%s %s: %v, and in %s %v", folder, id, want, to, got)
				if t.Failed() && n > 20 {
					t.FailNow()
				}
			}
		}
	}
}

// Everything comes from Debian's Dovecot by IMAP, once, though the importing process is killed ten
// times on its way; and who has the mailbox open sees it come.
func TestImportThatIsKilledGoesOn(t *testing.T) {
	n := messages(t)
	d, s := newDovecot(t), newSite(t)
	fill(t, d.mail("bob"), n)
	d.own(t, "bob")
	told := make(chan uint32, 10000)
	idler := ours(t, s, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(m *imapclient.UnilateralDataMailbox) {
		if m.NumMessages != nil {
			select {
			case told <- *m.NumMessages:
			default:
			}
		}
	}}})
	_, err := idler.Select("INBOX", nil).Wait()
	must(t, err)
	idle, err := idler.Idle()
	must(t, err)
	args := []string{"mailbox", "import", s.account().Address, "imaps://bob@" + d.address, "--ca", d.ca, "--password-file", d.passwordFile(t)}
	begun, kills := time.Now(), 0
	for k := 1; k <= 10; k++ {
		cmd := s.command(args...)
		must(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for at := n * k / 12; ; time.Sleep(20 * time.Millisecond) {
			if files(t, s.box()) >= at {
				break
			}
			select {
			case err := <-ended:
				t.Fatalf("the import ended by itself after %d files: %v", files(t, s.box()), err)
			default:
			}
		}
		must(t, cmd.Process.Signal(syscall.SIGKILL))
		if err := <-ended; err != nil {
			kills++
		}
	}
	out := s.gives(0, args...)
	t.Logf("%d messages, killed %d times, %v\n%s", n, kills, time.Since(begun).Round(time.Millisecond), out)
	if again := s.gives(0, args...); !strings.Contains(again, "0 messages came, 0 B; "+strconv.Itoa(n)+" messages known from before") {
		t.Errorf("once more: %s", again)
	}
	must(t, idle.Close())
	must(t, idle.Wait())
	if len(told) < 2 {
		t.Errorf("who idled was told %d times", len(told))
	}
	was := look(t, signedIn(t, d.address, d.ca, "bob", d.password, nil))
	is := look(t, ours(t, s, nil))
	compare(t, was, is, map[string]string{"Sent Items": "Sent", "Papierkorb": "Trash"})
	if got := files(t, s.box()); got != n {
		t.Errorf("%d files of %d messages", got, n)
	}
	s.gives(0, "mailbox", "verify")
}

func ours(t testing.TB, s *site, o *imapclient.Options) *imapclient.Client {
	a := s.account()
	return signedIn(t, s.Listen.IMAPS[0], s.CA, a.Address, a.Password, o)
}

// files counts the messages of a mailbox on the disk.
func files(t testing.TB, box string) (n int) {
	for _, pattern := range []string{"cur/*", ".*/cur/*"} {
		all, err := filepath.Glob(filepath.Join(box, pattern))
		must(t, err)
		n += len(all)
	}
	return n
}

// A server that has lost its UIDs has the same messages: none of them comes again. STARTTLS, a
// fingerprint and a master user lead in as well; a certificate that nobody vouches for does not.
func TestImportAfterTheOtherServerNumberedAnew(t *testing.T) {
	d, s := newDovecot(t), newSite(t)
	fill(t, d.mail("bob"), 60)
	d.own(t, "bob")
	who, password := s.account().Address, d.passwordFile(t)
	out := s.gives(1, "mailbox", "import", who, "imaps://bob@"+d.address, "--password-file", password)
	if !strings.Contains(out, "--fingerprint ") {
		t.Fatalf("no way in is shown: %s", out)
	}
	_, print, _ := strings.Cut(out, "--fingerprint ")
	print, _, _ = strings.Cut(print, " ")
	s.gives(1, "mailbox", "import", who, "imaps://bob@"+d.address, "--password-file", password, "--fingerprint", strings.Repeat("0", 64))
	if out := s.gives(0, "mailbox", "import", who, "imap://bob@"+d.clear, "--password-file", password, "--fingerprint", print); !strings.Contains(out, "60 messages came") {
		t.Error(out)
	}
	for _, f := range []string{"", ".Sent Items", ".Papierkorb", ".Lists.Go &- more"} {
		for _, index := range []string{"dovecot-uidlist", "dovecot.index", "dovecot.index.log", "dovecot.index.cache", "dovecot-uidvalidity"} {
			_ = os.Remove(filepath.Join(d.mail("bob"), f, index))
		}
	}
	must(t, os.WriteFile(filepath.Join(d.mail("bob"), "cur", "1900000000.M1.old:2,"), []byte(letter(999)), 0o644))
	d.own(t, "bob")
	if out := s.gives(0, "mailbox", "import", who, "imap://bob@"+d.clear, "--password-file", password, "--ca", d.ca); !strings.Contains(out, "1 message came") || !strings.Contains(out, "60 messages known") {
		t.Error(out)
	}
	boss := filepath.Join(t.TempDir(), "boss")
	must(t, os.WriteFile(boss, []byte(d.master+"\n"), 0o600))
	if out := s.gives(0, "mailbox", "import", who, "imaps://"+d.address, "--user", "boss", "--as", "bob", "--password-file", boss, "--ca", d.ca, "--dry-run", "--folder", "Sent Items"); !strings.Contains(out, "Sent Items") {
		t.Error(out)
	}
	if out := s.gives(1, "mailbox", "import", who, "imaps://bob@"+d.address, "--password-file", boss, "--ca", d.ca); !strings.Contains(out, "does not let in bob") {
		t.Error(out)
	}
}
