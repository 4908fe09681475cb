package server

import (
	"fmt"
	"testing"

	"sallyport/internal/mailbox"
)

// While a client idles its view takes little; what changed meanwhile is told all the same.
func TestAPackedViewLosesNoChange(t *testing.T) {
	seen := mailbox.NewFlags(mailbox.Seen)
	was := []mailbox.Message{{UID: 1, ModSeq: 2}, {UID: 2, ModSeq: 3}, {UID: 3, ModSeq: 4}, {UID: 7, ModSeq: 5}}
	v := &view{msgs: append([]mailbox.Message(nil), was...), told: 5}
	v.pack()
	if v.msgs != nil || fmt.Sprint(v.packed) != "[{1 3} {7 7}]" {
		t.Fatalf("%+v", v)
	}
	// 2 was removed, 3 flagged, 8 came.
	now := mailbox.State{HighestModSeq: 8, Messages: []mailbox.Message{was[0], {UID: 3, ModSeq: 7, Flags: seen}, was[3], {UID: 8, ModSeq: 8}}}
	v.unpack(func() mailbox.State { return now })
	if len(v.msgs) != 4 || v.msgs[0] != was[0] || v.msgs[1].UID != 2 || v.msgs[2] != (mailbox.Message{UID: 3}) {
		t.Fatalf("%+v", v.msgs)
	}
	changed, added := v.take(mailbox.Changes{Messages: now.Messages[1:2:2], Gone: []mailbox.UID{2}, HighestModSeq: 7})
	if fmt.Sprint(changed) != "[3]" || added != 0 || v.told != 7 {
		t.Errorf("%v, %d", changed, added)
	}
	if places, uids := v.drop(); fmt.Sprint(places, uids) != "[1] [2]" || len(v.msgs) != 3 {
		t.Errorf("%v %v %v", places, uids, v.msgs)
	}
	if _, added := v.take(difference(v.msgs, now)); added != 1 || len(v.msgs) != 4 {
		t.Errorf("%d came, and %d are there", added, len(v.msgs))
	}
}
