package reload_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"sallyport/internal/operate/call"
	"sallyport/internal/operate/reload"
	"sallyport/test/operator"
)

// A reload is told who wants it, and its answer comes back; where no server runs, it is refused.
func TestReload(t *testing.T) {
	who := ""
	for _, c := range []struct {
		act  func(context.Context, string) (reload.Reloaded, error)
		want call.Code
	}{
		{func(_ context.Context, by string) (reload.Reloaded, error) {
			who = by
			return reload.Reloaded{Generation: 2, Changed: []reload.ReloadChange{{Key: "listen.mx"}}}, nil
		}, ""},
		{nil, call.CodeInvalid},
	} {
		routes := call.NewRoutes()
		reload.Routes(routes, reload.New(reload.Options{Reload: c.act}))
		got, err := reload.Client{Client: call.Direct(routes)}.Reload(t.Context())
		if operator.Code(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%v", err)
		}
		if err == nil && (got.Generation != 2 || len(got.Changed) != 1 || got.Changed[0].Key != "listen.mx" || who != fmt.Sprintf("uid %d", os.Geteuid())) {
			t.Errorf("%+v by %s", got, who)
		}
	}
}

// A fault is one line: where, what, why and what to do, as far as that is known.
func TestAFaultIsALine(t *testing.T) {
	for want, f := range map[string]reload.ReloadFault{
		"no":                           {Message: "no"},
		"x: no":                        {Text: "x", Message: "no"},
		"conf:1:2: x: no; write y":     {Position: "conf:1:2", Text: "x", Message: "no", Hint: "write y"},
		"conf:1:2: there is no such x": {Position: "conf:1:2", Message: "there is no such x"},
	} {
		if got := f.Line(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
