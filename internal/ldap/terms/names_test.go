package terms

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		"( 0.9.2342.19200300.100.1.3 NAME ( 'mail' 'rfc822Mailbox' ) DESC 'RFC1274: RFC822 Mailbox' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26{256} )": "0.9.2342.19200300.100.1.3 mail rfc822Mailbox",
		"( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' )":                                                                            "1.2.840.113556.1.2.210 proxyAddresses", // Active Directory
		"(1.2.3 NAME('a' 'b'))":                               "1.2.3 a b",
		"( 1.2.3 DESC 'its NAME is long' NAME 'a' SUP name )": "1.2.3 a",
		"( nsMail-oid NAME ( 'a' ) X-ORIGIN ( 'x' 'user' ) )": "nsMail-oid a", // 389 Directory Server
		"( 1.2.3 )":         "1.2.3",
		"( 1.2.3 NAME '' )": "1.2.3",
		"( 1.2.3 NAME":      "1.2.3", "( 1.2.3 NAME ( 'a": "1.2.3", "(": "", "": "", "1.2.3 NAME 'a'": "", "( '1.2.3' NAME 'a' )": "",
	} {
		if got := strings.Join(Names(text), " "); got != want {
			t.Errorf("%s: %q instead of %q", text, got, want)
		}
	}
}

// Any text comes to an end.
func FuzzNames(f *testing.F) {
	f.Add("( 1.2.3 NAME ( 'a' 'b' ) DESC 'x' )")
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range Names(text) {
			if !strings.Contains(text, n) {
				t.Errorf("%q: %q", text, n)
			}
		}
	})
}
