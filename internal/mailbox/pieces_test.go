package mailbox

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A long message that is fetched piece by piece is read from its begin once, and its pieces are those of the
// whole; a file that has become another is read anew.
func TestALongMessageInPieces(t *testing.T) {
	var reads atomic.Int64
	mem := vfs.NewMem()
	s := open(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.Contains(op.Path, "/cur/") {
			reads.Add(1)
		}
		return nil
	})), "/mail")
	m := s.sel(t, Inbox)
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "line %d\r\n", i)
	}
	long := "Subject: long\r\n\r\n" + text.String()
	uid := put(t, m, long, Flags{})
	other := put(t, m, letter, Flags{})
	piece := func(at, octets int) {
		t.Helper()
		c, err := m.Content(t.Context(), uid)
		check(t, err)
		defer c.Close()
		got := make([]byte, octets)
		if _, err := c.ReadAt(got, int64(at)); err != nil || c.Size() != int64(len(long)) || string(got) != long[at:at+octets] || c.Altered() {
			t.Errorf("%d octets at %d: %v", octets, at, err)
		}
	}
	piece(0, 100)
	reads.Store(0)
	for at := 100; at+10_000 < len(long); at += 10_000 {
		before := reads.Load()
		if piece(at, 10_000); reads.Load()-before > 2 {
			t.Fatalf("for a piece the file is read %d times", reads.Load()-before)
		}
	}
	if read(t, m, uid) != long || read(t, m, other) != letter {
		t.Error("the whole is not what it was")
	}
	piece(0, 100)
	f, err := mem.Create(s.dir+"/cur/"+m.FileOf(uid), "")
	check(t, err)
	_, err = f.Write(bytes.ReplaceAll([]byte(long[:len(long)/2]), []byte("\r\n"), []byte("\n")))
	check(t, err)
	check(t, f.Close())
	c, err := m.Content(t.Context(), uid)
	check(t, err)
	defer c.Close()
	if !c.Altered() || c.Size() >= int64(len(long)) {
		t.Errorf("a file that was cut short is taken for what it was: %d octets", c.Size())
	}
}
