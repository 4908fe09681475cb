package dkim

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What RFC 6376 §2.10 lets stand in b=, which is not signed itself, is read here as it
// is by OpenDKIM: white space anywhere, and no padding. dkimpy wants the padding.
func TestFormsOfBase64(t *testing.T) {
	w := newWorld(t)
	dir, p := t.TempDir(), w.dkimpy()
	value := regexp.MustCompile(`(?s)[ \t]b=([^;]*?)\r\n(\S)`)
	forms := map[string]func(string) string{
		"plain":    func(b string) string { return b },
		"unpadded": func(b string) string { return strings.TrimRight(b, "=") },
		"folded":   func(b string) string { return "\r\n\t" + b[:3] + "\r\n " + b[3:9] + " \t " + b[9:] },
		"spaced":   func(b string) string { return strings.Join(strings.Split(b, ""), " ") },
	}
	var names []string
	dkimpy := map[string]bool{}
	for name, form := range forms {
		signed := w.sign(w.message(), "r")
		m := value.FindStringSubmatchIndex(signed)
		if m == nil {
			t.Fatalf("no b= in %q", signed)
		}
		b := strings.Join(strings.Fields(signed[m[2]:m[3]]), "")
		text := signed[:m[2]] + form(b) + signed[m[3]:]
		if got := w.verify(text); !got[0] {
			t.Errorf("%s: it does not verify: %q", name, text[:min(len(text), 900)])
		}
		var theirs []bool
		p.ask(&theirs, map[string]any{"do": "verify", "signatures": 1}, text)
		dkimpy[name] = theirs[0]
		w.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		names = append(names, name)
	}
	w.must(os.WriteFile(filepath.Join(dir, "keys"), []byte("r._domainkey.example.test "+w.records["r._domainkey.example.test"]+"\n"), 0o600))
	out := w.openDKIM(dir, "Mode v\nTestPublicKeys "+filepath.Join(dir, "keys")+"\n", names)
	for _, n := range names {
		open := regexp.MustCompile(`(?m)^opendkim: ` + n + `: verification \(.*\) succeeded`).MatchString(out)
		t.Logf("%s: OpenDKIM %v, dkimpy %v", n, open, dkimpy[n])
		if n != "unpadded" && !(open && dkimpy[n]) || !open && !dkimpy[n] {
			t.Errorf("%s: OpenDKIM %v, dkimpy %v", n, open, dkimpy[n])
		}
	}
}
