package look

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"sallyport/internal/trust"
)

// Attributes of netlink messages that package syscall has no names for. rtnetlink(7)
const (
	iflaLinkInfo = 18
	iflaInfoKind = 1
	ndaDst       = 1
	ndaLLAddr    = 2
	ntfRouter    = 0x80
	rtaVia       = 18
	nestedFlag   = 0x8000 // of an attribute's type: it holds others
	ndMsgLen     = 12
)

// Host looks at this host. The error says what could not be seen; the Host bars everything then.
func Host() (trust.Host, error) {
	links, err := readLinks()
	if err != nil {
		return trust.Host{}, err
	}
	h := trust.Host{Known: true}
	if err := readAddresses(&h, links); err != nil {
		return trust.Host{}, err
	}
	if err := readGateways(&h); err != nil {
		return trust.Host{}, err
	}
	h.Own, h.Gateways = sorted(h.Own), sorted(h.Gateways)
	slices.SortFunc(h.Bridges, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	h.Bridges = slices.Compact(h.Bridges)
	return h, nil
}

func sorted(all []netip.Addr) []netip.Addr {
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// dump asks the kernel for all of a kind, and calls fn with the payload of each.
func dump(request int, want uint16, fn func(m syscall.NetlinkMessage) error) error {
	rib, err := syscall.NetlinkRIB(request, syscall.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("look: asking the kernel: %w", err)
	}
	all, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return fmt.Errorf("look: what the kernel answered: %w", err)
	}
	for _, m := range all {
		if m.Header.Type == syscall.NLMSG_DONE {
			return nil
		}
		if m.Header.Type != want {
			continue
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// link is what kind of interface one is.
type link struct {
	kind   string // "": hardware
	master uint32 // the index of the bridge that it is a port of
}

func readLinks() (map[uint32]link, error) {
	links := map[uint32]link{}
	err := dump(syscall.RTM_GETLINK, syscall.RTM_NEWLINK, func(m syscall.NetlinkMessage) error {
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil || len(m.Data) < syscall.SizeofIfInfomsg {
			return err
		}
		var l link
		for _, a := range attrs {
			switch a.Attr.Type &^ nestedFlag {
			case syscall.IFLA_MASTER:
				l.master = number(a.Value)
			case iflaLinkInfo:
				l.kind = text(attributes(a.Value)[iflaInfoKind])
			}
		}
		links[number(m.Data[4:8])] = l
		return nil
	})
	return links, err
}

// readAddresses notes our own addresses, and the networks of containers.
func readAddresses(h *trust.Host, links map[uint32]link) error {
	return dump(syscall.RTM_GETADDR, syscall.RTM_NEWADDR, func(m syscall.NetlinkMessage) error {
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil || len(m.Data) < syscall.SizeofIfAddrmsg {
			return err
		}
		bits, index := int(m.Data[1]), number(m.Data[4:8])
		for _, a := range attrs {
			// IFA_LOCAL is ours; IFA_ADDRESS is too, unless the link leads to one other end,
			// which is a gateway then.
			if a.Attr.Type != syscall.IFA_LOCAL && a.Attr.Type != syscall.IFA_ADDRESS {
				continue
			}
			ip, ok := netip.AddrFromSlice(a.Value)
			if !ok || ip.IsLinkLocalUnicast() {
				continue
			}
			h.Own = append(h.Own, ip)
			if n, err := ip.Prefix(bits); err == nil && containers(index, links) {
				h.Bridges = append(h.Bridges, n)
			}
		}
		return nil
	})
}

// containers reports whether an interface leads to containers, or from one to its host: a
// pair of virtual ends, or a bridge without a port that leads outside.
func containers(index uint32, links map[uint32]link) bool {
	l := links[index]
	if l.kind == "veth" {
		return true
	}
	if l.kind != "bridge" {
		return false
	}
	for _, port := range links {
		if port.master == index && !slices.Contains([]string{"veth", "tun", "dummy"}, port.kind) {
			return false
		}
	}
	return true
}

// readGateways notes the gateways of all routes, and whatever else lives at their hardware
// addresses or says of itself that it is a router.
func readGateways(h *trust.Host) error {
	add := func(octets []byte) {
		if ip, ok := netip.AddrFromSlice(octets); ok && !ip.IsUnspecified() {
			h.Gateways = append(h.Gateways, ip)
		}
	}
	err := dump(syscall.RTM_GETROUTE, syscall.RTM_NEWROUTE, func(m syscall.NetlinkMessage) error {
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return err
		}
		for _, a := range attrs {
			switch a.Attr.Type &^ nestedFlag {
			case syscall.RTA_GATEWAY:
				add(a.Value)
			case rtaVia:
				if len(a.Value) > 2 {
					add(a.Value[2:]) // behind the family
				}
			case syscall.RTA_MULTIPATH:
				for _, hop := range hops(a.Value) {
					add(hop[syscall.RTA_GATEWAY])
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return readNeighbours(h)
}

// neighbour is somebody on one of our links.
type neighbour struct {
	address  netip.Addr
	hardware string
	router   bool
}

func readNeighbours(h *trust.Host) error {
	var all []neighbour
	err := dump(syscall.RTM_GETNEIGH, syscall.RTM_NEWNEIGH, func(m syscall.NetlinkMessage) error {
		if len(m.Data) < ndMsgLen {
			return nil
		}
		attrs := attributes(m.Data[ndMsgLen:])
		ip, ok := netip.AddrFromSlice(attrs[ndaDst])
		if ok {
			all = append(all, neighbour{ip, string(attrs[ndaLLAddr]), m.Data[10]&ntfRouter != 0})
		}
		return nil
	})
	gateways := map[string]bool{}
	for _, n := range all {
		if n.hardware != "" && (n.router || slices.Contains(h.Gateways, n.address)) {
			gateways[n.hardware] = true
		}
	}
	for _, n := range all {
		if n.router || gateways[n.hardware] {
			h.Gateways = append(h.Gateways, n.address)
		}
	}
	return err
}
