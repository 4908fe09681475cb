package mailbox

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What one account can have the server know of its messages is bounded: copies that double stop, no
// further long folder is opened beside others, and whoever closes one goes on. A move adds nothing.
func TestMessagesInMemoryAreBounded(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	limits := DefaultLimits()
	limits.Messages = 20
	check(t, s.root.Adjust(limits))
	inbox := s.sel(t, "INBOX")
	uids := []UID{put(t, inbox, "Subject: x\n\nx\n", Flags{})}
	var err error
	for range 10 {
		var pairs []Pair
		if pairs, err = inbox.Copy(s.ctx, uids, inbox); err != nil {
			break
		}
		for _, p := range pairs {
			uids = append(uids, p.To)
		}
	}
	if !errors.Is(err, ErrTooMany) || len(uids) != 16 {
		t.Fatalf("%d copies, %v", len(uids), err)
	}
	for range 4 {
		put(t, inbox, "Subject: y\n\ny\n", Flags{})
	}
	all := inbox.Begin()
	defer all.Abort()
	check(t, all.Add(s.ctx, strings.NewReader("z\r\n"), 3, Flags{}, came(t, inbox, uids[0])))
	if _, err := all.Commit(s.ctx); !errors.Is(err, ErrTooMany) || len(inbox.State().Messages) != 20 {
		t.Errorf("one more: %v, %d messages", err, len(inbox.State().Messages))
	}
	trash := s.sel(t, "Trash")
	if moved, err := inbox.Move(s.ctx, uids[:10], trash); err != nil || len(moved) != 10 {
		t.Errorf("moved: %v %v", moved, err)
	}
	if _, err := inbox.Copy(s.ctx, uids[10:11], trash); !errors.Is(err, ErrTooMany) {
		t.Errorf("a copy into another folder: %v", err)
	}
	inbox.Close()
	if pairs, err := trash.Copy(s.ctx, []UID{trash.State().Messages[0].UID}, trash); err != nil || len(pairs) != 1 {
		t.Errorf("with one folder open: %v %v", pairs, err)
	}
	if _, err := s.user.Select(s.ctx, "INBOX", false); !errors.Is(err, ErrTooMany) {
		t.Errorf("a folder more than there may be: %v", err)
	}
	trash.Close()
	if m := s.sel(t, "INBOX"); len(m.State().Messages) != 10 {
		t.Errorf("%d messages", len(m.State().Messages))
	}
}
