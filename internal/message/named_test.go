package message

import (
	"fmt"
	"strings"
	"testing"
)

// told is what a From field comes to, in one line: the domains as they can be judged,
// "~" before what is not exactly so, "<" before what is only above the author, "!" at
// the end where the field cannot be trusted.
func told(n Named) string {
	var out []string
	for _, c := range n.Claims {
		s := c.Domain.ASCII()
		switch {
		case c.Domain.IsZero():
			s = "-"
		case c.Below:
			s = "<" + s
		case !c.Exact:
			s = "~" + s
		}
		if !c.Shown.IsZero() {
			s += "=" + c.Shown.ASCII()
		}
		out = append(out, s)
	}
	if n.Fault != "" {
		out = append(out, "!")
	}
	return strings.Join(out, " ")
}

// What RFC 5322 lets stand in a From field, and what people write who did not read it.
func TestNamed(t *testing.T) {
	long := strings.Repeat("a", 64)
	for value, want := range map[string]string{
		"u@a2.test":                          "a2.test",
		"<u@a2.test >":                       "a2.test",
		"< u@a2.test>":                       "a2.test",
		"u @a2.test":                         "a2.test",
		"u@ a2.test":                         "a2.test",
		"u\r\n @\r\n a2.test":                "a2.test",
		"u (c) @ (d) a2 (e) . (f) test (g)":  "a2.test",
		"(a(b\\)c)) <(d)u(e)@(f)a2.test(g)>": "a2.test",
		"u . v @ a2 . test":                  "a2.test",
		"\"a b\" . c@a2.test":                "a2.test",
		"\"a\\\"@x.test\"@a2.test":           "a2.test",
		"u..v.@a2.test":                      "a2.test",
		"List: u@a2.test;":                   "a2.test",
		"List:;":                             "",
		"A \"B\": u@a2.test, <v@b.test> ;":   "a2.test b.test",
		"A: u@a2.test;, v@b.test":            "a2.test b.test",
		"A: u@a2.test":                       "a2.test !",
		"A: B: u@a2.test;;":                  "!",
		"u@a2.test;":                         "a2.test",
		"A <u@a2.test> ; ":                   "a2.test",
		"L: u@a2.test;;":                     "a2.test",
		";":                                  "",
		"u@a2.test; v@b.test":                "a2.test !",
		"u@a2.test; v":                       "a2.test !",
		", u@a2.test,,":                      "a2.test",
		"Smith, John <u@a2.test>":            "a2.test",
		"J. R. Smith, Inc. <u@a2.test>":      "a2.test",
		"[List] A <u@a2.test>":               "a2.test",
		"M\xfcller <u@a2.test>":              "a2.test",
		"=?utf-8?q?=C3=BC?= <u@a2.test>":     "a2.test",
		"=?utf-8?q?x=40y=2Ez?= <u@a2.test>":  "a2.test", // a display name says what it likes
		"\"x@y.test\" <u@a2.test>":           "a2.test",
		"\"x@y.test\", u@a2.test":            "!",
		"x (x@y.test), u@a2.test":            "a2.test",
		"=?utf-8?q?x=40y=2Ez?=, u@a2.test":   "!",
		"u@a2.test <u@a2.test>":              "a2.test",
		"u@a2.test <v@A2.test>":              "a2.test",
		"u@a2.test <u@b.test>":               "a2.test !",
		"u@a2.test <>":                       "a2.test !",
		"x u@a2.test":                        "!",
		"u@a2.test x":                        "a2.test !",
		"u@a2 test":                          "a2 !",
		"<u@a2.test":                         "a2.test !",
		"u@a2.test>":                         "a2.test !",
		"<<u@a2.test>>":                      "!",
		"<mailto:u@a2.test>":                 "!",
		"<@b.test,@c.test:u@a2.test>":        "a2.test !",
		"<@b.test u@a2.test>":                "!",
		"u@a2.test (c":                       "!",
		"\"u@a2.test":                        "!",
		"u@\"a2.test\"":                      "!",
		"u@a2\\.test":                        "a2 !",
		"@a2.test":                           "!",
		"u@":                                 "!",
		"u@b@a2.test":                        "b !",
		"u@=?utf-8?q?a2?=.test":              "!",
		"<>":                                 "",
		"":                                   "",
		"u":                                  "",
		strings.Repeat("(", 9) + strings.Repeat(")", 9) + "u@a2.test": "!",
		// Domains, and what is none.
		"u@A2.Test":                  "a2.test",
		"u@a2.test.":                 "a2.test",
		"u@xn--.a2.test":             "xn--.a2.test",
		"u@xn--a2-.test":             "xn--a2-.test=a2.test",
		"u@xn--i-7iq.a2.test":        "xn--i-7iq.a2.test",
		"u@xn--bcher-kva.a2.test":    "xn--bcher-kva.a2.test",
		"u@em--1.a2.test":            "em--1.a2.test",
		"u@-a.a2.test":               "-a.a2.test",
		"u@my_host.a2.test":          "my_host.a2.test",
		"u@b\u00fccher.test":         "xn--bcher-kva.test",
		"u@a2..test":                 "~a2.test",
		"u@.a2.test":                 "~a2.test",
		"u@a2.test..":                "~a2.test",
		"u@x\xfc.a2.test":            "<a2.test",
		"u@x.\xfc.a2.test":           "<x.a2.test",
		"u@a2\xfc.test":              "<test",
		"u@a2.test\xfc":              "<a2",
		"u@a2.\xfc.test":             "<a2.test",
		"u@x\x01.a2.test":            "~x.a2.test",
		"u@a2.test\x01":              "~a2.test",
		"u@a2\u3002test":             "~a2.test",
		"u@a2\uff0etest":             "~a2.test",
		"u@\uff412.test":             "~a2.test",
		"u@a\u00ad2.te\u200bst":      "~a2.test",
		"u@a2.test\u00a0":            "~a2.test",
		"u@x/y.a2.test":              "<a2.test",
		"u@x%y.a2.test":              "<a2.test",
		"u@" + long + ".a2.test":     "<a2.test",
		"u@" + long[1:] + ".a2.test": long[1:] + ".a2.test",
		"u@" + strings.Repeat("b.", 130) + "a2.test":       "<b.b.b.b.b.a2.test",
		"u@" + strings.Repeat(long[1:]+".", 6) + "a2.test": "<" + strings.Repeat(long[1:]+".", 3) + "a2.test",
		"u@" + strings.Repeat("\xfc.", 200) + "a2.test":    "<a2.test",
		"u@[192.0.2.1]":                "-",
		"u@[a2.test]":                  "-",
		"u@192.0.2.1":                  "-",
		"u@a2.test.1":                  "<a2.test",
		"u@\xfc":                       "-",
		"u@.":                          "-",
		"u@test":                       "test",
		"u@a2.test\r\nFrom : v@b.test": "a2.test b.test !",
		"u@a2.test\r\nFrom: v@b.test":  "a2.test b.test",
		"u@a2.test\r\nFrom\r\n :b":     "a2.test !",
		strings.Repeat("u@a2.test,", MaxAuthorAddresses+1): strings.Repeat("a2.test ", MaxAuthorAddresses) + "!",
	} {
		h, err := ParseHeader([]byte("X: y\r\nFrom: " + value + "\r\nSubject: u@x.test\r\n\r\n"))
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if got := told(h.Named("From")); got != want {
			t.Errorf("%q is %q, want %q", value, got, want)
		}
	}
}

// Whatever stands in the fields, it is read to an end, what is exact is what stands
// there, and nothing is taken out of a field without a fault but what stands behind "@".
func FuzzNamed(f *testing.F) {
	for _, s := range []string{"u@a2.test", "<@b,@c:u@a.test>", "A: u@a.test, b (c) <d@e>;", "\"x\\", "u@a2\u3002test", "u@xn--a2-.test", "=?utf-8?q?a=40b?=, c@d", "((((", "a@b <a@B>", "x.\xfc@y.\xfc.z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		h, err := ParseHeader([]byte("From: " + value + "\r\n\r\n"))
		if err != nil {
			return
		}
		n := h.Named("From")
		if len(n.Claims) > MaxAuthorAddresses || strings.Count(value, "@") < len(n.Claims) {
			t.Fatalf("%q: %+v", value, n)
		}
		for _, c := range n.Claims {
			if c.Exact && (c.Below || c.Domain.IsZero()) || c.Below && c.Domain.IsZero() && c.Exact {
				t.Fatalf("%q: %+v", value, c)
			}
		}
		if fmt.Sprint(n) != fmt.Sprint(h.Named("FROM")) && n.Fault == "" {
			t.Fatalf("%q: the case of the name matters", value)
		}
	})
}

// What widely used programs take for an author, though it is none, is told; what every
// program reads alike is not, whatever it shows.
func TestMisread(t *testing.T) {
	for value, want := range map[string]string{
		`(\) <u@a2.test>) v@none.test`:                                  "[a2.test]",
		`v@none.test (<u@a2.test>)`:                                     "[a2.test]",
		`((u@a2.test)) v@none.test`:                                     "[a2.test]",
		`v@(u@a2.test)none.test`:                                        "[a2.test]",
		`"u@a2.test,"@none.test`:                                        "[a2.test]",
		`<"u@a2.test>"@none.test>`:                                      "[a2.test]",
		`"a\" <u@a2.test>" <v@none.test>`:                               "[a2.test]",
		`"\"" "<u@a2.test>" <v@none.test>`:                              "[a2.test]",
		`"\\" "u@a2.test" <v@none.test>`:                                "[a2.test]",
		"\"x\r\n <u@a2.test>\" <v@none.test>":                           "[a2.test]",
		"\"x\r\n u@a2.test\" <v@none.test>":                             "[]",
		"\"<u@a2.test>\"\r\n <v@none.test>":                             "[]", // folded elsewhere
		`"" "u@a2.test" <v@none.test>`:                                  "[a2.test]",
		`"u@a2.test" "" <v@none.test>`:                                  "[a2.test]",
		`"x" "u@a2.test" <v@none.test>`:                                 "[]",
		`"" <v@none.test>`:                                              "[]",
		`v@none.test (u@a2.test, u@a2.test, u@a3.test)`:                 "[a2.test a3.test]",
		`=?utf-8?q?u=40a2=2Etest=2C?= <v@none.test>`:                    "[a2.test]",
		`=?utf-8?q?x_=3Cu=40a2.test=3E?= <v@none.test>`:                 "[a2.test]",
		`=?utf-16?b?/v8APAB1AEAAYQAyAC4AdABlAHMAdAA+?= <v@none.test>`:   "[a2.test]",
		`=?utf-32be?b?AAAAPAAAAHUAAABAAAAAYQAAAC4AAABi?= <v@none.test>`: "[a.b]",
		`=?utf-8?b?77ycdUBhMi50ZXN077ye?= <v@none.test>`:                "[a2.test]", // full-width brackets
		`"u@a2.test" <v@none.test>`:                                     "[]",
		`"'u@a2.test' via List" <v@none.test>`:                          "[]",
		`"<u@a2.test>" <v@none.test>`:                                   "[]",
		`"x \"y, z\" u@a2.test" <v@none.test>`:                          "[a2.test]",
		`"x \"y\" <u@a2.test>" <v@none.test>`:                           "[]",
		`v@none.test (u@a2.test)`:                                       "[]",
		`"x\\y" <v@none.test>`:                                          "[]",
		`=?utf-8?q?u=40a2=2Etest?= <v@none.test>`:                       "[]", // what contact forms send
		`=?utf-8?q?J=C3=BCrgen_=28u=40a2.test=29?= <v@none.test>`:       "[]",
		`"a\" <u@a2.test>" <v@a2.test>`:                                 "[]", // whom it names anyway
		`v@none.test (a: b)`:                                            "[]",
		`[x] "u@a2.test" <v@none.test>`:                                 "[]",
		`"x" [y] "u@a2.test" <v@none.test>`:                             "[a2.test]",
		`"u@a3.test" <v@none.test>, "\"" "<u@a2.test>" <w@none.test>`:   "[a2.test]", // the quotes of one name alone
		"\"\\\"\" \"x\r\n u@a2.test\" <v@none.test>":                    "[a2.test]", // a fold takes no suspicion back
		`v@none.test (x: =?utf-8?q?u=40a2.test?=)`:                      "[a2.test]",
		`"=?utf-8?q?x?= u@a2.test" <v@none.test>`:                       "[]",
		`v@none.test (=?utf-8?q?u=40a2.test?=)`:                         "[]",
		`=?gbk?b?o7x1QGEyLnRlc3Sjvg==?= <v@none.test>`:                  "[a2.test]", // full-width brackets
	} {
		h, err := ParseHeader([]byte("From: " + value + "\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		n := h.Named("From")
		if got := fmt.Sprint(n.Misread); got != want || n.Fault != "" {
			t.Errorf("%s: %s, want %s; %s", value, got, want, n.Fault)
		}
	}
	many := strings.Repeat("(<u@a.b>,c@", 1) + strings.Repeat("x.y>,<d@e", 50) + ") v@none.test"
	for i := range 50 {
		many += fmt.Sprintf(" (<u@a%d.test>)", i)
	}
	// As many in one comment, and in two together.
	two := "v@none.test (<u@z0.test>"
	for i := range 30 {
		two += fmt.Sprintf(", u@z%d.test", i)
		if i == 14 {
			two += ") (<u@a.test>"
		}
	}
	for _, value := range []string{many, two + ")"} {
		h, err := ParseHeader([]byte("From: " + value + "\r\n\r\n"))
		if got := len(h.Named("From").Misread); err != nil || got != maxMisread {
			t.Error(got, err)
		}
	}
}

// A field that some programs take for a From counts, and cannot be trusted.
func TestNamedByWhatLooksLikeIt(t *testing.T) {
	for name, want := range map[string]string{
		"From\x0b": "none.test a2.test !", "From\x0c": "none.test a2.test !", "From\xa0": "none.test a2.test !", "\xa0From": "none.test a2.test !",
		"\ufeffFrom": "none.test a2.test !", "F\u00adrom": "none.test a2.test !", "\uff26rom": "none.test a2.test !", "FROM\u3000": "none.test a2.test !",
		"X-From": "none.test", "From\x0bx": "none.test", "Fro\x0b": "none.test", "Subject\x0b": "none.test",
	} {
		h, err := ParseHeader([]byte("From: v@none.test\r\n" + name + ": u@a2.test\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := told(h.Named("From")); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
