package node

import (
	"net"
	"net/netip"
	"strconv"
	"testing"

	"sallyport/internal/smtpd"
)

// 0.0.0.0 is all of IPv4 and opens nothing of IPv6, where [::] can be beside it.
func TestAllAddressesOfOneFamily(t *testing.T) {
	if ln, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("this host has no IPv6:", err)
	} else {
		must(t, ln.Close())
	}
	n := &Node{}
	defer n.unbind()
	must(t, n.bind(t.Context(), smtpd.KindMX, netip.MustParseAddrPort("0.0.0.0:0")))
	port := netip.MustParseAddrPort(n.Addrs().MX[0]).Port()
	at := net.JoinHostPort("::1", strconv.Itoa(int(port)))
	if c, err := net.Dial("tcp6", at); err == nil {
		c.Close()
		t.Error("0.0.0.0 is open on IPv6")
	}
	must(t, n.bind(t.Context(), smtpd.KindMX, netip.AddrPortFrom(netip.IPv6Unspecified(), port)))
	for _, host := range []string{"::1", "127.0.0.1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		must(t, err)
		c.Close()
	}
}
