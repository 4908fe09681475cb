package maildir

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/mail"
)

const bobBox = "/mail/local.test/bob"

// A mailbox gets one copy, which names those for whom it is, and each recipient has
// an outcome of its own.
func TestAMailboxGetsOneCopy(t *testing.T) {
	fs := vfs.NewMem()
	target := newTarget(t, fs, "/mail")
	to := []string{"sales@local.test bob@local.test"}
	for i := range 1000 {
		to = append(to, fmt.Sprintf("bob+%d@local.test bob@local.test", i))
	}
	to = append(to, "BOB@local.test Bob@LOCAL.test", "sales@local.test alice@local.test")
	j := job(t, message, to...)
	j.Recipients[7].Mailbox = mail.Address{}
	out := target.Deliver(t.Context(), j)
	if len(out) != len(to) {
		t.Fatalf("%d outcomes for %d recipients", len(out), len(to))
	}
	for i, o := range out {
		if o.Recipient != j.Recipients[i].Address || o.Delivered() == (i == 7) || o.Failed() || o.Remote != "maildir" {
			t.Errorf("recipient %d: %v", i, o)
		}
	}
	got := files(t, fs, bobBox+"/new")
	if len(got) != 1 || len(files(t, fs, "/mail/local.test/alice/new")) != 1 {
		t.Fatalf("%d files", len(got))
	}
	lines := strings.Split(only(got), "\n")
	if lines[0] != "Return-Path: <bob@remote.test>" || lines[1] != "Delivered-To: sales@local.test" || lines[2] != "Delivered-To: bob+0@local.test" {
		t.Errorf("%q", lines[:3])
	}
	if n := strings.Count(only(got), "Delivered-To: "); n != DefaultLimits().Named || !strings.HasSuffix(only(got), lf(message)) {
		t.Errorf("%d recipients named", n)
	}
}

// Whatever becomes of it between two attempts, and whoever is left to try, the copy
// of a mailbox is there once.
func TestOneCopyOverSeveralAttempts(t *testing.T) {
	for _, where := range []string{"new", "cur:2,S", "cur,S=99:2,", "cur"} {
		t.Run(where, func(t *testing.T) {
			fs := vfs.NewMem()
			target := newTarget(t, fs, "/mail")
			j := job(t, message, "bob+a@local.test bob@local.test", "bob+b@local.test bob@local.test")
			target.Deliver(t.Context(), j)
			name := target.fileName(j.ID, j.Recipients[0].Mailbox)
			if flags, ok := strings.CutPrefix(where, "cur"); ok {
				check(t, fs.Rename(bobBox+"/new/"+name, bobBox+"/cur/"+name+flags))
			}
			j.Attempt, j.Recipients = 2, j.Recipients[1:]
			target = newTarget(t, fs, "/mail") // the server was started anew
			if out := target.Deliver(t.Context(), j); !out[0].Delivered() {
				t.Fatalf("%v", out)
			}
			if n := len(files(t, fs, bobBox+"/new")) + len(files(t, fs, bobBox+"/cur")); n != 1 {
				t.Errorf("%d copies", n)
			}
		})
	}
}

// A version before this one wrote a copy for each recipient and died before it could
// say so: what it left is found under the name that it used.
func TestTheCopyOfAFormerVersionIsFound(t *testing.T) {
	const name = "1800000000.06hhgq2g0000000000000000-5c5a0cb9b57a.mx.local.test" // as that version wrote it
	id, err := mail.ParseID("06hhgq2g0000000000000000")
	check(t, err)
	for _, at := range []string{"new/", "cur/"} {
		fs := vfs.NewMem()
		target := newTarget(t, fs, "/mail")
		j := job(t, message, "bob+a@local.test bob@local.test", "bob+b@local.test bob@local.test")
		j.Recipients[1].Detail = "b"
		j.ID, j.Attempt = id, 2
		check(t, target.ensure(bobBox))
		f, err := fs.Create(bobBox+"/"+at+name, "")
		check(t, err)
		_, err = f.Write([]byte("Return-Path: <x>\r\n" + message))
		check(t, errors.Join(err, f.Close()))
		if out := target.Deliver(t.Context(), j); !out[0].Delivered() || !out[1].Delivered() {
			t.Fatalf("%v", out)
		}
		if n := len(files(t, fs, bobBox+"/new")) + len(files(t, fs, bobBox+"/cur")); n != 1 {
			t.Errorf("%s: %d copies", at, n)
		}
	}
}

// small is a disk with room for so many octets.
type small struct{ left int64 }

func (s *small) Take(n int64) (func(), bool) {
	if n > s.left {
		return func() {}, false
	}
	s.left -= n
	return func() {}, true
}

// Where a copy would take what is to stay free, it waits and leaves nothing; what an
// earlier attempt left is no copy more.
func TestALowDisk(t *testing.T) {
	fs := vfs.NewMem()
	target := newTarget(t, fs, "/mail")
	space := &small{}
	target.space = space
	j := job(t, message, "bob@local.test bob@local.test", "bob+b@local.test bob@local.test")
	for range 2 {
		for _, o := range target.Deliver(t.Context(), j) {
			if !o.Deferred() || o.Reply.Code != 452 || !strings.Contains(o.Reply.Text, "nearly full") {
				t.Errorf("%v", o)
			}
		}
		if _, err := fs.Stat(bobBox); err == nil {
			t.Error("a mailbox was made")
		}
		j.Attempt++
	}
	space.left = int64(len(message)) + 100
	if out := target.Deliver(t.Context(), j); !out[0].Delivered() || space.left > 50 {
		t.Fatalf("%v, %d left", out, space.left)
	}
	space.left = 0
	if out := target.Deliver(t.Context(), j); !out[0].Delivered() || len(files(t, fs, bobBox+"/new")) != 1 {
		t.Errorf("%v", out)
	}
}
