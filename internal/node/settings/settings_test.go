package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/kit/memory"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/nexthop/ways"
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

// given is everything that rooms are told of the limits of a configuration.
func given(c config.Config) string {
	return fmt.Sprintf("%+v", []any{
		Server(c), Intake(c), Access(c), SignIn(c), Inflow(c), Spool(c), Dispatch(c),
		Accounts(c, 2), Trace(c), Retry(c), c.Directory(), c.Limits.Free(), c.Limits.UnjudgedMemory, memory.SoftLimit(c.Limits.Memory, 0, 0),
	})
}

// Every limit that can be configured changes what some room is told: a key without
// effect would be a promise that nobody keeps.
func TestEveryLimitTakesEffect(t *testing.T) {
	cfg := load(t, text)
	// These two are no numbers: TestMechanismsAndOriginTakeEffect of node looks at them.
	elsewhere := map[string]bool{"Auth.Mechanisms": true, "Trace.Origin": true}
	tried := 0
	for _, section := range []string{"Limits", "Auth", "Retry", "Trace"} {
		fields := reflect.TypeOf(cfg).Field(fieldOf(t, cfg, section)).Type
		for i := range fields.NumField() {
			name := section + "." + fields.Field(i).Name
			if elsewhere[name] {
				continue
			}
			changed := cfg
			enlarge(t, reflect.ValueOf(&changed).Elem().FieldByName(section).Field(i), name)
			if given(changed) == given(cfg) {
				t.Errorf("%s has no effect", name)
			}
			tried++
		}
	}
	if tried < 45 {
		t.Errorf("only %d limits were found", tried)
	}
}

func fieldOf(t *testing.T, c config.Config, name string) int {
	f, ok := reflect.TypeOf(c).FieldByName(name)
	if !ok {
		t.Fatalf("a configuration has no %s", name)
	}
	return f.Index[0]
}

// enlarge makes a number larger, by more than any rounding.
func enlarge(t *testing.T, v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(2*v.Int() + 5000)
	case reflect.Float64:
		v.SetFloat(2*v.Float() + 0.1)
	default:
		t.Fatalf("%s is a %s: say how to change it", name, v.Kind())
	}
}

// Whatever is wrong with the ways is told where it stands, all of it at once.
func TestFaultsOfWaysStandWhereTheyAre(t *testing.T) {
	cfg := load(t, text)
	err := WaysFaults(cfg, errors.Join(&named.Fault{Name: "route.remote.test", Err: errors.New("one")}, &named.Fault{Name: "domain.behind.test", Err: errors.New("two")},
		&named.Fault{Name: "domain.behind.test", Err: fmt.Errorf("%w: three", named.ErrAuthorities)}, &named.Fault{Name: ways.NameResolver, Err: errors.New("four")}))
	var got []string
	for _, f := range Faults(errors.Join(err, config.Faults{{Message: "five"}})) {
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
	o, err := Ways(cfg, World{}.Complete())
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
