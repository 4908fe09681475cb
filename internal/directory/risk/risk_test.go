package risk

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Each thing that is told of is told once, and its safe kin is not.
func TestOf(t *testing.T) {
	local, far := address(t, "x@local.test").Domain(), address(t, "x@far.test").Domain()
	network := func(s string) []trust.Network {
		return []trust.Network{{Name: "printers", From: []netip.Prefix{netip.MustParsePrefix(s)}, Account: address(t, "printers@local.test")}}
	}
	forward := []directory.Forward{{Account: address(t, "bob@local.test"), Targets: []mail.Address{address(t, "bob@far.test")}}}
	behind := func(host string, tls mail.TLSMode) directory.Config {
		return directory.Config{Domains: []directory.Domain{{Name: local, Deliver: directory.DeliverSMTP, Server: directory.Server{Host: host, Port: 25, TLS: tls}}}}
	}
	route := func(host string, tls mail.TLSMode) directory.Config {
		return directory.Config{Routes: []directory.Route{{Domain: far, Host: host, Port: 25, TLS: tls}}}
	}
	for name, c := range map[string]struct {
		cfg      directory.Config
		networks []trust.Network
		want     string // "": nothing
	}{
		"forward":             {directory.Config{ForwardExternal: true, Forwards: forward}, nil, "forward bob@local.test"},
		"forward, off":        {directory.Config{Forwards: forward}, nil, ""},
		"catch-all":           {directory.Config{Aliases: []directory.Alias{{CatchAll: local, Targets: []mail.Address{address(t, "a@local.test")}}}}, nil, "alias @local.test"},
		"alias":               {directory.Config{Aliases: []directory.Alias{{Address: address(t, "b@local.test"), Targets: []mail.Address{address(t, "a@local.test")}}}}, nil, ""},
		"wide network":        {directory.Config{}, network("10.20.0.0/23"), "network printers"},
		"wide network, IPv6":  {directory.Config{}, network("fd20::/63"), "network printers"},
		"network":             {directory.Config{}, network("10.20.0.0/24"), ""},
		"network, IPv6":       {directory.Config{}, network("fd20::/64"), ""},
		"route, clear":        {route("relay.test", mail.TLSNone), nil, "route far.test"},
		"route, any":          {route("192.0.2.1", mail.TLSOpportunistic), nil, "route far.test"},
		"route, proven":       {route("relay.test", mail.TLSRequired), nil, ""},
		"route, implicit":     {route("relay.test", mail.TLSImplicit), nil, ""},
		"route, this host":    {route("127.0.0.1", mail.TLSNone), nil, ""},
		"every route":         {directory.Config{Routes: []directory.Route{{Host: "relay.test", TLS: mail.TLSNone}}}, nil, "route *"},
		"server behind":       {behind("10.0.0.5", mail.TLSNone), nil, "domain local.test"},
		"server behind, TLS":  {behind("10.0.0.5", mail.TLSRequired), nil, ""},
		"server behind, here": {behind("::1", mail.TLSNone), nil, ""},
	} {
		var got []string
		for _, r := range Of(c.cfg, c.networks) {
			got = append(got, r.About.Kind.String()+" "+r.About.Name)
			if r.Text == "" || r.Hint == "" || strings.Contains(r.Text+r.Hint, "%!") {
				t.Errorf("%s: it says %q, %q", name, r.Text, r.Hint)
			}
		}
		if want := slices.DeleteFunc([]string{c.want}, func(s string) bool { return s == "" }); !slices.Equal(got, want) {
			t.Errorf("%s: %q, and not %q", name, got, want)
		}
	}
}
