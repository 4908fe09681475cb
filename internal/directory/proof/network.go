package proof

import (
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

// NetworkWorld is what is to be proven of networks that sign in as accounts.
type NetworkWorld struct {
	Networks []trust.Network // as they were written
	Host     trust.Host
	// Of finds the network of a client, and Judge says why it does not count; "": it does.
	Of    func(netip.Addr) (trust.Network, bool)
	Judge func(a netip.Addr, e trust.Evidence, now time.Time) string
}

// The widest networks that can hold devices of ours alone.
const (
	widestV4 = 16
	widestV6 = 48
)

// mostProofs is how many networks of clients are made up as evidence for each family: more than trust asks for.
const mostProofs = 16

// Networks tries every class of addresses that networks make: both ends of each, what lies
// beside it, every address that others look like, and the Internet; each with all the evidence
// that there can be, and with none. Where there is no network, nothing is tried.
func Networks(w NetworkWorld) Report {
	if len(w.Networks) == 0 {
		return Report{}
	}
	n := networkProver{w: w, expected: map[netip.Prefix]mail.Address{}, lengths: map[bool]map[int]bool{true: {}, false: {}}, tried: map[netip.Addr]bool{}}
	for _, network := range w.Networks {
		for _, p := range network.From {
			if n.wide(network, p); n.report.Witness != nil {
				return n.report
			}
			n.expected[p], n.lengths[p.Addr().Is4()][p.Bits()] = network.Account, true
		}
	}
	for _, network := range w.Networks {
		cause := directory.Subject{Kind: directory.KindNetwork, Name: network.Name}
		for _, p := range network.From {
			first, last := p.Addr(), lastOf(p)
			for _, a := range []netip.Addr{first, last, first.Next(), last.Prev(), first.Prev(), last.Next(), netip.AddrFrom16(first.As16())} {
				if n.try(a, cause); n.report.Witness != nil {
					return n.report
				}
			}
		}
	}
	for _, a := range n.others() {
		if n.try(a, directory.Subject{Kind: directory.KindNetwork}); n.report.Witness != nil {
			break
		}
	}
	return n.report
}

type networkProver struct {
	w        NetworkWorld
	expected map[netip.Prefix]mail.Address
	lengths  map[bool]map[int]bool // of prefixes, by whether they are of IPv4
	tried    map[netip.Addr]bool
	report   Report
}

func (n *networkProver) witness(a netip.Addr, account mail.Address, cause directory.Subject, why string) {
	n.report.Witness = &Witness{
		Door: gate.DoorSubmission, Peer: gate.PeerProvenNetwork, Auth: gate.AuthNetworkAccount, Standing: gate.StandingActive,
		Client: a, Account: account, Cause: cause, Rule: gate.RuleSubmissionRelay, Why: why,
	}
}

// wide finds a network that cannot hold devices of ours alone.
func (n *networkProver) wide(of trust.Network, p netip.Prefix) {
	widest := widestV6
	if p.Addr().Is4() {
		widest = widestV4
	}
	cause := directory.Subject{Kind: directory.KindNetwork, Name: of.Name}
	switch {
	case !p.IsValid() || p.Bits() < widest:
		n.witness(p.Addr(), of.Account, cause, "the network "+p.String()+" is so wide that anybody may be in it")
	case of.Account.IsZero():
		n.witness(p.Addr(), of.Account, cause, "the network signs in as nobody in particular")
	}
}

// proven is all the evidence that there can be.
func proven(at time.Time) (e trust.Evidence) {
	for i := range mostProofs {
		e.V4 = append(e.V4, trust.Seen{Network: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i), 0}), 24), At: at})
		e.V6 = append(e.V6, trust.Seen{Network: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i)}), 48), At: at})
	}
	return e
}

// try judges one client.
func (n *networkProver) try(a netip.Addr, cause directory.Subject) {
	if !a.IsValid() || n.tried[a] {
		return
	}
	n.tried[a] = true
	n.report.Addresses++
	n.report.Classes += 2
	at := time.Unix(0, 0)
	of, in := n.w.Of(a)
	if cause.Name == "" {
		cause.Name = of.Name
	}
	account, allowed := n.allowed(a)
	switch {
	case !in:
	case n.w.Judge(a, trust.Evidence{}, at) == "":
		n.witness(a, of.Account, cause, "it is taken without any proof that addresses of clients arrive as they are")
	case n.w.Judge(a, proven(at), at) != "":
	case !allowed:
		n.witness(a, of.Account, cause, "it lies in no network that signs in")
	case account != of.Account:
		n.witness(a, of.Account, cause, "it lies in the network of "+account.String())
	case n.looksLikeOthers(a):
		n.witness(a, of.Account, cause, "others come through this address, or look like it")
	}
}

// allowed says in words of its own whose network an address lies in.
func (n *networkProver) allowed(a netip.Addr) (mail.Address, bool) {
	a = a.Unmap()
	for bits := range n.lengths[a.Is4()] {
		if p, err := a.Prefix(bits); err == nil {
			if account, ok := n.expected[p]; ok {
				return account, true
			}
		}
	}
	return mail.Address{}, false
}

// looksLikeOthers says in words of its own of which addresses nobody knows who is behind them.
func (n *networkProver) looksLikeOthers(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range slices.Concat(n.w.Host.Bridges, n.w.Host.Balancers) {
		if p.Contains(a) {
			return true
		}
	}
	if a.Is6() && holdsIPv4(a.As16()) {
		return true
	}
	return a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || slices.Contains(n.w.Host.Own, a) || slices.Contains(n.w.Host.Gateways, a)
}

// holdsIPv4 says in words of its own whether an address of IPv6 stands for one of IPv4 that was translated: its
// first octets are those of NAT64 (64:ff9b), 6to4 (2002) or Teredo (2001:0), or nothing stands before the last four
// but 0, or ffff and 0.
func holdsIPv4(o [16]byte) bool {
	switch first := uint32(o[0])<<24 | uint32(o[1])<<16 | uint32(o[2])<<8 | uint32(o[3]); {
	case first == 0x0064ff9b, first>>16 == 0x2002, first == 0x20010000:
		return true
	}
	rest := o
	clear(rest[12:])
	return rest == [16]byte{} || rest == [16]byte{8: 0xff, 9: 0xff}
}

// others are addresses that others look like, and some of the Internet and of inner networks.
func (n *networkProver) others() []netip.Addr {
	all := slices.Concat(n.w.Host.Own, n.w.Host.Gateways)
	for _, p := range slices.Concat(n.w.Host.Bridges, n.w.Host.Balancers) {
		all = append(all, p.Addr(), p.Addr().Next(), lastOf(p))
	}
	for _, text := range []string{
		"0.0.0.0", "::", "127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "10.0.0.1", "172.16.0.1", "172.17.0.1", "192.168.0.1", "169.254.0.1", "100.64.0.1",
		"8.8.8.8", "203.0.113.1", "198.51.100.1", "192.0.2.1", "224.0.0.1", "255.255.255.255", "fe80::1", "fd00::1", "2001:db8::1", "2606:4700::1111", "ff02::1", "64:ff9b::1", "64:ff9b:1::1", "::ffff:0:10.0.0.1", "::10.0.0.1", "2002:a00:1::1", "2001:0:a00:1::1",
	} {
		if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// lastOf is the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
