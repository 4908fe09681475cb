package trace

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/fact"
)

// Power is lost at any moment, with everything that was not synced; checkpoints
// are on another disk, which keeps them. No checkpoint may cover a fact that the
// crash took, and the log goes on without an alarm.
func TestACrashNeverContradictsACheckpoint(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	h := newHouse(t)
	disk := vfs.NewCrashableMem()
	lost := 0
	for round := range 12 {
		st := openPebble(t, disk, "store")
		h.st = st
		l := h.open()
		signed := int64(0)
		for i := range 1 + rnd.IntN(40) {
			h.deliver(l, round*100+i, "bob@remote.test")
			l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Peer: testPeer(), Recipient: "x@y.test"})
			switch rnd.IntN(12) {
			case 0:
				sync1(t, l)
				signed = l.Stats().Signed
			case 1, 2, 3:
				if _, err := l.step(context.Background()); err != nil {
					t.Fatal(err)
				}
			case 4:
				if err := l.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		head := st.FactHead()
		disk = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * rnd.IntN(2), RNG: rnd})
		again := openPebble(t, disk, "store")
		if n := again.FactHead(); n < uint64(signed) {
			t.Fatalf("round %d: %d facts were signed, the crash left %d", round, signed, n)
		} else if n < head {
			lost++
		}
		h.st = again
		after := h.open()
		if r := h.verify(after); !r.OK() {
			t.Fatalf("round %d: %q", round, r.Faults)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(h.logs.String(), "ERROR") {
		t.Error(h.logs)
	}
	if lost == 0 {
		t.Error("no crash lost anything: the test proves nothing")
	}
}
