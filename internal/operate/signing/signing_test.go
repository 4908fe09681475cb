package signing_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/keyring"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/store/mem"
	"sallyport/test/operator"
)

// Keys that sign are made, put to use, looked for in the DNS and removed over the socket and in the process alike; what is not ours,
// or not there, is said.
func TestSigningKeys(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			published := map[dkim.KeyName]dkim.Found{}
			ring, err := keyring.Open(t.Context(), mem.New(), keyring.Options{
				Limits: keyring.DefaultLimits(), Overlap: func() time.Duration { return time.Hour }, Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
				Find: func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return published },
			})
			operator.Check(t, err)
			w.With(func(o *operate.Options) { o.SigningKeys = ring })
			c := w.Clients(t)[way]
			made, err := c.DKIMRotate(t.Context(), operate.DKIMRef{Domain: "local.test"})
			operator.Check(t, err)
			if len(made.Keys) == 0 || len(made.Changes) == 0 || made.Keys[0].Signs ||
				!strings.Contains(made.Keys[0].Zone, " IN TXT ( ") ||
				!strings.HasSuffix(made.Keys[0].Name, "._domainkey.local.test") {
				t.Fatalf("%+v", made)
			}
			_, err = c.DKIMRotate(t.Context(), operate.DKIMRef{Domain: "local.test"})
			operator.WantCode(t, err, call.CodeExists)
			first := made.Keys[0]
			seen, err := c.DKIMCheck(t.Context(), operate.DKIMRef{Domain: "local.test"})
			operator.Check(t, err)
			if len(seen.Keys) != len(made.Keys) || seen.Keys[0].Sight == "" || seen.Keys[0].Signs {
				t.Errorf("looked for: %+v", seen)
			}
			used, err := c.DKIMActivate(t.Context(), operate.DKIMRef{Domain: "local.test", Selector: first.Selector})
			operator.Check(t, err)
			if signs := 0; len(used.Keys) > 0 {
				for _, k := range used.Keys {
					if k.Signs {
						signs++
					}
				}
				if signs == 0 {
					t.Errorf("put to use: %+v", used)
				}
			}
			var listed []operate.DKIMKey
			operator.Check(t, c.DKIMList(t.Context(), operate.DKIMRef{}, func(k operate.DKIMKey) error { listed = append(listed, k); return nil }))
			if len(listed) != len(made.Keys) {
				t.Errorf("listed: %+v", listed)
			}
			_, err = c.DKIMRemove(t.Context(), operate.DKIMRef{Domain: "local.test", Selector: first.Selector})
			operator.Check(t, err)
			_, err = c.DKIMRemove(t.Context(), operate.DKIMRef{Domain: "local.test", Selector: first.Selector})
			operator.WantCode(t, err, call.CodeNotFound)
			_, err = c.DKIMRotate(t.Context(), operate.DKIMRef{Domain: "far.test"})
			operator.WantCode(t, err, call.CodeNotFound)
			_, err = c.DKIMImport(t.Context(), operate.DKIMImport{Domain: "local.test", Selector: "old", PEM: "no key"})
			operator.WantCode(t, err, call.CodeInvalid)
		})
	}
}
