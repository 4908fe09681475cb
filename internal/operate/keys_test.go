package operate

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/keyring"
	"sallyport/internal/store/mem"
)

// Keys that sign are made, put to use, looked for in the DNS and removed over the socket and in the process alike; what is not ours,
// or not there, is said.
func TestSigningKeys(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			published := map[dkim.KeyName]dkim.Found{}
			ring, err := keyring.Open(t.Context(), mem.New(), keyring.Options{
				Limits: keyring.DefaultLimits(), Overlap: func() time.Duration { return time.Hour }, Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
				Find: func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return published },
			})
			check(t, err)
			w.o.SigningKeys = ring
			c := clients(t, w.Operator)[way]
			made, err := c.DKIMRotate(t.Context(), DKIMRef{Domain: "local.test"})
			check(t, err)
			if len(made.Keys) == 0 || len(made.Changes) == 0 || made.Keys[0].Signs || !strings.Contains(made.Keys[0].Zone, " IN TXT ( ") || !strings.HasSuffix(made.Keys[0].Name, "._domainkey.local.test") {
				t.Fatalf("%+v", made)
			}
			_, err = c.DKIMRotate(t.Context(), DKIMRef{Domain: "local.test"})
			wantCode(t, err, CodeExists)
			first := made.Keys[0]
			seen, err := c.DKIMCheck(t.Context(), DKIMRef{Domain: "local.test"})
			check(t, err)
			if len(seen.Keys) != len(made.Keys) || seen.Keys[0].Sight == "" || seen.Keys[0].Signs {
				t.Errorf("looked for: %+v", seen)
			}
			used, err := c.DKIMActivate(t.Context(), DKIMRef{Domain: "local.test", Selector: first.Selector})
			check(t, err)
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
			var listed []DKIMKey
			check(t, c.DKIMList(t.Context(), DKIMRef{}, func(k DKIMKey) error { listed = append(listed, k); return nil }))
			if len(listed) != len(made.Keys) {
				t.Errorf("listed: %+v", listed)
			}
			_, err = c.DKIMRemove(t.Context(), DKIMRef{Domain: "local.test", Selector: first.Selector})
			check(t, err)
			_, err = c.DKIMRemove(t.Context(), DKIMRef{Domain: "local.test", Selector: first.Selector})
			wantCode(t, err, CodeNotFound)
			_, err = c.DKIMRotate(t.Context(), DKIMRef{Domain: "far.test"})
			wantCode(t, err, CodeNotFound)
			_, err = c.DKIMImport(t.Context(), DKIMImport{Domain: "local.test", Selector: "old", PEM: "no key"})
			wantCode(t, err, CodeInvalid)
		})
	}
}

// An app password is made for what it is for, listed without its secret, and removed; how an account signs in is said.
func TestAppPasswords(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			w.account(t, "alice@local.test")
			c := clients(t, w.Operator)[way]
			made, err := c.AppAdd(t.Context(), AppAdd{Account: "alice@local.test", Name: "phone", Scope: "send,receive", Networks: []string{"192.0.2.0/24"}, Lasts: time.Hour})
			check(t, err)
			if made.Password == "" || made.Name != "phone" || made.Expires.IsZero() {
				t.Fatalf("%+v", made)
			}
			_, err = c.AppAdd(t.Context(), AppAdd{Account: "alice@local.test", Name: "other", Scope: "send,receive", Networks: []string{"everywhere"}})
			wantCode(t, err, CodeInvalid)
			names := ""
			list := func() string {
				names = ""
				check(t, c.AppList(t.Context(), AccountRef{Address: "alice@local.test"}, func(k Credential) error { names += k.Name + k.Kind + " "; return nil }))
				return names
			}
			if !strings.Contains(list(), "phone") {
				t.Errorf("listed: %q", names)
			}
			_, err = c.AccountSignIn(t.Context(), AccountSignIn{Address: "alice@local.test", Policy: "nothing"})
			wantCode(t, err, CodeInvalid)
			_, err = c.AppRemove(t.Context(), CredentialRef{Account: "alice@local.test", Credential: "phone"})
			check(t, err)
			if strings.Contains(list(), "phone") {
				t.Errorf("removed, and listed: %q", names)
			}
		})
	}
}
