package message

import (
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// An author's field is written anew where readers differ about it, and stays to the
// octet where they do not.
func TestSettled(t *testing.T) {
	for _, c := range []struct{ came, want string }{
		// As it should be.
		{"From: alice@local.test", ""},
		{"from:alice@local.test", ""},
		{"From: <alice@local.test>", ""},
		{"From: Alice Example <alice@local.test>", ""},
		{"From: Alice A. Example <alice@local.test>", ""},
		{"From: \"Alice Example\" <Alice@LOCAL.test>", ""},
		{"From: \"Example, Alice 'A.' <x>\" <alice@local.test>", ""},
		{"From: \"evil@remote.test\" <alice@local.test>", ""},
		{"From: =?utf-8?Q?J=C3=BCrgen?= <alice@local.test>", ""},
		{"From: =?iso-8859-1?Q?M=FCller=2C_Hans?= <alice@local.test>", ""},
		{"From: =?iso-2022-jp?B?GyRCOzNFREJATzobKEI=?= <alice@local.test>", ""},
		{"From: =?utf-8?B?SsO8cmdlbg==?= Example <alice@local.test>", ""},
		{"From: Alice <alice@local.test>,\n Bob <bob@local.test>", ""},
		{"Sender: Alice <alice@local.test>", ""},
		{"Reply-To: Alice (x)\n <alice@local.test>", ""},

		// Folds.
		{"From: Alice\n\t<alice@local.test>", "From: Alice <alice@local.test>"},
		{"From:\n alice@local.test", "From: alice@local.test"},
		{"From: \"Example,\n Alice\" <alice@local.test>", "From: \"Example, Alice\" <alice@local.test>"},
		{"From: =?utf-8?Q?J=C3=BC?=\n =?utf-8?Q?rgen?= <alice@local.test>", "From: =?utf-8?Q?J=C3=BC?= =?utf-8?Q?rgen?= <alice@local.test>"},
		{"From: Alice <alice@local.test>\n , Bob <bob@local.test>", "From: Alice <alice@local.test>, Bob <bob@local.test>"},
		{"Resent-From: Alice\n <alice@local.test>", "Resent-From: Alice <alice@local.test>"},

		// Comments become names.
		{"From: alice@local.test (Alice Example)", "From: \"Alice Example\" <alice@local.test>"},
		{"From: (Alice) alice@local.test", "From: \"Alice\" <alice@local.test>"},
		{"From: Alice (work) <alice@local.test>", "From: \"Alice (work)\" <alice@local.test>"},
		{"From: alice@local.test (evil@remote.test)", "From: \"evil@remote.test\" <alice@local.test>"},
		{"From: alice@local.test (a (b) c)", "From: \"a (b) c\" <alice@local.test>"},
		{"From: alice@local.test (J\u00fcrgen)", "From: =?utf-8?q?J=C3=BCrgen?= <alice@local.test>"},
		{"From: alice@local.test (=?utf-8?q?J=C3=BCrgen?=)", "From: =?utf-8?q?J=C3=BCrgen?= <alice@local.test>"},
		{"From: alice@local.test ()", "From: alice@local.test"},

		// Encoded words that hide something, and names that some program decodes.
		{"From: =?utf-8?Q?evil=40remote.test=2C?= <alice@local.test>", "From: \"evil@remote.test,\" <alice@local.test>"},
		{"From: =?utf-8?Q?=22?= <alice@local.test>, \"evil@remote.test\" <alice@local.test>", "From: =?utf-8?q?=E2=80=9C?= <alice@local.test>,\r\n \"evil@remote.test\" <alice@local.test>"},
		{"From: \"=?utf-8?Q?J=C3=BCrgen?=\" <alice@local.test>", "From: =?utf-8?q?J=C3=BCrgen?= <alice@local.test>"},
		{"From: =?utf-8?Q?J=C3=BCrgen_evil=40remote.test=2C?= <alice@local.test>", "From: =?utf-8?q?J=C3=BCrgen?= \"evil@remote.test,\" <alice@local.test>"},
		{"From: \"Alice \\\"Al\\\" Example\" <alice@local.test>", ""},
		{"From: \"Alice \\\"Al, x\\\" Example\" <alice@local.test>", "From: =?utf-8?q?Alice_=E2=80=9CAl=2C_x=E2=80=9D_Example?= <alice@local.test>"},
		{"From: \"a\\\\b\" <alice@local.test>", "From: \"a/b\" <alice@local.test>"},
		{"From: =?utf-8?Q?M=C3=BCller=2C_Hans_=28hans=40local.test=29?= <alice@local.test>", "From: =?utf-8?q?M=C3=BCller?= \", Hans (hans@local.test)\" <alice@local.test>"},
		{"From: =?utf-8?Q?B=C3=BCro_=28K=C3=B6ln=29?= <alice@local.test>", "From: =?utf-8?q?B=C3=BCro?= \"(\" =?utf-8?q?K=C3=B6ln?= \")\" <alice@local.test>"},
		{"From: Alice . <alice@local.test>", "From: \"Alice .\" <alice@local.test>"},
		{"From: A.. B <alice@local.test>", "From: \"A.. B\" <alice@local.test>"},
		{"From: alice@local.test <alice@local.test>", "From: \"alice@local.test\" <alice@local.test>"},

		// Brackets without quotes, and a comma at the end.
		{"From: Alice [Sales] <alice@local.test>", "From: \"Alice [Sales]\" <alice@local.test>"},
		{"From: [Sales] <alice@local.test>", "From: \"[Sales]\" <alice@local.test>"},
		{"From: Alice[Sales]B. <alice@local.test>", "From: \"Alice[Sales]B.\" <alice@local.test>"},
		{"From: ]Alice[ <alice@local.test>", "From: \"]Alice[\" <alice@local.test>"},
		{"From: [B\u00fcro] <alice@local.test>", "From: \"[\" =?utf-8?q?B=C3=BCro?= \"]\" <alice@local.test>"},
		{"From: B\u00fc]o \"evil@remote.test>\" <alice@local.test>", "From: =?utf-8?q?B=C3=BC?= \"] o evil@remote.test>\" <alice@local.test>"},
		{"From: =?utf-8?Q?J=C3=BC=2Crgen?= \"evil@remote.test\" <alice@local.test>", "From: =?utf-8?q?J=C3=BC?= \", rgen evil@remote.test\" <alice@local.test>"},
		{"From: Alice <alice@local.test>,", "From: Alice <alice@local.test>"},
		{"From: alice@local.test, \t", "From: alice@local.test"},
		{"From: Alice <alice@local.test>, Bob <bob@local.test>,", "From: Alice <alice@local.test>, Bob <bob@local.test>"},

		// A comma in a name, a semicolon at the end, and blanks within an address.
		{"From: Example, Alice <alice@local.test>", "From: \"Example, Alice\" <alice@local.test>"},
		{"From: Alice [a, b] <alice@local.test>", "From: \"Alice [a, b]\" <alice@local.test>"},
		{"From: B\u00fcro, EG <alice@local.test>, Bob, B. <bob@local.test>", "From: =?utf-8?q?B=C3=BCro=2C_EG?= <alice@local.test>,\r\n \"Bob, B.\" <bob@local.test>"},
		{"From: Alice <alice@local.test>;", "From: Alice <alice@local.test>"},
		{"From: alice@local.test ; ", "From: alice@local.test"},
		{"From: < alice@local.test >", "From: <alice@local.test>"},
		{"From: Alice <\n alice @ local.test\t>", "From: Alice <alice@local.test>"},
		{"From: alice @local.test", "From: alice@local.test"},
		{"From: alice@ local.test <alice@local.test>", "From: \"alice@local.test\" <alice@local.test>"},

		// What says nothing, in any field.
		{"From : alice@local.test", "From: alice@local.test"},
		{"From: Alice\n \n <alice@local.test>", "From: Alice <alice@local.test>"},
		{"Subject\t:\tx", "Subject:\tx"},
		{"Subject: a\n\t\n b\n \t", "Subject: a\r\n b"},
		{"Cc:\n \nReply-To : b@y.test\n ", "Cc:\r\nReply-To: b@y.test"},

		// Names beyond ASCII.
		{"From: B\u00fcro-Scanner <alice@local.test>", "From: =?utf-8?q?B=C3=BCro=2DScanner?= <alice@local.test>"},
		{"From: \"M\u00fcller, Hans\" <alice@local.test>", "From: =?utf-8?q?M=C3=BCller=2C_Hans?= <alice@local.test>"},
		{"From: B\xfcro <alice@local.test>", "From: =?utf-8?q?B=C3=BCro?= <alice@local.test>"},
		{"From: B\u00fcro <alice@b\u00fccher.test>", "From: =?utf-8?q?B=C3=BCro?= <alice@xn--bcher-kva.test>"},
		{"From: \u00c4lice <\u00e4lice@local.test>", "From: =?utf-8?q?=C3=84lice?= <\u00e4lice@local.test>"},
	} {
		in := header(t, c.came+"\nTo: x@y.test\n")
		got := in.Settled()
		want := string(in.Raw())
		if c.want != "" {
			want = c.want + "\r\nTo: x@y.test\r\n\r\n"
		}
		if string(got.Raw()) != want || got.Fault() != "" {
			t.Errorf("%q:\n got %q, fault %q\nwant %q", c.came, got.Raw(), got.Fault(), want)
		}
		again := got.Settled()
		if string(again.Raw()) != string(got.Raw()) {
			t.Errorf("%q: settled twice it is %q", c.came, again.Raw())
		}
		if to := got.Value("To"); to != "x@y.test" || got.Len() != in.Len() || got.Ended() != in.Ended() {
			t.Errorf("%q: the other fields are %q", c.came, got.Raw())
		}
	}
}

// A Sender in which nothing stands names nobody, and is left out; one that names somebody stays, beside it too, and an
// empty From stays a fault.
func TestASenderOfNobodyIsLeftOut(t *testing.T) {
	for came, want := range map[string]string{
		"From: alice@local.test\nSender:\n":                             "From: alice@local.test\n",
		"Sender: \nFrom: alice@local.test\nTo: x@y.test\n":              "From: alice@local.test\nTo: x@y.test\n",
		"Sender :\nFrom: alice@local.test\n":                            "From: alice@local.test\n",
		"Sender:\n \nResent-Sender: \nFrom: alice@local.test\n":         "From: alice@local.test\n",
		"From: alice@local.test\nSender:\nSender: bob@local.test\n":     "From: alice@local.test\nSender: bob@local.test\n",
		"From: alice@local.test\nSender:\n bob@local.test\nX-A:\n":      "From: alice@local.test\nSender: bob@local.test\nX-A:\n",
		"From: alice@local.test\nSender: ()\n":                          "",
		"From:\nSender: alice@local.test\n":                             "",
		"From: alice@local.test\nSender\n : \n":                         "",
		"From: alice@local.test\nResent-From:\nSender:\n":               "",
		"From: alice@local.test\nSender: alice@local.test\nSender: x\n": "",
	} {
		got := header(t, came).Settled()
		if fault := got.Authors(mail.ASCII).Fault; want == "" && fault == "" || want != "" && (fault != "" || string(got.Raw()) != string(header(t, want).Raw())) {
			t.Errorf("%q: %q, fault %q; want %q", came, got.Raw(), fault, want)
		}
	}
}

func TestSettledRefuses(t *testing.T) {
	for came, fault := range map[string]string{
		"From: =?utf-7?Q?evil+AEA-remote.test?= <alice@local.test>":                  "From: a display name is in a charset",
		"From: =?nonsense?Q?x?= <alice@local.test>":                                  "From: a display name is in a charset",
		"From: =?utf-8?Q?=E2=80=AEx?= <alice@local.test>":                            "",
		"From: evil\uff20remote.test <alice@local.test>":                             "From: a display name hides",
		"From: =?utf-8?Q?=C3=BC=40remote.test?= <alice@local.test>":                  "From: a display name hides",
		"From: \"a b\"@local.test, alice@local.test":                                 "From: a local-part in quotes stands beside",
		"From: \"alice+<evil@remote.test>\"@local.test":                              "From: a local-part in quotes",
		"From: " + strings.Repeat("a", 1000) + " <alice@local.test>":                 "From: a display name is too long",
		"From: bob@local.test, " + strings.Repeat("a", 1000) + " <alice@local.test>": "From: a display name is too long",
		"From: " + strings.Repeat("(x)", MaxAuthorField/3) + " <alice@local.test>":   "From: it is too long",
		"From: alice@local.test <evil@remote.test>":                                  "",
		"From: [evil@remote.test] <alice@local.test>":                                "From: a bracket stands outside of quotes",
		"From: [evil]@remote.test":                                                   "From: ",
		"From: <[evil]alice@local.test>":                                             "From: ",
		"From: alice[x]@local.test":                                                  "From: ",
		"From: alice@local.test; bob@local.test":                                     "From: it is a group",
		"From: alice@local.test;;":                                                   "From: it is a group",
		"From: alice, bob@local.test":                                                "From: a name stands without an address",
		"From: alice, bob":                                                           "From: ",
		"From: alice@local .test":                                                    "From: ",
		"From: alice (x) @local.test":                                                "From: ",
		"From: alice@local.test.":                                                    "From: the address is malformed",
		"From: < >":                                                                  "From: ",
		"From: evil@remote .test <alice@local.test>":                                 "From: ",
		"hello\nFrom: alice@local.test":                                              "a line has no colon",
		"Fr\u00f6m : x\nFrom: alice@local.test":                                      "",
		"From: alice@local.test,,":                                                   "From: ",
		"From: ,alice@local.test":                                                    "From: ",
		"From: ,":                                                                    "From: ",
	} {
		h := header(t, came+"\n").Settled()
		if a := h.Authors(mail.UTF8); a.Fault == "" || !strings.HasPrefix(a.Fault, fault) {
			t.Errorf("%.100q: fault %q, want %q; it became %.100q", came, a.Fault, fault, h.Raw())
		}
	}
}
