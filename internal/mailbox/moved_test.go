package mailbox

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// arrivals hands out messages.
func arrivals(all ...Arrival) func() (Arrival, error) {
	return func() (a Arrival, err error) {
		if len(all) == 0 {
			return a, io.EOF
		}
		a, all = all[0], all[1:]
		return a, nil
	}
}

func arrival(name, text string, flags Flags) Arrival {
	return Arrival{Origin: OriginOf(name), Flags: flags, Date: time.Unix(1e9, 0), Size: int64(len(text)), Content: strings.NewReader(text)}
}

func TestWhatMovesInComesOnce(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	wait := m.Changed()
	all, err := m.MoveIn(t.Context(), "there",
		arrivals(arrival("a", "Subject: a\r\n\r\nx\r\n", NewFlags(Seen, "word")), arrival("b", "b\n", NewFlags(0)), arrival("a", "again", NewFlags(0))))
	check(t, err)
	if len(all) != 3 || all[0].UID == 0 || all[1].UID != all[0].UID+1 || !all[2].There {
		t.Fatalf("%+v", all)
	}
	select {
	case <-wait:
	default:
		t.Error("who waits is not told")
	}
	st := m.State()
	if len(st.Messages) != 2 || st.Messages[0].Flags != NewFlags(Seen, "word") || !came(t, m, st.Messages[0].UID).Equal(time.Unix(1e9, 0)) {
		t.Errorf("%+v", st.Messages)
	}
	// What its owner removed does not come again from there, and does from elsewhere.
	_, err = m.Remove(t.Context(), []UID{all[1].UID})
	check(t, err)
	for source, there := range map[string]bool{"there": true, "elsewhere": false} {
		again, err := m.MoveIn(t.Context(), source, arrivals(arrival("b", "b\n", NewFlags(0))))
		check(t, err)
		if again[0].There != there || !there && again[0].UID <= all[1].UID {
			t.Errorf("%s: %+v after %+v", source, again, all)
		}
	}
	came, err := m.folder.user.CameFrom("there")
	check(t, err)
	if len(came) != 2 || came[0].Folder != Inbox || came[0].Digest != DigestOf([]byte("Subject: a\n\nx\n")) {
		t.Errorf("%+v", came)
	}
}

// A server that was killed before it had noted what came finds it by its file, keywords and all;
// and so it does where the notes are lost or damaged.
func TestWhatWasNotNotedIsFound(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	one := func() Arrival { return arrival("a", "a\n", NewFlags(Seen, "word")) }
	_, err := m.MoveIn(t.Context(), "there", arrivals(one(), arrival("b", "b\n", NewFlags(0))))
	check(t, err)
	notes := filepath.Join(s.dir, indexFolder, cameFile("there"))
	text, err := os.ReadFile(notes)
	check(t, err)
	for name, damage := range map[string]func(){
		"missing":  func() { check(t, os.Remove(notes)) },
		"an octet": func() { text[20] ^= 0xff; check(t, os.WriteFile(notes, text, 0o600)) },
		"cut":      func() { check(t, os.WriteFile(notes, text[:len(text)/2], 0o600)) },
	} {
		damage()
		uid := m.State().Messages[0].UID
		_, err := m.Store(t.Context(), []UID{uid}, Replace, NewFlags(Seen), nil)
		check(t, err)
		all, err := m.MoveIn(t.Context(), "there", arrivals(one()))
		check(t, err)
		st := m.State()
		if !all[0].There || all[0].UID != uid || len(st.Messages) != 2 || st.Messages[0].Flags != NewFlags(Seen, "word") {
			t.Errorf("%s: %+v, %+v", name, all, st.Messages)
		}
	}
}

// What is refused is named, and the rest comes; keywords beyond a bound are dropped and counted.
func TestWhatCannotMoveInIsNamed(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	words := make([]string, m.folder.root.bounds().Keywords+5)
	for i := range words {
		words[i] = "k" + strings.Repeat("x", i%50) + string(rune('a'+i/50))
	}
	big := Arrival{Origin: OriginOf("big"), Size: MaxArrival + 1, Content: strings.NewReader("")}
	all, err := m.MoveIn(t.Context(), "there", arrivals(big, arrival("a", "a\n", NewFlags(0, words...))))
	check(t, err)
	if all[0].Refused == "" || all[1].UID == 0 || all[1].Dropped != 5 {
		t.Errorf("%+v", all)
	}
	short := arrival("short", "x", NewFlags(0))
	short.Size = 2
	if _, err := m.MoveIn(t.Context(), "there", arrivals(arrival("c", "c\n", NewFlags(0)), short)); err == nil {
		t.Error("a message that ends early came")
	}
	if n := len(m.State().Messages); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// A disk that is full at any moment costs the messages that are just coming, and none else; what
// came before stays, and the same again brings the rest once.
func TestMovingInOntoAFullDisk(t *testing.T) {
	full, fits := false, false
	for at := range int64(30) {
		var left atomic.Int64
		left.Store(math.MaxInt64)
		s := open(t, errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove && left.Add(-1) < 0 {
				return syscall.ENOSPC
			}
			return nil
		})), t.TempDir())
		m := s.sel(t, Inbox)
		batch := func() func() (Arrival, error) {
			return arrivals(arrival("a", "a\n", NewFlags(0)), arrival("b", "b\n", NewFlags(Seen)))
		}
		left.Store(at)
		_, err := m.MoveIn(t.Context(), "there", batch())
		if err != nil && !errors.Is(err, ErrNoRoom) {
			t.Fatalf("%d: %v", at, err)
		}
		full = full || err != nil
		fits = fits || err == nil
		left.Store(math.MaxInt64)
		_, err = m.MoveIn(t.Context(), "there", batch())
		check(t, err)
		var got []string
		files, err := filepath.Glob(filepath.Join(s.dir, "cur", "*"))
		check(t, err)
		for _, f := range files {
			b, err := os.ReadFile(f)
			check(t, err)
			got = append(got, string(bytes.TrimSpace(b)))
		}
		if strings.Join(got, " ") != "a b" && strings.Join(got, " ") != "b a" || len(m.State().Messages) != 2 {
			t.Errorf("%d: %q, %+v", at, got, m.State().Messages)
		}
	}
	if !full || !fits {
		t.Errorf("full %v, fits %v", full, fits)
	}
}
