package terms

import (
	"strings"
	"testing"

	wire "github.com/go-ldap/ldap/v3"
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

func TestSame(t *testing.T) {
	if !Same("CN=Senders,OU=Groups,DC=local,DC=test", "cn=senders, ou=groups, dc=local, dc=test") || Same("cn=a,dc=x", "cn=b,dc=x") || !Same("TRUE", "true") || Same("", "cn=a") {
		t.Error("names are compared otherwise")
	}
}
