package maildir

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/store/pebble"
)

const message = "Received: from a by b; now\r\nFrom: <bob@remote.test>\r\nSubject: x\r\n\r\nHello\r\n.\r\n\r\nbye\r\n"

// lf is a text as a mailbox keeps it.
func lf(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

func newTarget(t *testing.T, fs vfs.FS, root string) *Target {
	t.Helper()
	target, err := New(Options{
		FS: pebble.Disk(fs), Root: root, Hostname: domain(t, "mx.local.test"), Limits: DefaultLimits(),
		Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// job is a message to recipients given as "address mailbox".
func job(t testing.TB, text string, to ...string) nexthop.Job {
	t.Helper()
	id, err := mail.NewID(time.UnixMilli(1_800_000_000_000), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	j := nexthop.Job{
		ID: id, Envelope: mail.Envelope{From: mail.PathOf(address(t, "bob@remote.test"))},
		Size: int64(len(text)), Attempt: 1,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
	for _, s := range to {
		rcpt, box, _ := strings.Cut(s, " ")
		j.Recipients = append(j.Recipients, nexthop.Recipient{
			Recipient: mail.Recipient{Address: address(t, rcpt)}, Mailbox: address(t, box),
		})
	}
	return j
}

func TestMailArrivesByteExact(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "mail")
	target := newTarget(t, vfs.Default, root)
	text := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", 20_000)
	for name, text := range map[string]string{"small": message, "empty": "", "large": text} {
		t.Run(name, func(t *testing.T) {
			j := job(t, text, "Alice+lists@local.test alice@local.test")
			out := target.Deliver(t.Context(), j)
			if len(out) != 1 || !out[0].Delivered() || out[0].Recipient != j.Recipients[0].Address || out[0].Remote != "maildir" {
				t.Fatalf("%v", out)
			}
			file := filepath.Join(root, "local.test", "alice", "new", target.fileName(j.ID, j.Recipients[0].Mailbox))
			got, err := os.ReadFile(file)
			want := "Return-Path: <bob@remote.test>\nDelivered-To: Alice+lists@local.test\n" + lf(text)
			if err != nil || string(got) != want {
				t.Fatalf("%v: %d octets, want %d", err, len(got), len(want))
			}
		})
	}
	info, err := os.Stat(filepath.Join(root, "local.test", "alice"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the mailbox is open to others: %v, %v", info.Mode(), err)
	}
	if rest, _ := os.ReadDir(filepath.Join(root, "local.test", "alice", "tmp")); len(rest) != 0 {
		t.Errorf("tmp holds %v", rest)
	}
}

func TestNullSenderIsWritten(t *testing.T) {
	fs := vfs.NewMem()
	target := newTarget(t, fs, "/mail")
	j := job(t, message, "alice@local.test alice@local.test")
	j.Envelope.From = mail.NullPath()
	if out := target.Deliver(t.Context(), j); !out[0].Delivered() {
		t.Fatalf("%v", out)
	}
	if got := files(t, fs, "/mail/local.test/alice/new"); len(got) != 1 || !strings.HasPrefix(only(got), "Return-Path: <>\n") {
		t.Errorf("%q", got)
	}
}

func TestRepeatedDeliveryIsTheSameFile(t *testing.T) {
	const box = "/mail/local.test/alice"
	for _, where := range []string{"new", "cur", "cur, with flags", "cur, with sizes", "gone"} {
		t.Run(where, func(t *testing.T) {
			fs := vfs.NewMem()
			target := newTarget(t, fs, "/mail")
			j := job(t, message, "alice@local.test alice@local.test")
			target.Deliver(t.Context(), j)
			name := target.fileName(j.ID, j.Recipients[0].Mailbox)
			suffix := map[string]string{"cur, with flags": ":2,S", "cur, with sizes": ",S=99:2,"}[where]
			if strings.HasPrefix(where, "cur") {
				check(t, fs.Rename(box+"/new/"+name, box+"/cur/"+name+suffix))
			} else if where == "gone" {
				check(t, fs.Remove(box+"/new/"+name))
			}
			j.Attempt = 2
			if out := target.Deliver(t.Context(), j); !out[0].Delivered() {
				t.Fatalf("%v", out)
			}
			if n := len(files(t, fs, box+"/new")) + len(files(t, fs, box+"/cur")); n != 1 {
				t.Errorf("%d copies", n)
			}
		})
	}
}

// However the queue hands the message out, each CRLF becomes LF, and nothing else changes.
func TestLinesEndAsMaildirHasThem(t *testing.T) {
	text := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abc\r\n", 10_000) + "a\rb\r\r\nc\n\r\n\r"
	for _, at := range []int{1, 2, 7, bufferOctets - 1, bufferOctets, 1 << 20} {
		fs := vfs.NewMem()
		target := newTarget(t, fs, "/mail")
		j := job(t, text, "alice@local.test alice@local.test")
		j.Open = func() (io.ReadCloser, error) {
			return io.NopCloser(pieces{strings.NewReader(text), at}), nil
		}
		if out := target.Deliver(t.Context(), j); !out[0].Delivered() {
			t.Fatalf("%v", out)
		}
		want := "Return-Path: <bob@remote.test>\nDelivered-To: alice@local.test\n" + lf(text)
		if got := only(files(t, fs, "/mail/local.test/alice/new")); got != want {
			t.Errorf("pieces of %d: %d octets, want %d", at, len(got), len(want))
		}
	}
}

// pieces gives at most so many octets a read.
type pieces struct {
	r    io.Reader
	most int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.most)]) }

// What an earlier attempt left whole counts, with the ends of lines of this version or of
// the one before; what is shorter does not.
func TestTheLengthOfWhatLiesThere(t *testing.T) {
	const head = "Return-Path: <x>\n"
	whole := head + lf(message)
	for name, c := range map[string]struct{ lies, want string }{
		"LF":                  {whole, whole},
		"CRLF":                {head + message, head + message},
		"cut behind the head": {whole[:len(lf(message))], "Return-Path: <bob@remote.test>\nDelivered-To: alice@local.test\n" + lf(message)},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			target := newTarget(t, fs, "/mail")
			j := job(t, message, "alice@local.test alice@local.test")
			j.Attempt = 2
			check(t, target.ensure("/mail/local.test/alice"))
			f, err := fs.Create("/mail/local.test/alice/new/"+target.fileName(j.ID, j.Recipients[0].Mailbox), "")
			check(t, err)
			_, err = f.Write([]byte(c.lies))
			check(t, errors.Join(err, f.Close()))
			if out := target.Deliver(t.Context(), j); !out[0].Delivered() {
				t.Fatalf("%v", out)
			}
			if got := files(t, fs, "/mail/local.test/alice/new"); len(got) != 1 || only(got) != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

// A file of the right name and the wrong length is no delivery.
func TestTruncatedFileIsReplaced(t *testing.T) {
	fs := vfs.NewMem()
	target := newTarget(t, fs, "/mail")
	j := job(t, message, "alice@local.test alice@local.test")
	j.Attempt = 2
	check(t, target.ensure("/mail/local.test/alice"))
	name := "/mail/local.test/alice/new/" + target.fileName(j.ID, j.Recipients[0].Mailbox)
	f, err := fs.Create(name, "")
	check(t, err)
	_, err = f.Write([]byte("Return-Path"))
	check(t, errors.Join(err, f.Close()))
	if out := target.Deliver(t.Context(), j); !out[0].Delivered() {
		t.Fatalf("%v", out)
	}
	if got := files(t, fs, "/mail/local.test/alice/new"); len(got) != 1 || !strings.HasSuffix(only(got), lf(message)) {
		t.Errorf("%q", got)
	}
}

func TestFaultsAreTransientAndLeaveNothing(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("hash does not match")
	for name, c := range map[string]struct {
		ctx  context.Context
		body io.Reader
		open error
		size int64
		code int
	}{
		"body shorter than accepted": {t.Context(), strings.NewReader("abc"), nil, 4, 451},
		"body longer than accepted":  {t.Context(), strings.NewReader("abcde"), nil, 4, 451},
		"damaged at the end":         {t.Context(), io.MultiReader(strings.NewReader("abcd"), &failing{broken}), nil, 4, 451},
		"body cannot be opened":      {t.Context(), nil, broken, 4, 451},
		"interrupted":                {cancelled, strings.NewReader("abcd"), nil, 4, 451},
		"disk full":                  {t.Context(), &failing{syscall.ENOSPC}, nil, 4, 452},
		"quota":                      {t.Context(), &failing{fmt.Errorf("write: %w", syscall.EDQUOT)}, nil, 4, 452},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			target := newTarget(t, fs, "/mail")
			j := job(t, message, "alice@local.test alice@local.test")
			j.Size = c.size
			j.Open = func() (io.ReadCloser, error) { return io.NopCloser(c.body), c.open }
			out := target.Deliver(c.ctx, j)
			if len(out) != 1 || out[0].Reply.Code != c.code || !out[0].Deferred() {
				t.Fatalf("%v", out)
			}
			if strings.Contains(out[0].Reply.Text, "hash") || strings.Contains(out[0].Reply.Text, "/") {
				t.Errorf("the reply tells about our disk: %v", out[0].Reply)
			}
			for _, dir := range []string{"tmp", "new", "cur"} {
				if names, _ := fs.List("/mail/local.test/alice/" + dir); len(names) != 0 {
					t.Errorf("%s holds %v", dir, names)
				}
			}
		})
	}
}

func TestJobWithoutIdentityIsNotStored(t *testing.T) {
	target := newTarget(t, vfs.NewMem(), "/mail")
	j := job(t, message, "alice@local.test alice@local.test")
	j.ID = mail.ID{}
	if out := target.Deliver(t.Context(), j); len(out) != 1 || !out[0].Deferred() {
		t.Errorf("%v", out)
	}
	if out := target.Deliver(t.Context(), nexthop.Job{}); len(out) != 0 {
		t.Errorf("%v", out)
	}
}

func TestRemovedMailboxIsMadeAnew(t *testing.T) {
	fs := vfs.NewMem()
	target := newTarget(t, fs, "/mail")
	to := "alice@local.test alice@local.test"
	target.Deliver(t.Context(), job(t, message, to))
	check(t, fs.RemoveAll("/mail/local.test"))
	if out := target.Deliver(t.Context(), job(t, message, to)); !out[0].Delivered() {
		t.Fatalf("%v", out)
	}
	if n := len(files(t, fs, "/mail/local.test/alice/new")); n != 1 {
		t.Errorf("%d files", n)
	}
}

func TestKnownMailboxesAreBounded(t *testing.T) {
	target := newTarget(t, vfs.NewMem(), "/mail")
	target.limits.Known = 3
	for i := range 20 {
		check(t, target.ensure(fmt.Sprintf("/mail/local.test/user%d", i)))
		if len(target.known) > 3 {
			t.Fatalf("%d mailboxes remembered", len(target.known))
		}
	}
	if _, ok := target.known["/mail/local.test/user19"]; !ok {
		t.Error("the newest mailbox is forgotten")
	}
}

func TestCleanRemovesOnlyWhatIsStale(t *testing.T) {
	root := t.TempDir()
	target := newTarget(t, vfs.Default, root)
	target.Deliver(t.Context(), job(t, message, "alice@local.test alice@local.test"))
	now := time.Now()
	for name, age := range map[string]time.Duration{"tmp/old": 37 * time.Hour, "tmp/young": 35 * time.Hour, "new/old": 37 * time.Hour} {
		file := filepath.Join(root, "local.test", "alice", name)
		check(t, os.WriteFile(file, nil, 0o600))
		check(t, os.Chtimes(file, now.Add(-age), now.Add(-age)))
	}
	if n, err := target.Clean(t.Context(), now.Sub); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	for name, stays := range map[string]bool{"tmp/old": false, "tmp/young": true, "new/old": true} {
		_, err := os.Stat(filepath.Join(root, "local.test", "alice", name))
		if (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMissingOptionsAreRefused(t *testing.T) {
	good := Options{FS: pebble.Disk(vfs.NewMem()), Root: "/m", Hostname: domain(t, "x.test"), Limits: DefaultLimits(), Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)}
	for name, spoil := range map[string]func(*Options){
		"file system": func(o *Options) { o.FS = nil },
		"root":        func(o *Options) { o.Root = "" },
		"host name":   func(o *Options) { o.Hostname = mail.Domain{} },
		"limits":      func(o *Options) { o.Limits = Limits{} },
		"chance":      func(o *Options) { o.Rand = bytes.NewReader(nil) },
		"logger":      func(o *Options) { o.Logger = nil },
	} {
		o := good
		spoil(&o)
		if target, err := New(o); err == nil || target != nil {
			t.Errorf("made without a %s", name)
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files reads a directory.
func files(t testing.TB, fs vfs.FS, dir string) map[string]string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, n := range names {
		f, err := fs.Open(dir + "/" + n)
		check(t, err)
		b, err := io.ReadAll(f)
		check(t, errors.Join(err, f.Close()))
		out[n] = string(b)
	}
	return out
}

func only(m map[string]string) string {
	for _, v := range m {
		return v
	}
	return ""
}
