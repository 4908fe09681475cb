package config

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/directory"
)

// What a domain takes from a directory, and from which; and how its servers are secured.
func TestDirectoriesOfDomains(t *testing.T) {
	const head = "hostname = \"mx.local.test\"\ndata = \"data\"\n[listen]\nmx = [\"127.0.0.1:25\"]\n"
	one := "[ldap.one]\nurls = [\"ldap://127.0.0.1\", \"LDAPS://[::1]:1636\"]\nbase = \"dc=x\"\n"
	for text, want := range map[string]string{
		"[domain.\"a.test\"]\ndeliver = \"maildir\"\naccounts = \"ldap\"\n" + one:                                                                                            "one true false [{127.0.0.1 389 false} {::1 1636 true}] false",
		"[domain.\"a.test\"]\ndeliver = \"smtp://10.0.0.1\"\nrecipients = \"ldap\"\n" + one:                                                                                  "one false true [{127.0.0.1 389 false} {::1 1636 true}] false",
		"[domain.\"a.test\"]\ndeliver = \"smtp://10.0.0.1\"\nrecipients = \"accounts\"\naccounts = \"ldap\"\nldap = \"two\"\n" + one + strings.ReplaceAll(one, "one", "two"): "two true false [{127.0.0.1 389 false} {::1 1636 true}] false",
		"[domain.\"a.test\"]\ndeliver = \"maildir\"\n" + one:                                                                                                                 " false false [{127.0.0.1 389 false} {::1 1636 true}] false",
		"[domain.\"a.test\"]\ndeliver = \"maildir\"\n" + strings.Replace(one, ", \"LDAPS://[::1]:1636\"", "", 1) + "tls = \"off\"\n":                                         "" + " false false [{127.0.0.1 389 false}] true",
	} {
		c, err := Parse("x.toml", []byte(head+text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		d := c.Domains[0]
		if got := fmt.Sprint(d.LDAP, " ", d.LDAPAccounts, " ", d.Recipients == directory.RecipientsDirectory, " ", c.LDAP[0].Servers, " ", c.LDAP[0].Clear); got != want {
			t.Errorf("%s\n%s instead of\n%s", text, got, want)
		}
		if d.Directory().Unlisted != d.AsksLDAP() {
			t.Errorf("%s: who exists is known without having been heard", text)
		}
	}
}
