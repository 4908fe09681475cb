package maildir

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Junk never stands among other mail: it has a Maildir++ folder of its own, durable
// as every other, which is cleaned as every other.
func TestJunkHasAFolderOfItsOwn(t *testing.T) {
	fs := vfs.NewCrashableMem()
	target := newTarget(t, fs, "/mail")
	j := job(t, message, "alice@local.test alice@local.test", "bob@local.test bob@local.test")
	j.Junk = true
	for _, attempt := range []int{1, 2} {
		j.Attempt = attempt
		for _, o := range target.Deliver(t.Context(), j) {
			if !o.Delivered() {
				t.Fatalf("%v", o)
			}
		}
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	for _, who := range []string{"alice", "bob"} {
		box := "/mail/local.test/" + who
		if got := files(t, after, box+"/.Junk/new"); len(got) != 1 || !strings.HasSuffix(only(got), lf(message)) {
			t.Errorf("%s: the junk folder holds %q", who, got)
		}
		if _, err := after.Stat(box + "/.Junk/maildirfolder"); err != nil {
			t.Errorf("%s: %v", who, err)
		}
		for _, sub := range []string{"/new", "/cur", "/.Junk/tmp"} {
			if got := files(t, after, box+sub); len(got) != 0 && sub != "/.Junk/tmp" {
				t.Errorf("%s%s holds %q", box, sub, got)
			}
		}
	}
	check(t, fs.MkdirAll("/mail/local.test/alice/.Sent/tmp", mode))
	f, err := fs.Create("/mail/local.test/alice/.Sent/tmp/left", "")
	check(t, err)
	check(t, f.Close())
	f, err = fs.Create("/mail/local.test/alice/.mbsyncstate", "")
	check(t, err)
	check(t, f.Close())
	f, err = fs.Create("/mail/local.test/alice/.Junk/tmp/left", "")
	check(t, err)
	check(t, f.Close())
	if n, err := target.Clean(t.Context(), time.Now().Add(40*time.Hour).Sub); n != 2 || err != nil {
		t.Errorf("cleaned %d, %v", n, err)
	}
}

// Whoever has another folder for junk finds it there, also when it was made after the first came.
func TestJunkGoesWhereItsOwnerHasIt(t *testing.T) {
	fs := vfs.NewCrashableMem()
	target := newTarget(t, fs, "/mail")
	folder := ""
	target.junk = func(box string) string {
		if box != "/mail/local.test/alice" {
			t.Errorf("asked for %s", box)
		}
		return folder
	}
	j := job(t, message, "alice@local.test alice@local.test")
	j.Junk = true
	for _, c := range []struct{ folder, into string }{
		{"", ".Junk"}, {".Spam", ".Spam"}, {".A.b", ".A.b"}, {"Spam", ".Junk"}, {"..", ".Junk"}, {"./x", ".Junk"}, {".", ".Junk"}, {".x/../../y", ".Junk"},
	} {
		folder = c.folder
		dir := "/mail/local.test/alice/" + c.into
		check(t, fs.RemoveAll(dir))
		target.forget(dir)
		for _, o := range target.Deliver(t.Context(), j) {
			if !o.Delivered() {
				t.Fatalf("%q: %v", c.folder, o)
			}
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{})
		if got := files(t, after, dir+"/new"); len(got) != 1 {
			t.Errorf("%q: %s holds %q", c.folder, dir, got)
		}
		if _, err := after.Stat(dir + "/maildirfolder"); err != nil {
			t.Errorf("%q: %v", c.folder, err)
		}
	}
}
