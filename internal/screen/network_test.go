package screen

import (
	"net/netip"
	"testing"
)

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.77":               "192.0.2.0/24",
		"::ffff:192.0.2.77":        "192.0.2.0/24",
		"2001:db8:1:2::3":          "2001:db8:1::/48",
		"fe80::1%eth0":             "fe80::/48",
		"127.0.0.1":                "127.0.0.0/24",
		"::ffff:192.0.2.77%eth0":   "192.0.2.0/24",
		"2001:db8:1:ffff:ffff::77": "2001:db8:1::/48",
	} {
		if got := Network(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("Network(%s) = %s, want %s", in, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("Network of nothing = %v", got)
	}
}
