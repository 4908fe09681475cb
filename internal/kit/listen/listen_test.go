package listen

import (
	"net"
	"net/netip"
	"strconv"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// 0.0.0.0 is all of IPv4 and opens nothing of IPv6, where [::] can be beside it.
func TestAllAddressesOfOneFamily(t *testing.T) {
	if ln, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("this host has no IPv6:", err)
	} else {
		must(t, ln.Close())
	}
	four, err := TCP(t.Context(), netip.MustParseAddrPort("0.0.0.0:0"))
	must(t, err)
	defer four.Close()
	port := netip.MustParseAddrPort(four.Addr().String()).Port()
	at := net.JoinHostPort("::1", strconv.Itoa(int(port)))
	if c, err := net.Dial("tcp6", at); err == nil {
		c.Close()
		t.Error("0.0.0.0 is open on IPv6")
	}
	six, err := TCP(t.Context(), netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	must(t, err)
	defer six.Close()
	for _, host := range []string{"::1", "127.0.0.1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		must(t, err)
		c.Close()
	}
}
