package trust

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/kit/words"
)

// Limits bounds what trust rests on, and what ends it.
type Limits struct {
	Clients int           // public networks that must have written to port 25 for a trusted network of their family to count
	For     time.Duration // how long one of them proves that addresses arrive as they are

	Names    int           // names given in HELO behind one trusted address, by clients that did not sign in, that end its trust
	Domains  int           // domains that are not ours, from which such clients send, that end it
	Accounts int           // accounts at which such clients fail to sign in, that end it
	Window   time.Duration // for how long all of that is counted together
	Local    int           // domains that are not ours, from which mail comes to port 25 out of addresses that are not public, with no public client between, until client addresses count as lost

	Addresses  int // of which it is remembered at once what is done behind them
	NameOctets int // of a name that is remembered
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Clients: 3, For: 7 * 24 * time.Hour, Names: 5, Domains: 3, Accounts: 3, Window: 24 * time.Hour,
		Local: 5, Addresses: 4096, NameOctets: 255,
	}
}

// Evidence is which public clients were seen to arrive, apart for each family of addresses:
// one may come as it is, and the other through a gateway. The zero Evidence is none.
type Evidence struct {
	V4 []Seen `json:"v4,omitempty"`
	V6 []Seen `json:"v6,omitempty"`
}

// Seen is one public network that a client came from, and when last.
type Seen struct {
	Network netip.Prefix `json:"network"`
	At      time.Time    `json:"at"`
}

// Public reports whether an address is one of the Internet: it can't be made by translation to
// an inner network.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	for _, inner := range slices.Concat(innerNetworks(), translated()) {
		if inner.Contains(a) {
			return false
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == ""
}

// innerNetworks are those that are unicast, and of no public client, beside those that Go knows.
func innerNetworks() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10),  // RFC 6598: shared by the customers of a provider
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 0, 0}), 24),   // RFC 6890
		netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, 0}), 15),  // RFC 2544
		netip.PrefixFrom(netip.AddrFrom4([4]byte{240, 0, 0, 0}), 4),    // RFC 1112 §4
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0xc0}), 10),   // RFC 3879
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 88, 99, 0}), 24), // RFC 7526
	}
}

// fresh is how old what was seen must be before it is noted again, as a part of Limits.For.
const fresh = 24

// With returns the evidence with a client of port 25; changed is false where it says nothing
// new. ours are the trusted networks, whose clients prove nothing.
func (e Evidence) With(a netip.Addr, h Host, ours *Table, l Limits, now time.Time) (next Evidence, changed bool) {
	a = a.Unmap()
	if _, trusted := ours.Of(a); trusted || !Public(a) || h.Bars(a) != "" {
		return e, false
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	n, err := a.Prefix(bits)
	if err != nil {
		return e, false
	}
	all := e.of(a)
	if i := slices.IndexFunc(all, func(s Seen) bool { return s.Network == n }); i >= 0 {
		if now.Sub(all[i].At) < l.For/fresh {
			return e, false
		}
		all = slices.Delete(slices.Clone(all), i, i+1)
	}
	all = append([]Seen{{n, now.UTC()}}, all...)
	all = all[:min(len(all), l.Clients)]
	if a.Is4() {
		e.V4 = all
	} else {
		e.V6 = all
	}
	return e, true
}

func (e Evidence) of(a netip.Addr) []Seen {
	if a.Unmap().Is4() {
		return e.V4
	}
	return e.V6
}

// mostAhead is how far in the future a time may lie that still counts: clocks of one host differ by less.
const mostAhead = time.Minute

// Lacks says what is missing for addresses like a to count; "": nothing. A time that lies
// ahead says nothing.
func (e Evidence) Lacks(a netip.Addr, l Limits, now time.Time) string {
	n := 0
	for _, s := range e.of(a) {
		if age := now.Sub(s.At); age >= -mostAhead && age < l.For {
			n++
		}
	}
	family := "IPv4"
	if a.Unmap().Is6() {
		family = "IPv6"
	}
	if l.Clients < 1 || n < l.Clients {
		return fmt.Sprintf("it is not proven that addresses of clients arrive as they are: %s must have written to port 25 within %s, and %d did",
			words.Count(l.Clients, "public network")+" of "+family, words.Count(int(l.For.Hours()/24), "day"), n)
	}
	return ""
}

// Judge says why a client is not taken for the network that its address lies in; "": it is.
func Judge(a netip.Addr, h Host, e Evidence, l Limits, now time.Time) string {
	if why := h.Bars(a); why != "" {
		return why
	}
	return e.Lacks(a, l, now)
}
