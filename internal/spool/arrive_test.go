package spool_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// A body that has ended can be read before it is stored, as often as one likes,
// whether it lies in memory or in a file.
func TestABodyIsReadBeforeItIsStored(t *testing.T) {
	for _, size := range []int{0, 1, 10 << 10, 128 << 10, 128<<10 + 1, 1<<20 + 7} {
		h := newHouse(t)
		content := strings.Repeat("0123456789", size/10+1)[:size]
		b := bodyOf(t, h.q, []byte(content))
		if _, err := b.Reader(); !errors.Is(err, spool.ErrInvalid) {
			t.Errorf("size %d: a body that has not ended is read: %v", size, err)
		}
		if err := b.End(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r, err := b.Reader()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != content {
				t.Errorf("size %d: %d octets, %v", size, len(got), err)
			}
		}
		m := localMessage("alice@local.test", "bob@local.test")
		if _, err := h.q.Put(ctx, m, b, nil); err != nil {
			t.Fatal(err)
		}
		wantBody(t, h.q, m.ID, content)
		if n, err := b.Write([]byte("x")); n != 0 || err == nil {
			t.Errorf("size %d: a body that has ended takes more", size)
		}
	}
}

// A message that is put on hold is never claimed, not even after a crash, until
// somebody releases it; then its first attempt is its first.
func TestAMessageIsHeldFromTheStart(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	m.Hold, m.Junk = "looks dangerous", true
	c, err := h.q.Put(ctx, m, bodyOf(t, h.q, bytes.Repeat([]byte("x"), 200<<10)), [][]byte{[]byte("accepted")})
	if err != nil || c.Token != (spool.Token{}) || c.Entry.ID != (mail.ID{}) {
		t.Fatalf("claim %+v, %v", c, err)
	}
	h.wantHead(1)
	h.wantStats(1, 1)
	h.wantDue()
	q, _ := openSpool(t, h.st, options(t, h.clock.now))
	if n, err := q.Release(ctx, spool.Filter{IDs: []mail.ID{m.ID}}, nil); n != 1 || err != nil {
		t.Fatalf("released %d, %v", n, err)
	}
	claim, err := q.Claim(ctx, m.ID, "dispatch", time.Minute, h.clock.now())
	if err != nil || claim.Entry.Attempts != 1 || !claim.Entry.Junk || claim.Entry.Held != "" {
		t.Fatalf("claimed %+v, %v", claim.Entry, err)
	}
}
