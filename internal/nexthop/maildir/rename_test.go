package maildir

import (
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/kit/fsys"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/store/pebble"
)

// renamable has a mailbox with new mail, read mail, junk and a folder of the reader's own.
func renamable(t *testing.T, fs vfs.FS) *Target {
	t.Helper()
	target := newTarget(t, fs, "/mail")
	junk := job(t, message, "alice@local.test alice@local.test")
	junk.Junk = true
	arrives(t, target, junk)
	arrives(t, target, job(t, message, "alice@local.test alice@local.test"))
	for _, name := range []string{"/mail/local.test/alice/cur/1.read:2,S", "/mail/local.test/alice/.Sent/cur/1.sent:2,S", "/mail/local.test/alice/subscriptions"} {
		check(t, fs.MkdirAll(filepath.Dir(name), mode))
		f, err := fs.Create(name, "")
		check(t, err)
		_, err = f.Write([]byte(lf(message)))
		check(t, errors.Join(err, f.Sync(), f.Close()))
		for dir := filepath.Dir(name); dir != "/"; dir = filepath.Dir(dir) {
			check(t, target.sync.Do(dir))
		}
	}
	return target
}

func arrives(t *testing.T, target *Target, j nexthop.Job) {
	t.Helper()
	if out := target.Deliver(t.Context(), j); !out[0].Delivered() {
		t.Fatalf("%v", out)
	}
}

// all counts the messages of a mailbox, with those of its folders.
func all(t *testing.T, fs vfs.FS, box string) (n int) {
	t.Helper()
	for _, sub := range []string{"/new", "/cur", "/.Junk/new", "/.Sent/cur"} {
		for _, text := range files(t, fs, box+sub) {
			if strings.HasSuffix(text, lf(message)) {
				n++
			}
		}
	}
	return n
}

// A mailbox has all its mail under its other name, and what comes for the former name comes
// there; a repeated delivery is the same file.
func TestRename(t *testing.T) {
	fs := vfs.NewCrashableMem()
	target := renamable(t, fs)
	alice, smith := address(t, "alice@local.test"), address(t, "smith@other.test")
	acts := 0
	check(t, target.Rename(alice, smith, func() error { acts++; return nil }))
	target.holder = func(a mail.Address, _ time.Time) mail.Address {
		if a == alice {
			return smith
		}
		return a
	}
	j := job(t, message, "alice@local.test alice@local.test")
	for j.Attempt = 1; j.Attempt < 3; j.Attempt++ {
		arrives(t, target, j)
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	if n := all(t, after, "/mail/other.test/smith"); n != 5 || acts != 1 {
		t.Errorf("%d messages, %d acts", n, acts)
	}
	if _, err := after.Stat("/mail/local.test/alice"); err == nil {
		t.Error("the former folder is there")
	}
}

// Where somebody's files lie already, or the act fails, nothing is moved.
func TestRenameIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	target := renamable(t, fs)
	alice, bob := address(t, "alice@local.test"), address(t, "bob@local.test")
	arrives(t, target, job(t, message, "bob@local.test bob@local.test"))
	err := target.Rename(alice, bob, func() error { t.Error("the account was renamed"); return nil })
	var taken *TakenError
	if !errors.As(err, &taken) || taken.Folder != "/mail/local.test/bob" {
		t.Errorf("%v", err)
	}
	no := errors.New("no")
	if err := target.Rename(alice, address(t, "smith@local.test"), func() error { return no }); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	if n := all(t, fs, "/mail/local.test/alice"); n != 4 {
		t.Errorf("%d messages", n)
	}
	// An empty mailbox that a reader made is in nobody's way.
	check(t, fs.MkdirAll("/mail/local.test/smith/new", mode))
	check(t, target.Rename(alice, address(t, "smith@local.test"), func() error { return nil }))
	if n := all(t, fs, "/mail/local.test/smith"); n != 4 {
		t.Errorf("%d messages", n)
	}
}

// Every operation of the disk fails in turn, and the power with it: whatever was moved by then,
// the next start finds all mail and puts it under the new name.
func TestRenameIsEndedAfterAFault(t *testing.T) {
	alice, smith := address(t, "alice@local.test"), address(t, "smith@local.test")
	for _, there := range []bool{false, true} {
		faults := 0
		for n := int64(1); ; n++ {
			mem := vfs.NewCrashableMem()
			target := renamable(t, mem)
			if there { // mail that came after the act and before the process ended
				arrives(t, target, job(t, message, "smith@local.test smith@local.test"))
			}
			var ops atomic.Int64
			disk := pebble.Disk(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if ops.Add(1) == n {
					return syscall.EIO
				}
				return nil
			})))
			target.fs, target.sync = disk, fsys.NewGroup(disk.SyncDir)
			err := target.Follow(alice, smith)
			if ops.Load() < n {
				check(t, err)
				break
			}
			var failed *MoveError
			if err != nil {
				if faults++; !errors.As(err, &failed) {
					t.Fatalf("operation %d: %v", n, err)
				}
			}
			for name, left := range map[string]*vfs.MemFS{"": mem, " after a power cut": mem.CrashClone(vfs.CrashCloneCfg{})} {
				check(t, newTarget(t, left, "/mail").Follow(alice, smith))
				want := 4
				if there {
					want = 5
				}
				if got := all(t, left, "/mail/local.test/smith"); got != want {
					t.Errorf("fault at operation %d%s: %d messages of %d", n, name, got, want)
				}
			}
		}
		if faults < 4 {
			t.Errorf("%d faults", faults)
		}
	}
}

// What is known of messages comes along with them, also to where an empty mailbox was, whose
// index gives way; and those who have either open are told before.
func TestRenameTakesTheIndexAlong(t *testing.T) {
	fs := vfs.NewCrashableMem()
	target := renamable(t, fs)
	var left []string
	target.moving = func(folder string) {
		if len(files(t, fs, "/mail/local.test/alice/new")) == 0 {
			t.Error("told too late")
		}
		left = append(left, folder)
	}
	for dir, text := range map[string]string{"/mail/local.test/alice": "hers, and long", "/mail/other.test/smith": "his", "/mail/local.test/alice/.Sent": "sent"} {
		for _, sub := range []string{"cur", "new", "tmp", IndexFolder} {
			check(t, fs.MkdirAll(dir+"/"+sub, mode))
		}
		f, err := fs.Create(dir+"/"+IndexFolder+"/index", "")
		check(t, err)
		_, err = f.Write([]byte(text))
		check(t, errors.Join(err, f.Sync(), f.Close()))
	}
	alice, smith := address(t, "alice@local.test"), address(t, "smith@other.test")
	check(t, target.Rename(alice, smith, func() error { return nil }))
	if n := all(t, fs, "/mail/other.test/smith"); n != 4 {
		t.Errorf("%d messages", n)
	}
	for dir, want := range map[string]string{"/mail/other.test/smith": "hers, and long", "/mail/other.test/smith/.Sent": "sent"} {
		if got := files(t, fs, dir+"/"+IndexFolder); len(got) != 1 || only(got) != want {
			t.Errorf("%s: %q", dir, got)
		}
	}
	if len(left) != 2 || left[0] != "/mail/local.test/alice" || left[1] != "/mail/other.test/smith" {
		t.Errorf("told of %q", left)
	}
}

// Whoever waits for mail is told of each folder that some came into, once it is there.
func TestArrivalsAreTold(t *testing.T) {
	fs := vfs.NewMem()
	target := newTarget(t, fs, "/mail")
	var told []Arrival
	target.arrived = func(a Arrival) {
		all := files(t, fs, a.Folder+"/new")
		if len(all) != 1 {
			t.Fatal("told before it was there")
		}
		for _, content := range all {
			if int64(len(content)) != a.Octets {
				t.Errorf("%d octets are told of %d", a.Octets, len(content))
			}
		}
		told = append(told, a)
	}
	j := job(t, message, "alice@local.test alice@local.test")
	j.Junk = true
	arrives(t, target, j)
	if len(told) != 1 || told[0].Folder != "/mail/local.test/alice/.Junk" || told[0].Mailbox.String() != "alice@local.test" || told[0].ID != j.ID {
		t.Errorf("%+v", told)
	}
}
