package listen

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
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

func TestAllOrNone(t *testing.T) {
	free, taken := netip.MustParseAddrPort("127.0.0.1:0"), netip.AddrPort{}
	other, err := TCP(t.Context(), free)
	must(t, err)
	defer other.Close()
	taken = netip.MustParseAddrPort(other.Addr().String())
	both, err := All(t.Context(), []netip.AddrPort{free, free}, TCP)
	must(t, err)
	if len(both) != 2 {
		t.Fatalf("%d are bound", len(both))
	}
	must(t, Close(both))
	must(t, Close(both)) // once more does no harm
	first := netip.MustParseAddrPort(both[0].Addr().String())
	none, err := All(t.Context(), []netip.AddrPort{first, taken}, TCP)
	var which *Error
	if none != nil || !errors.As(err, &which) || which.Index != 1 || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, %v", none, err)
	}
	again, err := TCP(t.Context(), first)
	if err != nil {
		t.Fatalf("the first stayed bound: %v", err)
	}
	must(t, again.Close())
}
