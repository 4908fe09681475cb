package datafolder_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/internal/budget/quota"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/nexthop"
	"sallyport/internal/store"
)

// A disk that has no room for mail takes none: not into the queue, not into a mailbox, and not from who reads one.
func TestWhatADiskKeepsFree(t *testing.T) {
	a := age(t, "")
	if got := a.Disks[0].Reserved(); got != 1<<20 {
		t.Errorf("%d octets stay free, and the configuration says another number", got)
	}
	a.Quota.Adjust(quota.Policy{Of: func(mail.Address) (box, all quota.Quota) { return quota.None(), quota.None() }})
	const text = "Subject: x\r\n\r\nHello.\r\n"
	deliver := func() int { return a.deliver(text) }
	u, err := a.Mail.User(t.Context(), a.alice)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	appends := func() error {
		t.Helper()
		box, err := u.Select(t.Context(), "INBOX", false)
		if err != nil {
			t.Fatal(err)
		}
		defer box.Close()
		_, err = box.Append(t.Context(), strings.NewReader(text), int64(len(text)), mailbox.Flags{}, a.m.Now())
		return err
	}
	if err, other, code := a.send(), appends(), deliver(); err != nil || other != nil || code != 250 {
		t.Fatalf("while there is room: %v, %v, %d", err, other, code)
	}
	a.Disks.Reserve(1 << 60)
	if err := a.send(); !errors.Is(err, store.ErrLow) {
		t.Errorf("the queue takes what goes into the reserve: %v", err)
	}
	if code := deliver(); code/100 != 4 {
		t.Errorf("a mailbox takes what goes into the reserve: %d", code)
	}
	if err := appends(); err == nil {
		t.Error("who reads a mailbox puts into it what goes into the reserve")
	}
}

// deliver delivers a message to alice that came now, and returns how that ended.
func (a *aging) deliver(text string) int {
	a.t.Helper()
	return a.deliverOf(a.m.Now(), text)
}

// deliverOf delivers a message to alice that came at some time.
func (a *aging) deliverOf(came time.Time, text string) int {
	a.t.Helper()
	id, err := mail.NewID(a.m.Now(), a.w.Rand)
	if err != nil {
		a.t.Fatal(err)
	}
	out := a.Mailboxes.Deliver(a.t.Context(), nexthop.Job{ID: id, Received: came, Size: int64(len(text)), Recipients: []nexthop.Recipient{{Recipient: mail.Recipient{Address: a.alice}, Mailbox: a.alice}}, Envelope: mail.Envelope{From: mail.NullPath()},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }})
	if len(out) != 1 {
		a.t.Fatalf("%+v", out)
	}
	return out[0].Reply.Code
}
