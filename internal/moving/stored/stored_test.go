package stored

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/operate/backup"
	"sallyport/internal/store/pebble"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func alice(t *testing.T) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	must(t, err)
	return a
}

// came is when the messages of a mailbox came in.
func came() time.Time { return time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC) }

func text(subject string) string {
	return "Subject: " + subject + "\r\n\r\n" + subject + " is here.\r\n"
}

// lived makes a mailbox in which somebody worked: two messages stay in the INBOX behind one that
// left, and one is in Work. It returns the folder above all mailboxes, and that of the mailbox.
func lived(t *testing.T) (root, dir string) {
	t.Helper()
	root = t.TempDir()
	dir, ok := maildir.Folder(root, alice(t))
	if !ok {
		t.Fatal("no folder")
	}
	must(t, os.MkdirAll(filepath.Dir(dir), 0o700))
	host, err := mail.ParseDomain("mx.local.test")
	must(t, err)
	boxes, err := mailbox.New(mailbox.Options{
		FS: pebble.HostDisk(), Folder: func(mail.Address) (string, bool) { return dir, true }, Hostname: host,
		Limits: mailbox.DefaultLimits(), Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	defer boxes.Close()
	user, err := boxes.User(t.Context(), alice(t))
	must(t, err)
	defer user.Close()
	must(t, user.Create(t.Context(), "Work/Go", mailbox.UseNone))
	for folder, subjects := range map[string][]string{mailbox.Inbox: {"zero", "one", "two"}, "Work/Go": {"three"}} {
		box, err := user.Select(t.Context(), folder, false)
		must(t, err)
		for _, s := range subjects {
			_, err := box.Append(t.Context(), strings.NewReader(text(s)), int64(len(text(s))), mailbox.NewFlags(mailbox.Seen, "k-"+s), came())
			must(t, err)
		}
		box.Close()
	}
	// The first one left; the others keep their UIDs.
	must(t, os.Remove(file(t, dir, "zero")))
	box, err := user.Select(t.Context(), mailbox.Inbox, true)
	must(t, err)
	box.Close()
	return root, dir
}

// file finds the file of a message below a folder.
func file(t *testing.T, dir, subject string) (path string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var b []byte
			if b, err = os.ReadFile(at); slices.Contains(strings.Fields(string(b)), subject) && bytes.HasPrefix(b, []byte("Subject: ")) {
				path = at
			}
		}
		return err
	}))
	if path == "" {
		t.Fatalf("%s has no file", subject)
	}
	return path
}

// pack makes a backup of everything below root. spoil says what the manifest says of a member
// instead of its sum, and "" leaves the manifest away for good: the backup is cut short there.
func pack(t *testing.T, root string, spoil func(name string, sum string) string) string {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	must(t, err)
	w := tar.NewWriter(z)
	manifest, whole := "", true
	add := func(h *tar.Header, b []byte) {
		h.Size, h.Format = int64(len(b)), tar.FormatPAX
		must(t, w.WriteHeader(h))
		_, err := w.Write(b)
		must(t, err)
		sum := fmt.Sprintf("%x", sha256.Sum256(b))
		if sum = spoil(h.Name, sum); sum == "" {
			whole = false
		}
		manifest += sum + "  " + h.Name + "\n"
	}
	info, err := json.Marshal(backup.Info{Format: backup.Format, Hostname: "mx.local.test", Began: came().Add(time.Hour), Mailboxes: true})
	must(t, err)
	add(&tar.Header{Typeflag: tar.TypeReg, Name: backup.InfoName, Mode: 0o600}, info)
	must(t, filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == root {
			return err
		}
		rel, err := filepath.Rel(root, at)
		must(t, err)
		i, err := d.Info()
		must(t, err)
		h := &tar.Header{Name: "data/mail/" + filepath.ToSlash(rel), Mode: 0o600, ModTime: i.ModTime()}
		if d.IsDir() {
			h.Typeflag, h.Format = tar.TypeDir, tar.FormatPAX
			return w.WriteHeader(h)
		}
		h.Typeflag = tar.TypeReg
		b, err := os.ReadFile(at)
		must(t, err)
		add(h, b)
		return nil
	}))
	if whole {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: backup.ManifestName, Mode: 0o600, Size: int64(len(manifest)), Format: tar.FormatPAX}))
		_, err = io.WriteString(w, manifest)
		must(t, err)
	}
	must(t, errors.Join(w.Close(), z.Close()))
	path := filepath.Join(t.TempDir(), "mail.backup")
	must(t, os.WriteFile(path, out.Bytes(), 0o600))
	return path
}

func asItIs(_, sum string) string { return sum }

func options(t *testing.T, from string) Options {
	t.Helper()
	return Options{
		From: from, Account: alice(t), Tmp: t.TempDir(), Folder: func(string) bool { return true }, Match: func(Candidate) (bool, error) { return true, nil },
		Now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Tell: func(int64, int64) {}, Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, o Options) *Place {
	t.Helper()
	p, err := Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

// taken is what came of a folder, and what was said of it.
type taken struct {
	got     []moving.Message
	said    []string
	refuses func(mailbox.Origin) bool
	full    error
}

func (t *taken) Listed([]mailbox.Origin)        {}
func (t *taken) Wanted(o mailbox.Origin) bool   { return t.refuses == nil || !t.refuses(o) }
func (t *taken) Remark(name, what string)       { t.said = append(t.said, name+" "+what) }
func (t *taken) Message(m moving.Message) error { t.got = append(t.got, m); return t.full }
func (t *taken) Unreadable(n string, e error) error {
	t.said = append(t.said, n+" does not read: "+e.Error())
	return nil
}

// read takes a folder and checks that each message is as it was.
func read(t *testing.T, p *Place, folder string, want ...string) *taken {
	t.Helper()
	got := &taken{}
	must(t, p.Read(t.Context(), folder, got))
	var have []string
	for _, m := range got.got {
		subject, _, _ := strings.Cut(strings.TrimPrefix(string(m.Octets), "Subject: "), "\r\n")
		have = append(have, m.Name+" "+subject)
		if string(m.Octets) != text(subject) || m.Flags != mailbox.NewFlags(mailbox.Seen, "k-"+subject) || !m.Date.Equal(came()) {
			t.Errorf("%s: %q, %+v, %v", m.Name, m.Octets, m.Flags, m.Date)
		}
	}
	if !slices.Equal(have, want) {
		t.Errorf("of %s came %q, want %q", folder, have, want)
	}
	return got
}

// A copy of a mailbox, and a backup, are read with the UIDs, flags, keywords and dates that the
// messages had, and what was backed up is not touched.
func TestAMailboxIsReadAsItWas(t *testing.T) {
	root, dir := lived(t)
	for _, c := range []struct{ from, identity, into string }{
		{dir, "copy " + dir, "Restored 2026-11-30"},
		{pack(t, root, asItIs), "backup of 2026-11-02T11:00:00Z", "Restored " + came().Add(time.Hour).Local().Format(time.DateOnly)},
	} {
		o := options(t, c.from)
		p := open(t, o)
		if p.Damage() != nil || p.Identity() != c.identity || p.Into() != c.into {
			t.Errorf("%v, %q, %q; want %q, %q", p.Damage(), p.Identity(), p.Into(), c.identity, c.into)
		}
		all, err := p.Folders(t.Context())
		must(t, err)
		var names []string
		for _, f := range all {
			if f.Messages > 0 {
				names = append(names, fmt.Sprintf("%s %v %d", f.Name, f.Levels, f.Messages))
			}
		}
		slices.Sort(names)
		if want := []string{"INBOX [INBOX] 2", "Work/Go [Work Go] 1"}; !slices.Equal(names, want) {
			t.Errorf("folders %q, want %q", names, want)
		}
		inbox := read(t, p, mailbox.Inbox, "UID 2 one", "UID 3 two")
		work := read(t, p, "Work/Go", "UID 1 three")
		if len(inbox.said)+len(work.said) != 0 {
			t.Errorf("said %q, %q", inbox.said, work.said)
		}
		if inbox.got[0].Origin == inbox.got[1].Origin || inbox.got[0].Origin == work.got[0].Origin {
			t.Error("two messages are one")
		}
		// What came once is known by the same origin from another opening of the same place.
		again := options(t, c.from)
		other := read(t, open(t, again), mailbox.Inbox, "UID 2 one", "UID 3 two")
		if other.got[0].Origin != inbox.got[0].Origin {
			t.Error("the same message is another one")
		}
	}
	if b, err := os.ReadFile(file(t, dir, "one")); err != nil || strings.ReplaceAll(string(b), "\r\n", "\n") != strings.ReplaceAll(text("one"), "\r\n", "\n") {
		t.Errorf("the copy that was read: %q, %v", b, err)
	}
	// Where the index is not there, the files say when their messages came.
	bare := t.TempDir()
	must(t, os.Mkdir(filepath.Join(bare, "cur"), 0o700))
	alone := filepath.Join(bare, "cur", "1.one.mx:2,S")
	must(t, os.WriteFile(alone, []byte(text("one")), 0o600))
	must(t, os.Chtimes(alone, came(), came()))
	got := &taken{}
	must(t, open(t, options(t, bare)).Read(t.Context(), mailbox.Inbox, got))
	if len(got.got) != 1 || !got.got[0].Date.Equal(came()) || got.got[0].Flags.System != mailbox.Seen {
		t.Errorf("without an index: %+v", got.got)
	}
	o := options(t, dir)
	o.Into = "Old"
	if p := open(t, o); p.Into() != "Old" {
		t.Errorf("into %q", p.Into())
	}
}

// Of folders that nobody asked for nothing is taken out, and of messages those that match and are
// wanted come.
func TestOnlyWhatIsAskedForComes(t *testing.T) {
	root, dir := lived(t)
	for _, from := range []string{dir, pack(t, root, asItIs)} {
		o := options(t, from)
		o.Folder = func(name string) bool { return name == mailbox.Inbox }
		o.Match = func(m Candidate) (bool, error) {
			b, err := m.Read()
			if m.Folder != mailbox.Inbox || m.Validity == 0 || !m.Date.Equal(came()) || err != nil {
				t.Errorf("%+v, %v", m, err)
			}
			return strings.Contains(string(b), "two"), nil
		}
		p := open(t, o)
		read(t, p, mailbox.Inbox, "UID 3 two")
		all, err := p.Folders(t.Context())
		if err != nil || len(all) != 1 || all[0].Name != mailbox.Inbox {
			t.Errorf("%+v, %v", all, err)
		}
		must(t, filepath.WalkDir(o.Tmp, func(at string, _ fs.DirEntry, err error) error {
			if strings.Contains(at, "Work") {
				t.Errorf("%s was taken out", at)
			}
			return err
		}))
		none := &taken{refuses: func(mailbox.Origin) bool { return true }}
		if must(t, p.Read(t.Context(), mailbox.Inbox, none)); len(none.got) != 0 {
			t.Errorf("what is not wanted came: %+v", none.got)
		}
		full := &taken{full: errors.New("no room")}
		if err := p.Read(t.Context(), mailbox.Inbox, full); !errors.Is(err, full.full) {
			t.Errorf("%v, want %v", err, full.full)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Read(gone, mailbox.Inbox, &taken{}); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	}
}

// What is not what it was comes all the same, and is told; what does not read is told, and the others come.
func TestWhatIsNotAsItWasIsTold(t *testing.T) {
	root, dir := lived(t)
	says := func(said []string, uid, what string) bool {
		return slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, uid+" ") && strings.Contains(s, what) })
	}
	// The manifest knows another message.
	two := filepath.Base(file(t, dir, "two"))
	p := open(t, options(t, pack(t, root, func(name, sum string) string {
		if filepath.Base(name) == two {
			return strings.Repeat("0", len(sum))
		}
		return sum
	})))
	if got := read(t, p, mailbox.Inbox, "UID 2 one", "UID 3 two"); len(got.said) != 1 || !says(got.said, "UID 3", "is not what was backed up") || p.Damage() != nil {
		t.Errorf("said %q, %v", got.said, p.Damage())
	}
	// The backup ends early: of nothing it can be told.
	p = open(t, options(t, pack(t, root, func(name, sum string) string {
		if filepath.Base(name) == two {
			return ""
		}
		return sum
	})))
	if got := read(t, p, mailbox.Inbox, "UID 2 one", "UID 3 two"); len(got.said) != 2 || !says(got.said, "UID 2", "cannot be told") || !errors.Is(p.Damage(), backup.ErrDamaged) {
		t.Errorf("said %q, %v", got.said, p.Damage())
	}
	// A disk lost a bit, and another message its end.
	one := file(t, dir, "one")
	b, err := os.ReadFile(one)
	must(t, err)
	must(t, os.WriteFile(one, bytes.Replace(b, []byte("here"), []byte("hers"), 1), 0o600))
	must(t, os.Chtimes(one, came(), came()))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(one), two), []byte("Subject: two\n"), 0o600))
	p = open(t, options(t, dir))
	got := &taken{}
	must(t, p.Read(t.Context(), mailbox.Inbox, got))
	if len(got.got) != 2 || !says(got.said, "UID 2", "its octets have changed") || !says(got.said, "UID 3", "has 14 octets with CRLF") && !says(got.said, "UID 3", "have changed") {
		t.Errorf("%d came, said %q", len(got.got), got.said)
	}
	// A message goes while its folder is read.
	o := options(t, dir)
	o.Match = func(m Candidate) (bool, error) {
		if m.UID == 2 {
			return true, os.Remove(file(t, o.Tmp, "one"))
		}
		return true, nil
	}
	got = &taken{}
	must(t, open(t, o).Read(t.Context(), mailbox.Inbox, got))
	if len(got.got) != 1 || !says(got.said, "UID 2", "does not read") {
		t.Errorf("%d came, said %q", len(got.got), got.said)
	}
}

// Nothing but a mailbox is opened, and no link leads out of a copy.
func TestWhatIsNoMailboxIsRefused(t *testing.T) {
	root, dir := lived(t)
	empty := t.TempDir()
	bob, err := mail.ParseAddress("bob@local.test", mail.ASCII)
	must(t, err)
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.From = empty }, "is no mailbox"},
		{func(o *Options) { o.From = filepath.Join(empty, "missing") }, "no such file"},
		{func(o *Options) { o.From, o.Account = pack(t, root, asItIs), bob }, "holds no mailbox of bob@local.test"},
		{func(o *Options) { o.Account = mail.Address{} }, mailbox.ErrNoAccount.Error()},
		{func(o *Options) { o.Tmp = filepath.Join(empty, "missing") }, "no such file"},
	} {
		o := options(t, dir)
		c.change(&o)
		if p, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) || p != nil {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, from := range []string{dir, pack(t, root, asItIs)} {
		if _, err := Open(gone, options(t, from)); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	}
	secret := filepath.Join(empty, "secret")
	must(t, os.WriteFile(secret, []byte(text("secret")), 0o600))
	must(t, os.Symlink(secret, filepath.Join(dir, "cur", "9.secret:2,S")))
	read(t, open(t, options(t, dir)), mailbox.Inbox, "UID 2 one", "UID 3 two")
}
