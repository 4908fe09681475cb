package watch

import (
	"fmt"
	"slices"
	"testing"

	"sallyport/internal/accounts"
)

// An incident says whether it is known with what the account was used, and names it: a certificate of
// which a partner does not say which it was is any of them, and what is no credential of the account's
// is none.
func TestWhatWasUsedIsKnownOrNot(t *testing.T) {
	for name, row := range map[string]struct {
		used  []accounts.Credential
		known bool
		ids   []string
	}{
		"nothing is known":  {nil, false, nil},
		"an app password":   {[]accounts.Credential{{ID: "app7", Kind: accounts.KindApp}}, true, []string{"app7"}},
		"both":              {[]accounts.Credential{{ID: "pw1", Kind: accounts.KindPassword}, {ID: "cert2", Kind: accounts.KindCertificate}}, true, []string{"pw1", "cert2"}},
		"one of several":    {[]accounts.Credential{{Kind: accounts.KindCertificate, Name: "one of 2"}}, true, []string{accounts.AnyCertificate}},
		"the kernel's word": {[]accounts.Credential{{Kind: accounts.KindLocal}}, true, nil},
		"an access token":   {[]accounts.Credential{{ID: accounts.TokenID, Kind: accounts.KindToken}}, true, []string{accounts.TokenID}},
	} {
		w := newWorld(t, nil)
		for n := range 1000 {
			m := Submission{
				Act: Act{Account: addr(t, "alice@local.test"), Used: row.used}, ID: w.nextID(),
				Ways: []Way{{Recipient: addr(t, fmt.Sprintf("v%d@remote%d.test", n, n))}},
			}
			if w.Submitted(t.Context(), m).Contained {
				break
			}
		}
		if len(w.found) != 1 || w.found[0].Known != row.known || !slices.Equal(w.found[0].Used, row.ids) {
			t.Errorf("%s: %+v", name, w.found)
		}
	}
}
