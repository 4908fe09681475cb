package dnsx

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestProvenNames: a name counts that leads back to the address, whatever else it leads to; no more are looked
// at than are asked for, and what failed is told beside what did not.
func TestProvenNames(t *testing.T) {
	f := &Fake{
		Names: map[string][]string{
			"192.0.2.1": {"z.test", "liar.test", "a.test", "gone.test"}, "192.0.2.2": {"liar.test"}, "192.0.2.4": {"broken.test", "a.test"},
			"2001:db8::1": {"six.test"}, "192.0.2.5": {"a.test", "b.test", "z.test"},
		},
		Hosts: map[string][]netip.Addr{
			"z.test": addrs("192.0.2.9", "192.0.2.1", "192.0.2.5"), "a.test": addrs("192.0.2.1", "192.0.2.4"), "liar.test": addrs("198.51.100.1"),
			"six.test": addrs("192.0.2.6", "2001:db8::1"), "broken.test": addrs("192.0.2.4"),
		},
		Failures: map[string]error{"A broken.test": ErrTimeout, "PTR 3.2.0.192.in-addr.arpa": ErrServer},
	}
	for _, c := range []struct {
		ip    string
		most  int
		names string
		fails bool
	}{
		{"192.0.2.1", 5, "[a.test z.test]", true}, // gone.test does not exist, which is an error of its question
		{"192.0.2.1", 2, "[z.test]", false},
		{"::ffff:192.0.2.1", 2, "[z.test]", false},
		{"192.0.2.2", 5, "[]", false},
		{"192.0.2.3", 5, "[]", true},
		{"192.0.2.4", 5, "[a.test]", true},
		{"192.0.2.5", 2, "[]", true},
		{"192.0.2.77", 5, "[]", true},
		{"2001:db8::1", 5, "[six.test]", false},
	} {
		all, err := ProvenNames(t.Context(), f, netip.MustParseAddr(c.ip), c.most)
		if got := fmt.Sprint(all); got != c.names || (err != nil) != c.fails {
			t.Errorf("%s, %d: %s, %v; want %s", c.ip, c.most, got, err, c.names)
		}
	}
}

func addrs(all ...string) (out []netip.Addr) {
	for _, a := range all {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}
