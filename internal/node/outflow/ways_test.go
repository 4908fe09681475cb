package outflow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/callout"
	"sallyport/internal/config"
	"sallyport/internal/nexthop/mx"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/nexthop/ways"
	"sallyport/internal/node/settings"
)

const text = `hostname = "mx.local.test"
data = "data"
listen.mx = ["127.0.0.1:0"]

[domain."local.test"]
deliver = "maildir"

[domain."behind.test"]
deliver = "smtp://192.0.2.9"

[route."remote.test"]
to = "smtp://192.0.2.7:2626"
tls = "none"
`

func load(t *testing.T, text string) config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sallyport.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Whatever is wrong with the ways is told where it stands, all of it at once.
func TestFaultsOfWaysStandWhereTheyAre(t *testing.T) {
	cfg := load(t, text)
	err := faultsOf(cfg, errors.Join(&named.Fault{Name: "route.remote.test", Err: errors.New("one")}, &named.Fault{Name: "domain.behind.test", Err: errors.New("two")},
		&named.Fault{Name: "domain.behind.test", Err: fmt.Errorf("%w: three", named.ErrAuthorities)}, &named.Fault{Name: ways.NameResolver, Err: errors.New("four")}))
	var got []string
	for _, f := range settings.Faults(errors.Join(err, config.Faults{{Message: "five"}})) {
		got = append(got, f.Position[strings.LastIndex(f.Position, "/")+1:]+" "+f.Message)
	}
	if want := []string{"sallyport.toml:12:6 one", "sallyport.toml:9:11 two", "sallyport.toml " + named.ErrAuthorities.Error() + ": three", "sallyport.toml four", " five"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// The bounds of a next hop are those of its own table; a server that was added at run time
// has the defaults.
func TestPlacesOfNextHops(t *testing.T) {
	cfg := load(t, strings.Replace(text, "192.0.2.9\"\n", "192.0.2.9\"\nconnections = 3\n", 1))
	o, err := wayOptions(cfg, settings.World{}.Complete())
	if err != nil || len(o.Routes) != 1 || len(o.Servers) != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	if got := o.Servers[0].Place.Limits.Connections; got != 3 {
		t.Errorf("%d connections", got)
	}
	other := o.Servers[0].Key
	other.Host = "192.0.2.10"
	if got, want := o.Other(other).Limits.Connections, named.DefaultServerLimits().Connections; got != want || got == 3 {
		t.Errorf("%d connections of a server that nobody configured", got)
	}
}

// What the reference of bounds tells of next hops is what those have that nobody configured.
func TestDefaultsOfNextHops(t *testing.T) {
	o, err := wayOptions(load(t, text), settings.World{}.Complete())
	if err != nil {
		t.Fatal(err)
	}
	for what, both := range map[string][2]any{
		"a route": {o.Routes[0].Place.Limits, named.DefaultLimits()}, "a server behind us": {o.Servers[0].Place.Limits, named.DefaultServerLimits()},
		"exchangers": {o.Exchangers.Limits, mx.DefaultLimits()}, "callouts": {o.Callouts, callout.DefaultLimits()},
	} {
		if both[0] != both[1] {
			t.Errorf("%s: has %+v, and the reference tells %+v", what, both[0], both[1])
		}
	}
}

// Every next hop that a route names is one of the place where its mail goes.
func TestEveryHostOfARouteIsReached(t *testing.T) {
	cfg := load(t, text+"\n[route.\"two.test\"]\nto = \"smtp://a.two.test\"\nothers = [\"smtp://b.two.test:2525\", \"smtp://[2001:db8::1]\"]\n")
	o, err := wayOptions(cfg, settings.World{}.Complete())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range o.Routes {
		if r.Name == "route.two.test" && (r.Place.Address != "a.two.test:25" || strings.Join(strings.Fields(r.Place.Others), " ") != "b.two.test:2525 [2001:db8::1]:25") || r.Name != "route.two.test" && r.Place.Others != "" {
			t.Errorf("%+v", r.Place)
		}
	}
	if o.Lookup == nil {
		t.Error("nobody knows the addresses of a name")
	}
}
