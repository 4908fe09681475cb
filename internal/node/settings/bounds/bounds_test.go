package bounds

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/kit/memory"
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
