package mailbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// When a message of others came is asked of its file once, and stays: under another name, after a
// restart, and in a copy, whatever the time of the file is by then.
func TestDateIsAskedOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	m, old := s.sel(t, Inbox), time.Unix(1_500_000_000, 0)
	at := func(name string, when time.Time) {
		check(t, os.Chtimes(filepath.Join(s.dir, name), when, when))
	}
	s.drop(t, "cur/1700000001.asked.host:2,", unixLetter)
	s.drop(t, "cur/1700000002.copied.host:2,", unixLetter)
	s.drop(t, "cur/1700000003.gone.host:2,", unixLetter)
	at("cur/1700000001.asked.host:2,", old)
	at("cur/1700000002.copied.host:2,", old.Add(time.Hour))
	refresh(t, m)
	uids := uidsOf(m)
	if len(uids) != 3 || m.folder.book.unknown != 3 {
		t.Fatalf("%v, and %d files were asked nothing", uids, m.folder.book.unknown)
	}
	check(t, os.Rename(filepath.Join(s.dir, "cur/1700000001.asked.host:2,"), filepath.Join(s.dir, "cur/1700000001.asked.host:2,S")))
	if is := came(t, m, uids[0]); !is.Equal(old) {
		t.Errorf("renamed by others: %v", is)
	}
	to := s.sel(t, "Junk")
	pairs, err := m.Copy(t.Context(), uids[1:2], to)
	check(t, err)
	at("cur/1700000002.copied.host:2,", time.Now()) // the copy is the same file
	if is := came(t, to, pairs[0].To); !is.Equal(old.Add(time.Hour)) {
		t.Errorf("the copy: %v", is)
	}
	check(t, os.Remove(filepath.Join(s.dir, "cur/1700000003.gone.host:2,")))
	if _, err := m.Date(t.Context(), uids[2]); !errors.Is(err, ErrGone) {
		t.Errorf("of one that is gone: %v", err)
	}
	at("cur/1700000001.asked.host:2,S", time.Now())
	s.root.Close()
	s = open(t, vfs.Default, dir)
	if is := came(t, s.sel(t, Inbox), uids[0]); !is.Equal(old) {
		t.Errorf("after a restart: %v", is)
	}
}

// A date that no file can have is the nearest that one can, and stays that over a restart.
func TestDatesBeyondAllFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	m := s.sel(t, Inbox)
	dates := []time.Time{time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1960, 2, 3, 4, 5, 6, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
	for _, d := range dates {
		_, err := m.Append(t.Context(), strings.NewReader(letter), int64(len(letter)), Flags{}, d)
		check(t, err)
	}
	years := func(when string) {
		t.Helper()
		for i, want := range []int{1677, 1960, 2262} {
			if is := came(t, m, uidsOf(m)[i]).UTC().Year(); is != want {
				t.Errorf("%s: %v is of the year %d", when, dates[i], is)
			}
		}
	}
	years("at once")
	s.root.Close()
	s = open(t, vfs.Default, dir)
	m = s.sel(t, Inbox)
	years("after a restart")
}

// A message of long ago that is being added lies in tmp as what it is, new: what is old there is removed as the rest of what
// nobody finishes.
func TestAnOldMessageIsNoOldFileInTmp(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	a := m.Begin()
	defer a.Abort()
	old := time.Unix(1_000_000_000, 0)
	check(t, a.Add(t.Context(), strings.NewReader(letter), int64(len(letter)), Flags{}, old))
	info, err := os.Stat(filepath.Join(s.dir, "tmp", s.only(t, "tmp")))
	check(t, err)
	if time.Since(info.ModTime()) > time.Hour {
		t.Errorf("it seems to lie there since %s", info.ModTime())
	}
	uids, err := a.Commit(t.Context())
	check(t, err)
	info, err = os.Stat(filepath.Join(s.dir, "cur", s.only(t, "cur")))
	check(t, err)
	if !info.ModTime().Equal(old) || !came(t, m, uids[0]).Equal(old) {
		t.Errorf("it came at %s", info.ModTime())
	}
}
