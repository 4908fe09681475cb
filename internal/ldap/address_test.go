package ldap

import (
	"testing"

	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/mail"
)

// An address of a stranger is asked for as it is: what it matches is one value, and has no
// wildcard.
func FuzzAddressesInFilters(f *testing.F) {
	for _, v := range []string{"alice@local.test", `"*)(uid=*"@local.test`, "*@local.test", "a*b@bücher.test", `"a\\b"@local.test`, "o'neil@local.test", "(a)@local.test"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := mail.ParseAddress(text, mail.UTF8)
		if err != nil {
			return
		}
		packet, err := wire.CompileFilter(naming(a, "mail", "proxyAddresses").String())
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for _, part := range packet.Children {
			if part.Tag != wire.FilterEqualityMatch {
				t.Fatalf("%q: %s", text, naming(a, "mail"))
			}
			if back, _, ok := addressIn(part.Children[1].Data.String()); ok && back.Key() != a.Key() {
				t.Fatalf("%q is asked for as %s", text, back)
			}
		}
	})
}

func TestAddressesInValues(t *testing.T) {
	for value, want := range map[string]string{"a@local.test": "a@local.test", "SMTP:a@local.test": "a@local.test!", "smtp:A@Local.test": "A@local.test", "SIP:a@local.test": "", "X500:/o=a": "", "a": "", "": "", "smtp:": ""} {
		a, primary, ok := addressIn(value)
		got := ""
		if ok {
			got = a.String()
		}
		if primary && ok {
			got += "!"
		}
		if got != want {
			t.Errorf("%q: %q instead of %q", value, got, want)
		}
	}
}
