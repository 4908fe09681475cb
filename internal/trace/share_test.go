package trace

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/fact"
)

// One home line, whatever it does, leaves groups for the others.
func TestNobodyAloneFillsTheGroups(t *testing.T) {
	const most = 64
	var s strangers
	s.open()
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for i := range 2000 {
		peer := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, byte(i), 15: byte(i >> 8)})
		s.group(fact.Fact{At: at, Kind: fact.KindRefuse, Rule: "relay-denied", Peer: peer}, most)
	}
	if n := len(s.groups); n > most/shareOfGroups+1 {
		t.Errorf("one /56 has %d groups", n)
	}
	rest := 0
	for k := range s.groups {
		if k.rule == RuleOverflow {
			rest++
			if k.network != netip.MustParsePrefix("2001:db8::/56") {
				t.Errorf("the rest is that of %v", k.network)
			}
		}
	}
	if rest != 1 {
		t.Errorf("%d groups take the rest", rest)
	}
	other := s.group(fact.Fact{At: at, Kind: fact.KindRefuse, Rule: "relay-denied", Peer: netip.MustParseAddr("192.0.2.1")}, most)
	if other.key.rule != "relay-denied" || other.key.network != netip.MustParsePrefix("192.0.2.0/24") {
		t.Errorf("another's group is %+v", other.key)
	}
}
