package ldap

import (
	"strings"
	"testing"

	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/mail"
)

// Whatever a value is, it stays one value: in a filter one assertion, in a name one attribute.
func FuzzValuesStayValues(f *testing.F) {
	for _, v := range []string{"", "alice", "*", "a*b", `a\b`, "a)(uid=*", "a\x00b", "(", ")", "&", "a,dc=x", "a+b=c", " a ", "#a", `a\`, "\xff\xfe", "ü", "a=b", `"a"`, "a;b<c>d", "  ", " "} {
		f.Add(v)
	}
	base, err := ParseDN("ou=people,dc=local,dc=test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		filter := And(Present("objectClass"), Equal("mail", value))
		packet, err := wire.CompileFilter(filter.String())
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if len(packet.Children) != 2 {
			t.Fatalf("%q: %d parts", value, len(packet.Children))
		}
		equal := packet.Children[1]
		if equal.Tag != wire.FilterEqualityMatch || len(equal.Children) != 2 || equal.Children[0].Data.String() != "mail" || equal.Children[1].Data.String() != value {
			t.Fatalf("%q became %s", value, filter)
		}
		if strings.ToValidUTF8(value, "") != value {
			return // a name is text
		}
		dn, err := wire.ParseDN(base.Child("cn", value).String())
		if value == "" {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		first := dn.RDNs[0].Attributes
		if len(dn.RDNs) != 4 || len(first) != 1 || first[0].Type != "cn" || first[0].Value != value {
			t.Fatalf("%q became %s", value, dn)
		}
	})
}

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

func TestNamesOfAttributesAndDNs(t *testing.T) {
	for text, good := range map[string]bool{"mail": true, "proxyAddresses": true, "2.5.4.3": true, "x-y": true, "": false, "mail;binary": false, "a)(b": false, "1": false, "ü": false, "-a": false} {
		if _, err := ParseAttribute(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, good := range map[string]bool{"dc=local,dc=test": true, "": false, "x": false, "cn=a,": false} {
		if d, err := ParseDN(text); (err == nil) != good || good == d.IsZero() {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, good := range map[string]bool{"(objectClass=person)": true, "(&(a=b)(!(c=*)))": true, "objectClass=person": false, "": false, "(a=b": false} {
		if _, err := ParseFilter(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
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
	if !sameName("CN=Senders,OU=Groups,DC=local,DC=test", "cn=senders, ou=groups, dc=local, dc=test") || sameName("cn=a,dc=x", "cn=b,dc=x") || !sameName("TRUE", "true") || sameName("", "cn=a") {
		t.Error("names are compared otherwise")
	}
}
