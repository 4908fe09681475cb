package mail_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
)

func TestShownAndWord(t *testing.T) {
	for _, row := range []struct{ in, shown, word string }{
		{"", "", `""`},
		{"mx.example.org", "mx.example.org", "mx.example.org"},
		{"Jörg", "Jörg", "Jörg"},
		{"a b", "a b", `"a b"`},
		{"rule=accepted", "rule=accepted", `"rule=accepted"`},
		{"<SRS0=x=y@z.test>", "<SRS0=x=y@z.test>", "<SRS0=x=y@z.test>"},
		{"<x@y.test> account=root", "<x@y.test> account=root", `"<x@y.test> account=root"`},
		{"<x> a=b <y>", "<x> a=b <y>", `"<x> a=b <y>"`},
		{`<"a b"@y.test>`, `<"a b"@y.test>`, `"<\"a b\"@y.test>"`},
		{`say "x"`, `say "x"`, `"say \"x\""`},
		{"\x1b[31m", `\x1b[31m`, `"\x1b[31m"`},
		{"a\r\nb\tc\x00\x7f", `a\r\nb\tc\x00\x7f`, `"a\r\nb\tc\x00\x7f"`},
		{"\u009b31m", `\u009b31m`, `"\u009b31m"`},
		{"\x9b31m\xff", `\x9b31m\xff`, `"\x9b31m\xff"`},
		{"\u202egpj\u2066", `\u202egpj\u2066`, `"\u202egpj\u2066"`},
		{"\u2028\u2029\u00a0\u3000\u00ad\u200b\ufeff", `\u2028\u2029\u00a0\u3000\u00ad\u200b\ufeff`, `"\u2028\u2029\u00a0\u3000\u00ad\u200b\ufeff"`},
		{"\u3164\u115f\u2800\ufe0f\U000e0041", `\u3164\u115f\u2800\ufe0f\U000e0041`, `"\u3164\u115f\u2800\ufe0f\U000e0041"`},
		{`x\`, `x\`, `"x\\"`},
		{`x\" account=y`, `x\" account=y`, `"x\\\" account=y"`},
		{"\ufffd", "\ufffd", "\ufffd"},
	} {
		if got := mail.Shown(row.in); got != row.shown || mail.Shown(got) != got {
			t.Errorf("Shown(%q) = %q, want %q", row.in, got, row.shown)
		}
		if got := mail.Word(row.in); got != row.word {
			t.Errorf("Word(%q) = %q, want %q", row.in, got, row.word)
		}
	}
}

// Whatever it is: one line, of visible characters, and as a word never two.
func FuzzWord(f *testing.F) {
	f.Add("a b=c")
	f.Add("\x1b\u202e\"\\")
	f.Fuzz(func(t *testing.T, s string) {
		w := mail.Word(s)
		for i, r := range w {
			if !mail.Visible(r) || r == utf8.RuneError && !strings.HasPrefix(w[i:], "\ufffd") {
				t.Fatalf("%q: %q", s, w)
			}
		}
		if w[0] != '"' {
			if strings.ContainsAny(w, ` "\`) {
				t.Fatalf("%q: %q", s, w)
			}
			return
		}
		for i, escaped := 1, false; i < len(w); i++ {
			if w[i] == '"' && !escaped && i != len(w)-1 || i == len(w)-1 && (w[i] != '"' || escaped) {
				t.Fatalf("%q: %q", s, w)
			}
			escaped = w[i] == '\\' && !escaped
		}
	})
}

// What of others goes into one line of ours stays one line, within its bound, and shows
// nothing but what it may.
func TestOneLine(t *testing.T) {
	for text, want := range map[string][2]string{ // plain, shown
		"":                         {"", ""},
		"no such user":             {"no such user", "no such user"},
		"two\nlines\tand\ra\u00a0": {"two?lines?and?a?", "two lines?and?a "},
		"bell\x07esc\x1b[2J":       {"bell?esc?[2J", "bell?esc?[2J"},
		"Grüße":                    {"Gr??e", "Grüße"},
		"a\xffb\u2028c\u202ed":     {"a?b?c?d", "a?b?c?d"},
		"\uFFFD":                   {"?", "?"},
	} {
		if plain, shown := mail.PlainLine(text, 100), mail.ShownLine(text, 100); plain != want[0] || shown != want[1] {
			t.Errorf("%q: %q, %q", text, plain, shown)
		}
	}
	if got := mail.ShownLine("aüb", 2); got != "a" {
		t.Errorf("half a character: %q", got)
	}
	if got := mail.PlainLine("日本語", 2); got != "??" {
		t.Errorf("cut: %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		s, most := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s")), rapid.IntRange(0, 40).Draw(t, "most")
		plain, shown := mail.PlainLine(s, most), mail.ShownLine(s, most)
		if len(plain) > most || len(shown) > most || !mail.IsPlain(plain) || mail.Shown(shown) != shown {
			t.Fatalf("%q: %q, %q", s, plain, shown)
		}
		if mail.IsPlain(s) && len(s) <= most && (plain != s || shown != s) {
			t.Fatalf("%q was changed: %q, %q", s, plain, shown)
		}
	})
	for text, want := range map[string]bool{"": true, " ~": true, "\x1f": false, "\x7f": false, "é": false, "a\n": false} {
		if mail.IsPlain(text) != want {
			t.Errorf("%q is plain: %v", text, !want)
		}
	}
}

func TestShellWordsSurviveAShell(t *testing.T) {
	for word, want := range map[string]string{
		"/plain/path-1.x": "/plain/path-1.x", "": "''", "two words": "'two words'", "it's": `'it'\''s'`, "$(reboot)": "'$(reboot)'", "~": "'~'",
		"o'brien@example.org": `'o'\''brien@example.org'`, "100%=a:b,c+d@e_f": "100%=a:b,c+d@e_f", "bücher@x": "'bücher@x'",
	} {
		if got := mail.ShellWord(word); got != want {
			t.Errorf("ShellWord(%q) = %s, want %s", word, got, want)
		}
	}
}
