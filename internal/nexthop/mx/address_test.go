package mx

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// The addresses at the edges of what may be dialled.
func TestWhichAddressesAreDialled(t *testing.T) {
	own := netip.MustParseAddr
	rule := Rule{Own: []netip.Addr{own("8.8.4.4"), own("2600::5"), own("::ffff:9.9.9.9")}}
	for text, want := range map[string]Refusal{
		"1.0.0.0": "", "8.8.8.8": "", "9.255.255.255": "", "11.0.0.0": "", "100.63.255.255": "", "100.128.0.0": "",
		"126.255.255.255": "", "128.0.0.0": "", "169.253.255.255": "", "169.255.0.0": "", "172.15.255.255": "", "172.32.0.0": "",
		"192.0.1.0": "", "192.0.3.0": "", "192.167.255.255": "", "192.169.0.0": "", "198.17.255.255": "", "198.20.0.0": "",
		"203.0.112.255": "", "203.0.114.0": "", "223.255.255.255": "", "2001:200::": "", "2003::1": "", "2600::1": "", "2a00:1450::1": "", "3ffe::1": "",
		"0.0.0.1": RefusePrivate, "10.0.0.1": RefusePrivate, "100.64.0.1": RefusePrivate, "127.0.0.1": RefusePrivate, "127.255.255.255": RefusePrivate,
		"169.254.169.254": RefusePrivate, "172.16.0.1": RefusePrivate, "172.31.255.255": RefusePrivate, "192.0.0.8": RefusePrivate, "192.0.2.1": RefusePrivate,
		"192.88.99.1": RefusePrivate, "192.168.1.1": RefusePrivate, "198.18.0.1": RefusePrivate, "198.19.255.255": RefusePrivate, "198.51.100.1": RefusePrivate,
		"203.0.113.1": RefusePrivate, "240.0.0.1": RefusePrivate, "255.255.255.254": RefusePrivate,
		"::1": RefusePrivate, "::127.0.0.1": RefusePrivate, "::ffff:127.0.0.1": RefusePrivate, "::ffff:8.8.8.8": RefusePrivate, "64:ff9b::7f00:1": RefusePrivate,
		"64:ff9b:1::1": RefusePrivate, "100::1": RefusePrivate, "1fff::": RefusePrivate, "2001::1": RefusePrivate, "2001:1ff::": RefusePrivate, "2001:db8::1": RefusePrivate,
		"2002:7f00:1::": RefusePrivate, "3fff::1": RefusePrivate, "4000::": RefusePrivate, "5f00::1": RefusePrivate, "fc00::1": RefusePrivate, "fd00::1": RefusePrivate,
		"fe80::1": RefusePrivate, "fec0::1": RefusePrivate,
		"0.0.0.0": RefuseNoHost, "::": RefuseNoHost, "224.0.0.1": RefuseNoHost, "239.255.255.255": RefuseNoHost, "255.255.255.255": RefuseNoHost, "ff02::1": RefuseNoHost,
		"2600::1%eth0": RefuseNoHost, "8.8.4.4": RefuseOurs, "2600::5": RefuseOurs, "9.9.9.9": RefuseOurs, "::ffff:8.8.4.4": RefusePrivate,
	} {
		if got := rule.Check(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if (Rule{}).Check(netip.Addr{}) == "" {
		t.Error("no address is dialled")
	}
}

// What the administrator lists is dialled, but never what is ours or no host.
func TestListedNetworks(t *testing.T) {
	rule := Rule{
		Own:   []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	}
	for text, want := range map[string]Refusal{
		"10.0.0.2": "", "127.0.0.1": "", "::1": "", "64:ff9b::808:808": "", "10.0.0.1": RefuseOurs, "0.0.0.0": RefuseNoHost, "::": RefuseNoHost,
		"224.0.0.1": RefuseNoHost, "ff02::1": RefuseNoHost, "255.255.255.255": RefuseNoHost, "::ffff:10.0.0.1": RefusePrivate, "::ffff:10.0.0.2": RefusePrivate,
	} {
		if got := rule.Check(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	one := Rule{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	if one.Check(netip.MustParseAddr("10.1.2.3")) != "" || one.Check(netip.MustParseAddr("10.2.0.1")) == "" {
		t.Error("a listed network is not what is listed")
	}
}

// The rule in other words: what net/netip knows to be special, and the registries
// as first and last address.
func TestNothingSpecialIsEverPublic(t *testing.T) {
	special := [][2]string{
		{"0.0.0.0", "0.255.255.255"}, {"10.0.0.0", "10.255.255.255"}, {"100.64.0.0", "100.127.255.255"}, {"127.0.0.0", "127.255.255.255"},
		{"169.254.0.0", "169.254.255.255"}, {"172.16.0.0", "172.31.255.255"}, {"192.0.0.0", "192.0.0.255"}, {"192.0.2.0", "192.0.2.255"},
		{"192.88.99.0", "192.88.99.255"}, {"192.168.0.0", "192.168.255.255"}, {"198.18.0.0", "198.19.255.255"}, {"198.51.100.0", "198.51.100.255"},
		{"203.0.113.0", "203.0.113.255"}, {"224.0.0.0", "255.255.255.255"}, {"::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"}, {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, {"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"}, {"4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		ip := anyAddr().Draw(rt, "ip")
		want := ip.IsGlobalUnicast() && !ip.IsPrivate()
		for _, r := range special {
			first, last := netip.MustParseAddr(r[0]), netip.MustParseAddr(r[1])
			if first.BitLen() == ip.BitLen() && first.Compare(ip) <= 0 && ip.Compare(last) <= 0 {
				want = false
			}
		}
		if got := (Rule{}).Check(ip) == ""; got != want {
			rt.Fatalf("%s is dialled: %v", ip, got)
		}
	})
}

// anyAddr draws addresses of both families, most of them near a border.
func anyAddr() *rapid.Generator[netip.Addr] {
	seeds := []string{
		"0.0.0.0", "10.0.0.0", "11.0.0.0", "100.64.0.0", "100.128.0.0", "127.0.0.0", "128.0.0.0",
		"169.254.0.0", "172.16.0.0", "172.32.0.0", "192.0.0.0", "192.0.2.0", "192.88.99.0",
		"192.168.0.0", "198.18.0.0", "198.51.100.0", "203.0.113.0", "224.0.0.0", "240.0.0.0", "255.255.255.255", "8.8.8.8",
		"::", "::1", "::ffff:0:0", "::ffff:127.0.0.1", "64:ff9b::", "2000::", "2001::", "2001:200::",
		"2001:db8::", "2001:db9::", "2002::", "2003::", "3fff::", "3fff:1000::", "4000::", "fc00::", "fe80::",
		"ff00::",
	}
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		ip := netip.MustParseAddr(rapid.SampledFrom(seeds).Draw(t, "near"))
		switch step := rapid.IntRange(0, 2).Draw(t, "step"); {
		case step == 1 && ip.Prev().IsValid():
			return ip.Prev()
		case step == 2 && ip.Is4():
			return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, rapid.Uint32().Draw(t, "v4"))))
		case step == 2:
			b := ip.As16()
			binary.BigEndian.PutUint64(b[8:], rapid.Uint64().Draw(t, "host"))
			return netip.AddrFrom16(b)
		}
		return ip
	})
}
