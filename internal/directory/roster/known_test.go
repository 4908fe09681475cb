package roster

import (
	"reflect"
	"testing"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
)

// Known answers: what an older release stored reads back, so a changed layout needs
// another version.
func TestKnownEntries(t *testing.T) {
	address := func(s string) mail.Address {
		a, err := mail.ParseAddress(s, mail.UTF8)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	domain, err := mail.ParseDomain("Bücher.test")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	two := []mail.Address{address("bob@local.test"), address("x@remote.test")}
	for _, c := range []struct {
		entry       Entry
		key, stored string
	}{
		{Domain{domain, "maildir", address("bob@local.test"), at}, "roster/entry/domain/xn--bcher-kva.test", `{"v":1,"domain":"xn--bcher-kva.test","deliver":"maildir","postmaster":"bob@local.test","added":"2026-01-02T03:04:05.000000006Z"}`},
		{Domain{domain, "maildir", mail.Address{}, at}, "roster/entry/domain/xn--bcher-kva.test", `{"v":1,"domain":"xn--bcher-kva.test","deliver":"maildir","added":"2026-01-02T03:04:05.000000006Z"}`},
		{Alias{directory.Alias{Address: address("Sales@local.test"), Targets: two, Posting: directory.PostingMembers}, at}, "roster/entry/alias/sales@local.test", `{"v":1,"address":"Sales@local.test","targets":["bob@local.test","x@remote.test"],"from":"members","added":"2026-01-02T03:04:05.000000006Z"}`},
		{Alias{directory.Alias{CatchAll: domain, Targets: two[:1], Posting: directory.PostingAnyone}, at}, "roster/entry/alias/@xn--bcher-kva.test", `{"v":1,"catch_all":"xn--bcher-kva.test","targets":["bob@local.test"],"from":"anyone","added":"2026-01-02T03:04:05.000000006Z"}`},
		{Forward{directory.Forward{Account: address("bob@local.test"), Targets: two[1:], Keep: true}, at}, "roster/entry/forward/bob@local.test", `{"v":1,"account":"bob@local.test","targets":["x@remote.test"],"keep":true,"added":"2026-01-02T03:04:05.000000006Z"}`},
		{Delegate{directory.Delegate{Account: address("bob@local.test"), Address: address("sales@local.test")}, at}, "roster/entry/delegate/bob@local.test\x00sales@local.test", `{"v":1,"account":"bob@local.test","address":"sales@local.test","added":"2026-01-02T03:04:05.000000006Z"}`},
		{Contact{directory.Contact{Account: address("bob@local.test"), Address: address("Bob@remote.test"), Former: []directory.FormerContact{{Address: two[1], Until: at}}}, at}, "roster/entry/contact/bob@local.test", `{"v":1,"account":"bob@local.test","address":"Bob@remote.test","former":[{"address":"x@remote.test","until":"2026-01-02T03:04:05.000000006Z"}],"added":"2026-01-02T03:04:05.000000006Z"}`},
		{Contact{directory.Contact{Account: address("bob@local.test"), Former: []directory.FormerContact{{Address: two[1], Until: at}}}, at}, "roster/entry/contact/bob@local.test", `{"v":1,"account":"bob@local.test","former":[{"address":"x@remote.test","until":"2026-01-02T03:04:05.000000006Z"}],"added":"2026-01-02T03:04:05.000000006Z"}`},
	} {
		ref := c.entry.Ref()
		if got := string(ref.storeKey()); got != c.key {
			t.Errorf("%T: stored under %s, want %s", c.entry, got, c.key)
		}
		if back, err := refOf([]byte(c.key)); err != nil || back != ref {
			t.Errorf("%T: the key reads as %+v, %v", c.entry, back, err)
		}
		got, err := c.entry.encode()
		if err != nil || string(got) != c.stored {
			t.Errorf("%T: stored as\n%s, %v", c.entry, got, err)
		}
		if back, err := decodeEntry(ref, []byte(c.stored)); err != nil || !reflect.DeepEqual(back, c.entry) {
			t.Errorf("%T: reads as %+v, %v", c.entry, back, err)
		}
	}
	if got := string(codec.EncodeRevision(12)); got != "12" || keyRevision != "roster/revision" {
		t.Errorf("a revision is stored as %s under %s", got, keyRevision)
	}
}
