package message

import (
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

func TestShownDomains(t *testing.T) {
	for text, want := range map[string]string{
		"From: a@x.test\n":                                 "x.test",
		"From: a@x.test.\nFrom : <b@y.test\n":              "x.test y.test",
		"From\xa0: \"a@x.test\n":                           "x.test",
		"From: a@x(c).(d)test (e\n":                        "x.test",
		"From: =?utf-8?q?a=40x=2Etest?=\n":                 "utf-8 40x x.test",
		"From: a@\uff38\uff0eTEST\n":                       "x.test",
		"From: a@x\u200b.te\u00adst\n":                     "x.test",
		"From: a@x \\.\n \"test\"\n":                       "x.test",
		"From: a@xn--bcher-kva.test, b@B\u00fccher.test\n": "xn--bcher-kva.test",
		"Sender: a@x.test\nFrom: b c\n":                    "",
	} {
		got := map[string]bool{}
		for _, d := range header(t, text).ShownDomains("From") {
			got[d.ASCII()] = true
		}
		for _, w := range strings.Fields(want) {
			if d, err := mail.ParseDomain(w); err == nil && !got[d.ASCII()] {
				t.Errorf("%q shows %v, want %s", text, got, w)
			}
		}
		if want == "" && got["x.test"] {
			t.Errorf("%q shows %v", text, got)
		}
	}
}

// The largest field with as many names as it can hold is read to its end, at a cost that
// grows with its octets and not with their square.
func TestShownDomainsOfAHugeField(t *testing.T) {
	var b strings.Builder
	names := 0
	for ; b.Len() < DefaultLimits().HeaderOctets-100; names++ {
		b.WriteString("a" + strconv.Itoa(names) + ".b ")
	}
	h, err := ParseHeader([]byte("From: " + b.String() + "\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if found := h.ShownDomains("From"); len(found) < names {
		t.Errorf("%d of %d names are found", len(found), names)
	}
}
