package datafolder_test

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/quota"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// What waits in the queue outlives the folder: it is told when the folder is opened again, and held against the quota of
// its mailbox until it is there.
func TestWhatWaitsIsExpected(t *testing.T) {
	cfg := foldertest.Load(t, t.TempDir(), "")
	var logged bytes.Buffer
	w := settings.World{Logger: slog.New(slog.NewTextHandler(&logged, nil))}.Complete()
	var alice mail.Address
	t.Run("put", func(t *testing.T) {
		f := foldertest.Open(t, cfg, w)
		alice = foldertest.Add(t, f, "alice@local.test")
		dir := foldertest.Directory(t, cfg, alice)
		post := &notify.Post{Hostname: cfg.Hostname, Directory: func() *directory.Snapshot { return dir }, Queue: f.Spool, Handoff: func(spool.Claim) {}, Now: w.Now, Rand: w.Rand, Logger: w.Logger}
		if err := post.Send(t.Context(), notify.Letter{Rule: "mailbox-nearly-full", To: alice, Subject: "x", Text: strings.Repeat("0123456789\n", 100)}); err != nil {
			t.Fatal(err)
		}
	})
	f := foldertest.Open(t, cfg, w)
	told := 0
	err := f.Store.Facts(t.Context(), 1, f.Store.FactHead()+1, func(_ uint64, raw []byte) (bool, error) {
		got, err := fact.Decode(raw)
		if got.Kind == fact.KindRecover && got.Count == 1 {
			told++
		}
		return true, err
	})
	if err != nil || told != 1 || !strings.Contains(logged.String(), "queue recovered") {
		t.Errorf("told %d times, %v", told, err)
	}
	room := func(octets int64) bool {
		h, v := f.Quota.Add(t.Context(), alice, quota.Usage{Octets: octets, Messages: 1})
		if v.OK {
			h.End(false)
		}
		return v.OK
	}
	f.Quota.Adjust(quota.Policy{Warn: 90, Clear: 80, Of: func(mail.Address) (box, all quota.Quota) {
		return quota.Quota{Octets: 4000}.Or(quota.None()), quota.None()
	}})
	its, _ := f.Spool.Waiting(alice)
	if its.Messages != 1 || its.Octets < 1100 || its.Octets > 3000 {
		t.Fatalf("for alice waits %+v", its)
	}
	if room(4000 - its.Octets + 1) {
		t.Error("the letter that waits takes no room")
	}
	if !room(4000 - its.Octets) {
		t.Error("the letter that waits takes more than its room")
	}
	for most, want := range map[int64]bool{1: false, 2: true} {
		for _, of := range []string{"the mailbox", "the domain"} {
			f.Quota.Adjust(quota.Policy{Warn: 90, Clear: 80, Of: func(mail.Address) (box, all quota.Quota) {
				if of == "the domain" {
					return quota.None(), quota.Quota{Messages: most}.Or(quota.None())
				}
				return quota.Quota{Messages: most}.Or(quota.None()), quota.None()
			}})
			if room(1) != want {
				t.Errorf("beside the letter that waits %s has room for another, of %d messages: %v", of, most, !want)
			}
		}
	}
	f.Quota.Adjust(quota.Policy{Warn: 90, Clear: 80, Of: func(mail.Address) (box, all quota.Quota) {
		return quota.Quota{Octets: 4000}.Or(quota.None()), quota.None()
	}})
	due, err := f.Spool.Due(t.Context(), time.Now().Add(time.Hour), 1)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	c, err := f.Spool.Claim(t.Context(), due[0].ID, "test", time.Minute, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	job := nexthop.Job{ID: c.Entry.ID, Envelope: c.Entry.Envelope, Size: c.Entry.Size, Recipients: []nexthop.Recipient{{Recipient: mail.Recipient{Address: alice}, Mailbox: alice}},
		Open: func() (io.ReadCloser, error) { return f.Spool.OpenBody(t.Context(), c.Entry.ID) }}
	if out := f.Mailboxes.Deliver(t.Context(), job); !out[0].Reply.OK() {
		t.Fatalf("%+v", out)
	}
	if its, _ := f.Spool.Waiting(alice); its.Messages != 0 {
		t.Errorf("it is there, and %+v waits", its)
	}
	h, err := f.Quota.Of(t.Context(), alice)
	if err != nil || h.Used.Messages != 1 || !room(4000-h.Used.Octets) || room(4000-h.Used.Octets+1) {
		t.Errorf("what is there, and not settled, counts as %+v, %v", h, err)
	}
}

// What waits under a name that an account had comes into its mailbox, and is held against its quota and that of its domain, once;
// but not where somebody has that name now, whose it may be.
func TestWhatWaitsUnderAFormerName(t *testing.T) {
	for _, to := range []string{"smith@local.test", "smith@other.test"} {
		cfg := foldertest.Load(t, t.TempDir(), "")
		w := settings.World{}.Complete()
		f := foldertest.Open(t, cfg, w)
		alice, smith := foldertest.Add(t, f, "alice@local.test"), foldertest.Address(t, to)
		dir := foldertest.Directory(t, cfg, alice)
		post := &notify.Post{Hostname: cfg.Hostname, Directory: func() *directory.Snapshot { return dir }, Queue: f.Spool, Handoff: func(spool.Claim) {}, Now: w.Now, Rand: w.Rand, Logger: w.Logger}
		if err := post.Send(t.Context(), notify.Letter{Rule: "mailbox-nearly-full", To: alice, Subject: "x", Text: strings.Repeat("0123456789\n", 100)}); err != nil {
			t.Fatal(err)
		}
		its, _ := f.Spool.Waiting(alice)
		if its.Messages != 1 || its.Octets < 1100 || its.Octets > 3000 {
			t.Fatalf("for alice waits %+v", its)
		}
		for n, way := range [][2]mail.Address{{alice, smith}, {smith, alice}, {alice, smith}} {
			if _, err := f.Accounts.Rename(t.Context(), way[0], way[1], nil, f.Moving(way[0], way[1])...); err != nil {
				t.Fatalf("rename %d: %v", n, err)
			}
		}
		for _, of := range []string{"the mailbox", "the domain"} {
			f.Quota.Adjust(quota.Policy{Warn: 90, Clear: 80, Of: func(mail.Address) (box, all quota.Quota) {
				if of == "the mailbox" {
					return quota.Quota{Octets: 4000}.Or(quota.None()), quota.None()
				}
				return quota.None(), quota.Quota{Octets: 4000}.Or(quota.None())
			}})
			room := func(octets int64) bool {
				h, v := f.Quota.Add(t.Context(), smith, quota.Usage{Octets: octets, Messages: 1})
				if v.OK {
					h.End(false)
				}
				return v.OK
			}
			if room(4000-its.Octets+1) || !room(4000-its.Octets) {
				t.Errorf("%s: of %s %v is left of 4000, where %d wait", to, of, room(4000-its.Octets), its.Octets)
			}
			if of == "the mailbox" {
				continue
			}
			foldertest.Add(t, f, "alice@local.test")
			if smith.Domain() != alice.Domain() && !room(4000) {
				t.Errorf("%s: what is another one's takes room of %s", to, of)
			}
		}
	}
}

// What is delivered into a mailbox is counted, and seen by who reads it; what rooms keep of an account follows it.
func TestWhoIsToldOfADelivery(t *testing.T) {
	cfg := foldertest.Load(t, t.TempDir(), "")
	w := settings.World{}.Complete()
	f := foldertest.Open(t, cfg, w)
	alice := foldertest.Add(t, f, "alice@local.test")
	f.Quota.Adjust(quota.Policy{Warn: 90, Clear: 80, Of: func(mail.Address) (box, all quota.Quota) {
		return quota.Quota{Octets: 1 << 20}.Or(quota.None()), quota.None()
	}})
	held := func() quota.Usage {
		h, err := f.Quota.Of(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		return h.Used
	}
	if u := held(); u != (quota.Usage{}) {
		t.Errorf("before: %+v", u)
	}
	const text = "Subject: x\r\n\r\nHello.\r\n"
	id, err := mail.NewID(time.Now(), w.Rand)
	if err != nil {
		t.Fatal(err)
	}
	job := nexthop.Job{ID: id, Size: int64(len(text)), Recipients: []nexthop.Recipient{{Recipient: mail.Recipient{Address: alice}, Mailbox: alice}}, Envelope: mail.Envelope{From: mail.NullPath()},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	for _, o := range f.Mailboxes.Deliver(t.Context(), job) {
		if !o.Reply.OK() {
			t.Fatalf("%+v", o)
		}
	}
	if u := held(); u.Octets < int64(len(text)) || u.Messages != 1 {
		t.Errorf("after: %+v", u)
	}
	plans := f.Moving(alice, foldertest.Address(t, "smith@local.test"))
	if len(plans) != 4 {
		t.Errorf("%d rooms keep something of an account", len(plans))
	}
	if _, _, err := (store.Tx{}).With(t.Context(), plans...); err != nil {
		t.Error(err)
	}
}

// A mailbox that cannot follow its account stays where it is, is named, and is taken along at the next start.
func TestAMailboxThatCannotFollow(t *testing.T) {
	cfg := foldertest.Load(t, t.TempDir(), "")
	var logged bytes.Buffer
	w := settings.World{Logger: slog.New(slog.NewTextHandler(&logged, nil))}.Complete()
	t.Run("rename", func(t *testing.T) {
		f := foldertest.Open(t, cfg, w)
		if _, err := f.Accounts.Rename(t.Context(), foldertest.Add(t, f, "alice@local.test"), foldertest.Address(t, "smith@local.test"), nil); err != nil {
			t.Fatal(err)
		}
	})
	box := func(name string) string { return filepath.Join(cfg.Maildir.Root, "local.test", name) }
	if err := os.MkdirAll(filepath.Join(box("alice"), "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(box("alice"), "new", "1"), box("smith")} { // what is no mailbox is in its way
		if err := os.WriteFile(path, []byte("alice"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := foldertest.Open(t, cfg, w)
	moves, err := f.Accounts.Moves(t.Context())
	if text, _ := os.ReadFile(filepath.Join(box("alice"), "new", "1")); err != nil || len(moves) != 1 || string(text) != "alice" || !strings.Contains(logged.String(), "smith@local.test") {
		t.Errorf("%+v, %q, %v\n%s", moves, text, err, logged.String())
	}
	if a, ok := f.Accounts.Lookup(foldertest.Address(t, "smith@local.test")); !ok || a.Standing != accounts.StandingActive {
		t.Errorf("%+v", a)
	}
}
