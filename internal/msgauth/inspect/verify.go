package inspect

import (
	"context"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/msgauth/dkim"
	"sallyport/internal/trace"
)

// Verifier verifies what strangers bring to the MX door. Its findings are evidence; it
// refuses nothing. It is an intake.Inspector.
type Verifier struct {
	// On reports whether anything is verified now.
	On     func() bool
	Limits dkim.Limits
	// Find asks the DNS for keys.
	Find func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found
	Now  func() time.Time
}

var _ intake.Inspector = Verifier{}

// Name implements intake.Inspector.
func (v Verifier) Name() string { return "authentication" }

// Begin implements intake.Inspector.
func (v Verifier) Begin(m intake.Message) intake.Look {
	if !v.On() || m.Door != gate.DoorMX || !m.Account.IsZero() {
		return nil
	}
	return &verifying{v: v, check: dkim.NewCheck(m.Header, v.Limits)}
}

// verifying is one message under verification.
type verifying struct {
	v     Verifier
	check *dkim.Check
}

// Body implements intake.Look.
func (g *verifying) Body(p []byte) { g.check.Body(p) }

// Judge implements intake.Look. A DNS that is silent makes results temporary, and
// keeps no message.
func (g *verifying) Judge(ctx context.Context, _ intake.Content) intake.Finding {
	return intake.Finding{Action: intake.Pass, Notes: notes(g.dkim(ctx))}
}

// dkim returns the results of all signatures.
func (g *verifying) dkim(ctx context.Context) []dkim.Result {
	if !g.check.Signed() {
		return nil
	}
	return g.check.Results(g.v.Now(), g.v.Find(ctx, g.check.Names()))
}

func notes(results []dkim.Result) []trace.Pair {
	if len(results) == 0 {
		return []trace.Pair{{Name: "dkim", Value: "none"}}
	}
	var out []trace.Pair
	for _, r := range results {
		out = append(out, trace.Pair{Name: "dkim", Value: r.String()})
	}
	return out
}
