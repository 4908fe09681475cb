package server

import (
	"math"
	"math/rand/v2"
	"testing"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

// However many messages there are and whatever their UIDs: the batches leave out no UID from the
// largest down to 1, each but the last holds as many messages as were asked for, and a part of them
// is that part of all.
func TestBatchesCoverTheMailbox(t *testing.T) {
	r := rand.New(rand.NewPCG(10022, 1))
	for range 500 {
		msgs := make([]mailbox.Message, r.IntN(60))
		for i, uid := 0, uint32(0); i < len(msgs); i++ {
			uid += 1 + r.Uint32N(4)
			msgs[i].UID = mailbox.UID(uid)
		}
		a := imapwire.Batches{Size: 1 + r.Uint32N(20), From: 1, To: math.MaxUint32}
		all := batchesOf(msgs, a)
		if len(all) != (len(msgs)+int(a.Size)-1)/int(a.Size) {
			t.Fatalf("%d messages in batches of %d: %v", len(msgs), a.Size, all)
		}
		for i, b := range all {
			holds := 0
			for _, m := range msgs {
				if b.From <= uint32(m.UID) && uint32(m.UID) <= b.To {
					holds++
				}
			}
			last := i == len(all)-1
			if i == 0 && b.To != uint32(msgs[len(msgs)-1].UID) || i > 0 && b.To != all[i-1].From-1 || last != (b.From == 1) && msgs[0].UID != 1 || last && b.From != 1 {
				t.Fatalf("batches of %d: %v of %v", a.Size, all, msgs)
			}
			if holds != int(a.Size) && !(last && holds > 0 && holds < int(a.Size)) {
				t.Fatalf("batch %d holds %d messages, and must hold %d: %v", i, holds, a.Size, all)
			}
		}
		part := a
		part.From, part.To = 1+r.Uint32N(5), 1+r.Uint32N(8)
		some := batchesOf(msgs, part)
		for n := part.From; n <= part.To; n++ {
			i := int(n - part.From)
			if there := int(n) <= len(all); there != (i < len(some)) || there && some[i] != all[n-1] {
				t.Fatalf("batches %d to %d: %v of %v", part.From, part.To, some, all)
			}
		}
	}
}
