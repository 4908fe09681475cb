package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// rename writes another account into the record of a message of alice's, as whoever can
// write to the disk can: a checksum keeps nobody from it. "" is none.
func (h *house) rename(id mail.ID, account string) {
	h.Helper()
	k := append([]byte("se"), id.Bytes()...)
	record, err := h.st.Get(ctx, k)
	if err != nil {
		h.Fatal(err)
	}
	text := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	other := bytes.Replace(record[:len(record)-crc32.Size], text("alice@local.test"), text(account), 1)
	other = binary.BigEndian.AppendUint32(other, crc32.Checksum(other, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := h.st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: k, Value: other}}}, store.Durable); err != nil {
		h.Fatal(err)
	}
}

// Whose queue holds a message that may leave is for its Grant to say: a record that
// names nobody frees nothing. What does not leave any more is still alice's.
func TestTheGrantNamesWhoAnswers(t *testing.T) {
	alice := addr("alice@local.test")
	far := outboundMessage(t, "alice@local.test", []string{"a@far.test"}, "a@far.test")
	both := outboundMessage(t, "alice@local.test", []string{"a@far.test"}, "a@far.test", "bob@local.test")
	both.Deliveries[1].Kind, both.Deliveries[1].Mailbox = spool.KindLocal, addr("bob@local.test")
	for name, m := range map[string]spool.Message{"to outsiders": far, "and to colleagues": both} {
		h := newHouse(t)
		c := put(t, h.q, m, "x")
		if c.Account() != alice || c.Grant.Account() != alice {
			t.Errorf("%s: the first claim is answered for by %s", name, c.Account())
		}
		if len(m.Deliveries) == 2 {
			h.settle(c.Token, spool.Final{}, outcome("a@far.test", 250), outcome("bob@local.test", 451))
		}
		h.rename(m.ID, "")
		h.restart()
		h.clock.advance(time.Hour)
		if err := h.q.HoldAccount(ctx, alice, "hijacked"); err != nil {
			t.Fatal(err)
		}
		found := 0
		err := h.q.List(ctx, spool.Filter{Account: alice}, func(spool.Entry) (bool, error) { found++; return true, nil })
		if err != nil || found != 1 {
			t.Errorf("%s: alice has %d messages, %v", name, found, err)
		}
		_, err = h.q.Claim(ctx, m.ID, "test", time.Minute, h.clock.now())
		h.wantError(err, spool.ErrHeld)
		h.wantStats(1, 1)
		h.restart()
		if err := h.q.ReleaseAccount(ctx, alice); err != nil {
			t.Fatal(err)
		}
		h.wantDue(m.ID)
		c = h.claim(m.ID)
		if unnamed := (spool.Claim{Grant: c.Grant}); c.Entry.Account != alice || unnamed.Account() != alice {
			t.Errorf("%s: claimed with the account %s and the grant of %s", name, c.Entry.Account, unnamed.Account())
		}
	}
}

// A record that names another account than its Grant is of nobody who could answer.
func TestAnotherAccountsGrantHolds(t *testing.T) {
	h := newHouse(t)
	m := outboundMessage(t, "alice@local.test", []string{"a@far.test"}, "a@far.test")
	put(t, h.q, m, "x")
	h.rename(m.ID, "bob@local.test")
	h.restart()
	_, err := h.q.Claim(ctx, m.ID, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrNoGrant)
	if e, err := h.q.Get(ctx, m.ID); err != nil || e.Held != "grant does not verify" {
		t.Errorf("held %q, %v", e.Held, err)
	}
	h.wantStats(1, 1)
}

// meddler does something just when the next transaction is committed.
type meddler struct {
	store.Store
	act func()
}

func (m *meddler) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	rev, err := m.Store.Apply(ctx, tx, d)
	if act := m.act; act != nil {
		m.act = nil
		act()
	}
	return rev, err
}

// An account that is held while a claim is made keeps the message here, and once it is
// released the message goes on.
func TestAnAccountHeldDuringClaim(t *testing.T) {
	h := newHouse(t)
	m := outboundMessage(t, "alice@local.test", []string{"a@far.test"}, "a@far.test")
	put(t, h.q, m, "x")
	meddle := &meddler{Store: h.st}
	h.st = meddle
	h.restart()
	alice := addr("alice@local.test")
	meddle.act = func() {
		if err := h.q.HoldAccount(ctx, alice, "hijacked"); err != nil {
			t.Error(err)
		}
	}
	_, err := h.q.Claim(ctx, m.ID, "test", time.Hour, h.clock.now())
	h.wantError(err, spool.ErrHeld)
	if n := h.q.Stats().Claims; n != 0 {
		t.Errorf("%d claims are left", n)
	}
	if err := h.q.ReleaseAccount(ctx, alice); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(24 * time.Hour)
	h.wantDue(m.ID)
	h.claim(m.ID)
}
