package look

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
)

// Every address that the system says is ours is one of our own, each once.
func TestOurOwnAddresses(t *testing.T) {
	h, err := Host()
	if err != nil || !h.Known {
		t.Fatalf("%+v, %v", h, err)
	}
	all, err := net.InterfaceAddrs()
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if ip := p.Addr(); !ip.IsLinkLocalUnicast() && !slices.Contains(h.Own, ip) {
			t.Errorf("%v is not among %v", ip, h.Own)
		}
	}
	if !slices.Equal(h.Own, sorted(slices.Clone(h.Own))) {
		t.Errorf("not each once: %v", h.Own)
	}
}

// A pair of virtual ends leads to containers, and so does a bridge, unless one of its ports leads outside.
func TestWhatLeadsToContainers(t *testing.T) {
	links := map[uint32]link{
		1: {}, 2: {kind: "veth"}, 3: {kind: "bridge"}, 4: {kind: "bridge"}, 5: {kind: "veth", master: 3},
		6: {kind: "veth", master: 4}, 7: {master: 4}, 8: {kind: "bridge"}, 9: {kind: "vlan"},
	}
	for index, want := range map[uint32]bool{1: false, 2: true, 3: true, 4: false, 8: true, 9: false, 99: false} {
		if containers(index, links) != want {
			t.Errorf("%d: %v", index, !want)
		}
	}
}

// attribute is one as the kernel writes it.
func attribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, aligned(len(b))-len(b))...)
}

// A route of several hops has the gateway of each; what is cut off is no hop, wherever the cut is.
func TestEachHopOfARoute(t *testing.T) {
	var route []byte
	for _, last := range []byte{1, 2} {
		gateway := attribute(syscall.RTA_GATEWAY, 192, 0, 2, last)
		route = binary.NativeEndian.AppendUint16(route, uint16(syscall.SizeofRtNexthop+len(gateway)))
		route = append(route, 0, 0, 0, 0, 0, 0)
		route = append(route, gateway...)
	}
	for n := range len(route) + 1 {
		all := hops(route[:n])
		if len(all) != n/(len(route)/2) {
			t.Fatalf("%d of %d octets: %v", n, len(route), all)
		}
		for i, hop := range all {
			if !slices.Equal(hop[syscall.RTA_GATEWAY], []byte{192, 0, 2, byte(i + 1)}) {
				t.Errorf("hop %d: %v", i, hop)
			}
		}
	}
	// A length of nothing would be read for ever.
	if all := attributes([]byte{0, 0, 1, 0, 9, 9, 9, 9}); len(all) != 0 {
		t.Error(all)
	}
}
