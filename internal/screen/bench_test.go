package screen

import (
	"testing"
	"time"
)

// BenchmarkNoRoom is a connection that comes where there is no room.
func BenchmarkNoRoom(b *testing.B) {
	c := NewCrowd()
	for i := 0; c.Open() < 4096; i++ {
		c.Enter(line6(uint16(i), 0), StageFresh, CrowdLimits{Total: 4096, Network: 128}, begin)
	}
	n := 0
	for b.Loop() {
		n++
		e := c.Enter(line6(uint16(n), 1), StageFresh, CrowdLimits{Total: 4096, Network: 128}, begin.Add(time.Hour))
		c.Leave(e.Victim)
	}
}
