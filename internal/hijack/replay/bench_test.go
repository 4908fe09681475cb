package replay

import (
	"testing"

	"sallyport/internal/hijack"
)

// What a recipient costs: its fingerprint, what it is to the account, and the judgement.
func BenchmarkRecipient(b *testing.B) {
	log := Made{People: 200, Days: 60, Seed: 1}.Make()
	deliveries := 0
	for _, m := range log {
		if !m.In && m.Event == nil {
			deliveries += len(m.To)
		}
	}
	for b.Loop() {
		newServer(hijack.DefaultParams()).honest(log, 0, epoch(0), nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*deliveries), "ns/recipient")
}
