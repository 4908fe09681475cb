package bounds

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"sallyport/internal/access"
	"sallyport/internal/accounts"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dispatch"
	"sallyport/internal/hijack"
	"sallyport/internal/intake"
	"sallyport/internal/keyring"
	"sallyport/internal/kit/memory"
	"sallyport/internal/mailbox"
	"sallyport/internal/sched"
	"sallyport/internal/screen/greylist"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
	"sallyport/internal/store/pebble"
	"sallyport/internal/trace"
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

// What the reference tells of a bound that has a key is what a server has that nobody configured.
func TestDefaultsAreThoseOfTheConfiguration(t *testing.T) {
	c := load(t, text)
	for room, both := range map[string][2]any{
		"smtp/server": {Server(c), server.DefaultLimits()}, "intake": {Intake(c), intake.DefaultLimits()},
		"access": {Access(c), access.DefaultLimits()}, "signin": {SignIn(c), signin.DefaultLimits()},
		"budget/inflow": {Inflow(c), inflow.DefaultLimits()}, "spool": {Spool(c), spool.DefaultLimits()}, "dispatch": {Dispatch(c), dispatch.DefaultLimits()},
		"accounts": {Accounts(c, runtime.GOMAXPROCS(0)), accounts.DefaultLimits()}, "trace": {Trace(c), trace.DefaultLimits()}, "sched": {Retry(c), sched.Default()},
		"greylist": {Greylist(c), greylist.DefaultLimits()}, "mailbox": {Mailbox(c), mailbox.DefaultLimits()}, "hijack": {c.Hijack.Params(), hijack.DefaultParams()},
		"keyring": {c.DKIM.Overlap, keyring.DefaultLimits().Overlap}, "store/pebble": {c.Limits.MinFree, pebble.DefaultOptions().MinFree},
		"directory": {[]int{c.Directory().MaxExpansion, c.Directory().MaxDepth, c.Directory().ForwardTargets}, []int{directory.DefaultMaxExpansion, directory.DefaultMaxDepth, directory.DefaultForwardTargets}},
	} {
		if has, told := fmt.Sprintf("%+v", both[0]), fmt.Sprintf("%+v", both[1]); has != told {
			t.Errorf("%s: a server has\n%s, and the reference tells\n%s", room, has, told)
		}
	}
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
