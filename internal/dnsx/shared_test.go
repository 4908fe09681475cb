package dnsx

import (
	"net/netip"
	"testing"
	"time"
)

// Whoever asks the same servers shares one client, and with it what is known and every bound; who asks
// others, or has their word believed, does not.
func TestShared(t *testing.T) {
	var s Shared
	get := func(validating bool, servers ...string) *Client {
		t.Helper()
		var at []netip.AddrPort
		for _, a := range servers {
			at = append(at, netip.MustParseAddrPort(a))
		}
		c, err := s.System(at, validating, time.Now)
		check(t, err)
		return c
	}
	a := get(false, "127.0.0.1:53", "127.0.0.2:53")
	if get(false, "127.0.0.1:53", "127.0.0.2:53") != a {
		t.Error("the same servers have two clients")
	}
	if _, err := s.System([]netip.AddrPort{{}}, false, time.Now); err == nil {
		t.Error("no address is one of a server")
	}
	if get(false, "127.0.0.1:53", "127.0.0.2:53") != a {
		t.Error("what came to nothing makes another client")
	}
	for _, other := range []*Client{get(false, "127.0.0.2:53", "127.0.0.1:53"), get(true, "127.0.0.1:53", "127.0.0.2:53"), get(false, "127.0.0.1:53")} {
		if other == a {
			t.Error("other servers have the same client")
		}
	}
}
