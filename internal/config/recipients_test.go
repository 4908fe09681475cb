package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"sallyport/internal/mail"
)

// What Exchange exports is read in every form in which PowerShell writes it: UTF-16 with
// its mark, UTF-8 with one and without, whatever kinds of addresses and domains are in it.
func TestRecipientsOfExchange(t *testing.T) {
	const export = "alice@example.org\r\nSMTP:Bob@Example.ORG\r\nsmtp:jürgen@example.org\r\nSIP:alice@example.org\r\nX500:/o=First Organization/ou=Exchange (FYDIBOHF23SPDLT)/cn=Recipients/cn=1a2b-Alice\r\n" +
		"EUM:1001;phone-context=Plan.example.org\r\nsmtp:alice@example.net\r\n\"carol@example.org\"\r\n\r\n# a comment\r\ndave\r\nsmtp:SystemMailbox{1f05a927-2e7f}@example.org\r\n"
	wide := func(first, second int) string {
		var b strings.Builder
		for _, u := range append([]uint16{0xFEFF}, utf16.Encode([]rune(export))...) {
			both := [2]byte{byte(u), byte(u >> 8)}
			b.WriteByte(both[first])
			b.WriteByte(both[second])
		}
		return b.String()
	}
	domain, err := mail.ParseDomain("example.org")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"UTF-16, little end first": wide(0, 1), "UTF-16, big end first": wide(1, 0), "UTF-8 with a mark": "\xEF\xBB\xBF" + export, "UTF-8": export} {
		path := filepath.Join(t.TempDir(), "recipients")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := readRecipients(path, domain)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, a := range all {
			got = append(got, a.String())
		}
		if want := "alice@example.org Bob@example.org jürgen@example.org carol@example.org dave@example.org SystemMailbox{1f05a927-2e7f}@example.org"; strings.Join(got, " ") != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for text, want := range map[string]string{
		"a@example.net\nb@example.com\n": "all 2 addresses are of other domains",
		"smtp:two words@example.org\n":   "line 1: ",
		"j\xfcrgen@example.org\n":        "line 1: ",
		"":                               "",
		"# nobody\n":                     "",
	} {
		path := filepath.Join(t.TempDir(), "recipients")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readRecipients(path, domain); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
