package doors

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/kit/memory"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/screen"
)

// While memory is short strangers come only for others who go, and a part of what is not judged yet is held; while there is
// none, that holds for everybody, and nothing more is held.
func TestDoorsAreNarrowedWhileMemoryIsShort(t *testing.T) {
	cfg := load(t, fmt.Sprintf(small, "127.0.0.1:0"))
	d := of(cfg)
	l := bounds.Server(cfg).Limits
	l.Reserved = 0 // as at the door for the world
	from := netip.MustParseAddr("198.51.100.7")
	comes := func(a *door.Admission, stage screen.Stage) bool {
		p, _ := a.Enter(from, stage, &l, time.Now, func() {})
		if p == nil {
			return false
		}
		p.Leave()
		return true
	}
	for _, c := range []struct {
		level                    memory.Level
		strangers, ours, reading bool
		most                     int64
	}{
		{memory.Enough, true, true, true, cfg.Limits.UnjudgedMemory}, {memory.Short, false, true, true, cfg.Limits.UnjudgedMemory / shortPart}, {memory.Out, false, false, false, 0},
		{memory.Enough, true, true, true, cfg.Limits.UnjudgedMemory},
	} {
		d.Narrow(c.level)
		if s, o, r := comes(d.admission.Admission, screen.StageFresh), comes(d.admission.Admission, screen.StageOurs), comes(d.readers, screen.StageFresh); s != c.strangers || o != c.ours || r != c.reading {
			t.Errorf("at level %v strangers come: %v, ours: %v, who reads: %v", c.level, s, o, r)
		}
		h := d.Memory().Hold(true)
		if h.Take(c.most+1) || c.most > 0 && !h.Take(c.most) {
			t.Errorf("at level %v other than %d octets are held", c.level, c.most)
		}
		h.End()
	}
}
