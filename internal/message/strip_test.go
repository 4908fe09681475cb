package message

import (
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// A name of ours is told in every form: the words of a field are compared, not read.
func TestStripKnowsOurNamesInEveryForm(t *testing.T) {
	var ids []mail.Domain
	for _, s := range []string{"mx.local.test", "mx.b\u00fccher.test"} {
		d, err := mail.ParseDomain(s)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d)
	}
	for value, ours := range map[string]bool{
		"mx.b\u00fccher.test; spf=pass":                     true,
		"MX.B\u00dcCHER.test; spf=pass":                     true,
		"mx.xn--bcher-kva.test; spf=pass":                   true,
		"(x) mx.XN--bcher-kva.TEST.; spf=pass":              true,
		"mx.bu\u0308cher.test; spf=pass":                    true,
		"mx\u3002b\u00fccher\uff0etest; spf=pass":           true,
		"=?utf-8?q?mx=2Elocal=2Etest?=; spf=pass":           true,
		"mx.lo\u00adcal.test; spf=pass":                     true,
		"mx.b\u00fccher.test.remote.test; spf=pass":         false,
		"x.mx.local.test; spf=pass":                         false,
		"mx.local; spf=pass":                                false,
		"mx.b\u00fccher; spf=pass":                          false,
		"remote.test; spf=pass smtp.mailfrom=mx.local.test": false,
		strings.Repeat("\u00fc", 100) + ".test; spf=pass":   false,
	} {
		h := header(t, "Authentication-Results: "+value+"\nFrom: a@b.test\n")
		if got := len(Strip(h, StripRules{AuthServIDs: ids})) == 1; got != ours {
			t.Errorf("%q is taken for ours: %v", value, got)
		}
	}
}

// Names and ids that only some programs read as ours are removed as well.
func TestStripWhatLooksOurs(t *testing.T) {
	ours, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		t.Fatal(err)
	}
	rules := StripRules{Names: []string{"Return-Path"}, AuthServIDs: []mail.Domain{ours}}
	for field, want := range map[string]bool{
		"Authentication-Results: mx.local.test\xa0; dmarc=pass":                       true,
		"Authentication-Results: mx.local.test\u0085; dmarc=pass":                     true,
		"Authentication-Results: \x85mx.local.test; dmarc=pass":                       true,
		"Authentication-Results: mx.local.test\u2028; dmarc=pass":                     true,
		"Authentication-Results\xa0: mx.local.test; dmarc=pass":                       true,
		"Authentication-Results\x0b: mx.local.test; dmarc=pass":                       true,
		"\ufeffAuthentication-Results: mx.local.test; dmarc=pass":                     true,
		"\"Authentication-Results\": mx.local.test; dmarc=pass":                       false, // a name, if an odd one
		"\uff21uthentication-Results\u200b: mx.local.test; dmarc=pass":                true,
		"Return-Path\x0c: <x@y.test>":                                                 true,
		"X-Authentication-Results: mx.local.test; dmarc=pass":                         false,
		"Authentication-Results: mx.other.test\xa0; dmarc=pass":                       false,
		"Authentication-Results-\x0b" + strings.Repeat("x", 2000) + ": mx.local.test": false,
	} {
		h, err := ParseHeader([]byte("Received: x\r\n" + field + "\r\nFrom: x\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(Strip(h, rules)) == 1; got != want {
			t.Errorf("%q: removed: %v", field, got)
		}
	}
}

// Of a field of results, or of many, so much is read and no more: the rest is removed as
// what cannot be read is.
func TestStripReadsSoManyResults(t *testing.T) {
	ours, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		t.Fatal(err)
	}
	rules := StripRules{AuthServIDs: []mail.Domain{ours}}
	const one = "Authentication-Results: remote.test; "
	for _, c := range []struct {
		fields, octets, removed int
	}{
		{1, maxResultsOctets, 0}, {1, maxResultsOctets + 1, 1},
		{60, maxResultsOctets / 60, 0}, {60, maxResultsOctets / 50, 10}, {60, 20, 0},
	} {
		field := one + strings.Repeat("x", max(0, c.octets-len(one)-2)) + "\r\n"
		h, err := ParseHeader([]byte(strings.Repeat(field, c.fields) + "X-Other: " + strings.Repeat("x", 5000) + "\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(Strip(h, rules)); got != c.removed {
			t.Errorf("%d fields of %d octets: %d removed, want %d", c.fields, c.octets, got, c.removed)
		}
	}
}
