package moving

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// small is a server whose mailboxes lie on an ext4 of 64 MiB and 6000 inodes, and what it acknowledged.
type small struct {
	*site
	disk   string
	taken  map[string]bool // by Message-ID: it was acknowledged, and is there once in the end
	serial int
}

// newSmall runs the test once more in a mount namespace of its own, so that no mount outlives it,
// and returns nil to who did that.
func newSmall(t *testing.T) *small {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a file system of its own wants root, to mount it")
	}
	for _, p := range []string{"mkfs.ext4", "mount", "unshare"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	const within = "SALLYPORT_MOVING_WITHIN"
	if os.Getenv(within) == "" {
		self, err := os.Executable()
		must(t, err)
		cmd := exec.Command("timeout", "--kill-after=5", "180", "unshare", "--mount", "--pid", "--fork",
			"--kill-child", "--mount-proc", self, "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), within+"=yes")
		out, err := cmd.CombinedOutput()
		if t.Logf("%s", out); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) && !bytes.Contains(out, []byte("--- SKIP: "+t.Name())) {
			t.Errorf("it fails: %v", err)
		}
		return nil
	}
	s := &small{site: newSite(t), disk: filepath.Join(t.TempDir(), "disk"), taken: map[string]bool{}}
	image := s.disk + ".ext4"
	run(t, "mkfs.ext4", "-q", "-m", "0", "-N", "6000", "-J", "size=4", image, "64M")
	must(t, os.Mkdir(s.disk, 0o700))
	if out, err := exec.Command("mount", "-o", "loop", image, s.disk).CombinedOutput(); err != nil {
		t.Skipf("nothing can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(s.disk, syscall.MNT_DETACH)) })
	t.Cleanup(func() {
		if log, _ := os.ReadFile(filepath.Join(filepath.Dir(s.dir), "log")); t.Failed() {
			t.Logf("the server wrote\n%s", log[max(0, len(log)-3000):])
		}
	})
	s.stop()
	text, err := os.ReadFile(s.Config)
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "\n") // the first line says that the file is quickstart's
	rest += fmt.Sprintf("\n[maildir]\nroot = %q\n[limits]\nmin_free = \"1MiB\"\n[retry]\nfirst = \"1s\"\nmax = \"1s\"\nfactor = 1\njitter = 0\n", filepath.Join(s.disk, "mail"))
	must(t, os.WriteFile(s.Config, []byte(rest), 0o600))
	s.edited = true
	s.start()
	return s
}

// body is a message of 8 KiB.
func (s *small) body(id string) string {
	return "From: a@old.test\r\nSubject: " + id + "\r\nMessage-ID: <" + id + "@old.test>\r\n\r\n" + strings.Repeat("0123456789 "+id+"\r\n", 8<<10/(13+len(id)))
}

// imports brings the source, and returns how many came and what was said; it must exit so.
func (s *small) imports(code int, from string) (came string, out string) {
	s.t.Helper()
	out = s.gives(code, "mailbox", "import", s.account().Address, from)
	if m := regexp.MustCompile(`(\d+) messages? came`).FindStringSubmatch(out); m != nil {
		came = m[1]
	}
	return came, out
}

// appends adds a message over IMAP, and notes it where that was acknowledged.
func (s *small) appends() error {
	s.t.Helper()
	c := ours(s.t, s.site, nil)
	defer c.Close()
	s.serial++
	id := fmt.Sprintf("append%d", s.serial)
	text := s.body(id)
	a := c.Append("INBOX", int64(len(text)), nil)
	_, err := a.Write([]byte(text))
	err = errors.Join(err, a.Close())
	_, answer := a.Wait()
	if err = errors.Join(answer, err); err == nil {
		s.taken["<"+id+"@old.test>"] = true
	}
	var refused *imap.Error
	if err != nil && !errors.As(err, &refused) {
		s.t.Errorf("APPEND is not answered: %v", err)
	}
	return err
}

// delivers sends a message from outside, and notes it where that was acknowledged.
func (s *small) delivers() error {
	s.t.Helper()
	s.serial++
	id := fmt.Sprintf("deliver%d", s.serial)
	c, err := smtp.Dial(s.Listen.MX[0])
	must(s.t, err)
	defer c.Close()
	must(s.t, c.Hello("client.test"))
	if err := errors.Join(c.Mail("eve@remote.test"), c.Rcpt(s.account().Address)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, s.body(id))
	if err = errors.Join(err, w.Close()); err == nil {
		s.taken["<"+id+"@old.test>"] = true
	}
	return err
}

// refused says that APPEND is not acknowledged, and which code it is answered with.
func (s *small) refused(why, code string) {
	s.t.Helper()
	if err := s.appends(); err == nil || !strings.Contains(err.Error(), code) {
		s.t.Errorf("%s: APPEND is answered %v", why, err)
	}
}

// On a real file system that is full of octets, then of inodes, then read-only, each in the middle
// of an import: what is not kept is not acknowledged, what is in the way is named, what came stays,
// the import goes on when there is room again, and nothing comes twice.
func TestASmallFileSystem(t *testing.T) {
	s := newSmall(t)
	if s == nil {
		return
	}
	const n = 3000
	old := filepath.Join(t.TempDir(), "old")
	for _, sub := range []string{"cur", "new", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(old, sub), 0o755))
	}
	for i := range n {
		id := fmt.Sprintf("old%d", i)
		s.taken["<"+id+"@old.test>"] = true
		must(t, os.WriteFile(filepath.Join(old, "cur", fmt.Sprintf("16%08d.M1.old:2,S", i)), []byte(strings.ReplaceAll(s.body(id), "\r\n", "\n")), 0o644))
	}
	filler := filepath.Join(s.disk, "filler")
	leaves(t, s.disk, filler, 8<<20)
	came, out := s.imports(1, old)
	t.Logf("full of octets after %s: %s", came, out)
	if got := files(t, s.box()); got == 0 || got == n || came != fmt.Sprint(got) || !strings.Contains(out, "INBOX: there is no room left for mail") {
		t.Errorf("%d files: %s", got, out)
	}
	leaves(t, s.disk, filler+"2", 900<<10) // what was too much was a batch; now nothing has room
	s.refused("full of octets", "OVERQUOTA")
	if err := s.delivers(); err != nil { // the queue lies elsewhere, and keeps it
		t.Errorf("full of octets: a delivery is answered %v", err)
	}
	must(t, errors.Join(os.Remove(filler), os.Remove(filler+"2")))
	// Within a second the server sees that there is room again.
	s.eventually("room to be seen", func() bool { return s.appends() == nil })
	s.inodes(old)
	s.readOnly(old)
	s.eventually("what was delivered to be there", func() bool {
		all, _ := filepath.Glob(filepath.Join(s.box(), "new", "*"))
		return len(all)+files(t, s.box()) == len(s.taken)
	})
	s.gives(0, "mailbox", "verify")
	all := look(t, ours(t, s.site, nil))
	was := map[string]bool{}
	for folder, found := range all {
		for id, m := range found {
			was[id] = true
			if len(m) != 1 || folder != "INBOX" {
				t.Errorf("%s is %d times in %s", id, len(m), folder)
			}
		}
	}
	if !maps.Equal(was, s.taken) {
		t.Errorf("%d messages are there, and %d were acknowledged", len(was), len(s.taken))
	}
	text := s.body("old7")
	found, err := filepath.Glob(filepath.Join(s.box(), "cur", "*"))
	must(t, err)
	if !slices.ContainsFunc(found, func(f string) bool {
		return strings.ReplaceAll(string(must1(t, os.ReadFile, f)), "\r\n", "\n") == strings.ReplaceAll(text, "\r\n", "\n")
	}) {
		t.Error("a message is not what it was")
	}
}

// leaves takes so much of a file system that so many octets are free.
func leaves(t *testing.T, disk, filler string, octets int64) {
	t.Helper()
	var st syscall.Statfs_t
	must(t, syscall.Statfs(disk, &st))
	run(t, "fallocate", "-l", fmt.Sprint(int64(st.Bavail)*st.Bsize-octets), filler)
}

// inodes takes all but a few of the file system's inodes, while octets are free.
func (s *small) inodes(old string) {
	s.t.Helper()
	before := files(s.t, s.box())
	must(s.t, os.Mkdir(filepath.Join(s.disk, "many"), 0o700))
	all := func() (made []string) {
		for {
			f, err := os.CreateTemp(filepath.Join(s.disk, "many"), "")
			if errors.Is(err, syscall.ENOSPC) {
				return made
			}
			must(s.t, err)
			must(s.t, f.Close())
			made = append(made, f.Name())
		}
	}
	for _, path := range all()[:500] {
		must(s.t, os.Remove(path))
	}
	came, out := s.imports(1, old)
	s.t.Logf("full of inodes after %s more: %s", came, out)
	if got := files(s.t, s.box()); got == before || got >= before+500 || came != fmt.Sprint(got-before) || !strings.Contains(out, "no space left on device") {
		s.t.Errorf("%d files, and %d before: %s", got, before, out)
	}
	all()
	s.refused("full of inodes", "OVERQUOTA")
	if err := s.delivers(); err != nil {
		s.t.Errorf("full of inodes: a delivery is answered %v", err)
	}
	must(s.t, os.RemoveAll(filepath.Join(s.disk, "many")))
	must(s.t, s.appends())
}

// readOnly makes the file system read-only while an import runs, and then writable again.
func (s *small) readOnly(old string) {
	s.t.Helper()
	before := files(s.t, s.box())
	cmd := s.command("mailbox", "import", s.account().Address, old)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(s.t, cmd.Start())
	s.eventually("the import to be in its middle", func() bool { return files(s.t, s.box()) > before+100 })
	// Who has a file open for writing at that moment is in the way: once more.
	s.eventually("it to be read-only", func() bool { return exec.Command("mount", "-o", "remount,ro", s.disk).Run() == nil })
	err := cmd.Wait()
	after := files(s.t, s.box())
	s.t.Logf("read-only after %d more: %v\n%s", after-before, err, out.String())
	if err == nil || after == before || after >= len(s.taken) {
		s.t.Errorf("the import ends with %v, and %d of %d are there:\n%s", err, after, len(s.taken), out.String())
	}
	s.refused("read-only", "SERVERBUG")
	if err := s.delivers(); err != nil {
		s.t.Errorf("read-only: a delivery is answered %v", err)
	}
	run(s.t, "mount", "-o", "remount,rw", s.disk)
	if _, out := s.imports(0, old); !strings.Contains(out, "came") {
		s.t.Errorf("once more: %s", out)
	}
	if _, out := s.imports(0, old); !strings.Contains(out, "0 messages came, 0 B; 3000 messages known") {
		s.t.Errorf("and again: %s", out)
	}
	must(s.t, s.appends())
	must(s.t, s.delivers())
}

func (s *small) eventually(what string, ok func() bool) {
	s.t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			s.t.Fatalf("never: %s", what)
		}
	}
}
