package proof_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/directory/proof"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

// networkWorld is one of real rooms, with two networks of devices.
func networkWorld(t testing.TB, networks ...trust.Network) proof.NetworkWorld {
	t.Helper()
	if networks == nil {
		networks = []trust.Network{
			{Name: "printers", From: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24"), netip.MustParsePrefix("fd20::/64")}, Account: addr(t, "printers@local.test")},
			{Name: "scales", From: []netip.Prefix{netip.MustParsePrefix("10.20.2.0/24")}, Account: addr(t, "scales@local.test")},
		}
	}
	table, err := trust.NewTable(networks)
	if err != nil {
		t.Fatal(err)
	}
	h := trust.Host{Known: true, Own: []netip.Addr{netip.MustParseAddr("10.20.0.2")}, Gateways: []netip.Addr{netip.MustParseAddr("10.20.0.1")}, Bridges: []netip.Prefix{netip.MustParsePrefix("10.20.0.64/28")}}
	return proof.NetworkWorld{Networks: networks, Host: h, Of: table.Of, Judge: func(a netip.Addr, e trust.Evidence, now time.Time) string {
		return trust.Judge(a, h, e, trust.DefaultLimits(), now)
	}}
}

// Networks of devices are closed, and each way in which they would not be is found and told.
func TestNetworks(t *testing.T) {
	if r := proof.Networks(networkWorld(t)); !r.Closed() {
		t.Fatal(r.Witness)
	}
	of := func(t testing.TB, s string) (trust.Network, bool) {
		return trust.Network{Name: "printers", Account: addr(t, s)}, true
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, w *proof.NetworkWorld)
		want  string
	}{
		"the Internet": {func(_ *testing.T, w *proof.NetworkWorld) {
			w.Networks[0].From = append(w.Networks[0].From, netip.MustParsePrefix("0.0.0.0/0"))
		}, "so wide"},
		"half of IPv6": {func(_ *testing.T, w *proof.NetworkWorld) {
			w.Networks[0].From = append(w.Networks[0].From, netip.MustParsePrefix("8000::/1"))
		}, "so wide"},
		"nobody's account": {func(_ *testing.T, w *proof.NetworkWorld) { w.Networks[1].Account = mail.Address{} }, "nobody in particular"},
		"an address too many": {func(t *testing.T, w *proof.NetworkWorld) {
			real := w.Of
			w.Of = func(a netip.Addr) (trust.Network, bool) {
				if a.Unmap() == netip.MustParseAddr("10.20.1.0") {
					return of(t, "printers@local.test")
				}
				return real(a)
			}
		}, "lies in no network"},
		"everybody": {func(t *testing.T, w *proof.NetworkWorld) {
			w.Of = func(netip.Addr) (trust.Network, bool) { return of(t, "printers@local.test") }
		}, "lies in no network"},
		"another's account": {func(t *testing.T, w *proof.NetworkWorld) {
			real := w.Of
			w.Of = func(a netip.Addr) (trust.Network, bool) {
				if n, ok := real(a); ok && n.Name == "scales" {
					return of(t, "printers@local.test")
				}
				return real(a)
			}
		}, "network of scales"},
		"no proof": {func(_ *testing.T, w *proof.NetworkWorld) {
			w.Judge = func(netip.Addr, trust.Evidence, time.Time) string { return "" }
		}, "without any proof"},
		"this host": {func(_ *testing.T, w *proof.NetworkWorld) {
			h := w.Host
			h.Own = nil
			w.Judge = func(a netip.Addr, e trust.Evidence, now time.Time) string {
				return trust.Judge(a, h, e, trust.DefaultLimits(), now)
			}
		}, "others come through"},
		"a translator": {func(t *testing.T, w *proof.NetworkWorld) {
			w.Networks[0].From = append(w.Networks[0].From, netip.MustParsePrefix("64:ff9b::/96"))
			w.Judge, w.Of = believing(t, w.Networks)
		}, "others come through"},
		"a tunnel of one site": {func(t *testing.T, w *proof.NetworkWorld) {
			w.Networks[0].From = append(w.Networks[0].From, netip.MustParsePrefix("2002:cb00:7105::/48"))
			w.Judge, w.Of = believing(t, w.Networks)
		}, "others come through"},
		"containers": {func(_ *testing.T, w *proof.NetworkWorld) {
			h := w.Host
			h.Bridges = nil
			w.Judge = func(a netip.Addr, e trust.Evidence, now time.Time) string {
				return trust.Judge(a, h, e, trust.DefaultLimits(), now)
			}
		}, "others come through"},
	} {
		t.Run(name, func(t *testing.T) {
			w := networkWorld(t)
			c.spoil(t, &w)
			r := proof.Networks(w)
			if r.Closed() || r.Witness == nil || !strings.Contains(r.Witness.String(), c.want) || r.Witness.Cause.Name == "" || !strings.Contains(r.Witness.String(), "a client at ") {
				t.Errorf("it says %v", r.Witness)
			}
		})
	}
}

// believing judges by the evidence alone.
func believing(t *testing.T, networks []trust.Network) (func(netip.Addr, trust.Evidence, time.Time) string, func(netip.Addr) (trust.Network, bool)) {
	t.Helper()
	table, err := trust.NewTable(networks)
	if err != nil {
		t.Fatal(err)
	}
	bars := networkWorld(t).Host
	return func(a netip.Addr, e trust.Evidence, now time.Time) string {
		if a.Unmap().Is4() {
			return trust.Judge(a, bars, e, trust.DefaultLimits(), now)
		}
		return e.Lacks(a, trust.DefaultLimits(), now)
	}, table.Of
}

// Whoever signs in by a network that is not proven relays nothing, and the proof knows.
func TestUnprovenNetworkRelays(t *testing.T) {
	w := world(t)
	decide := w.Decide
	w.Decide = func(f gate.Facts, s gate.Subject) gate.Verdict {
		if f.Auth == gate.AuthNetworkAccount {
			f.Peer = gate.PeerProvenNetwork
		}
		return decide(f, s)
	}
	if r := proof.Prove(w); r.Witness == nil || !strings.Contains(r.Witness.String(), "not proven relays") {
		t.Errorf("it says %v", r.Witness)
	}
}

// Five thousand networks are proven within seconds.
func TestManyNetworks(t *testing.T) {
	var all []trust.Network
	for i := range 5000 {
		all = append(all, trust.Network{Name: fmt.Sprint(i), From: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)}, Account: addr(t, fmt.Sprintf("n%d@local.test", i))})
	}
	w := networkWorld(t, all...)
	begun := time.Now()
	r := proof.Networks(w)
	if !r.Closed() {
		t.Fatal(r.Witness)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	t.Logf("%d addresses in %v", r.Addresses, time.Since(begun))
}
