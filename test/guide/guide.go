// Package guide reads what the documents in docs print, so that tests run that and nothing else.
package guide

import (
	"os"
	"strings"
	"testing"
)

// Block returns the n-th block of a document, from 0, of those that are marked with a language. It is
// called from a package two folders below the module's root.
func Block(t testing.TB, file, language string, n int) string {
	t.Helper()
	var all []string
	in, marked := false, false
	for line := range strings.Lines(Text(t, file)) {
		switch mark, fence := strings.CutPrefix(strings.TrimLeft(line, " "), "```"); {
		case fence && in:
			in = false
		case fence:
			in, marked = true, strings.TrimSpace(mark) == language
			if marked {
				all = append(all, "")
			}
		case in && marked:
			all[len(all)-1] += line
		}
	}
	if n >= len(all) {
		t.Fatalf("%s has only %d blocks of %q", file, len(all), language)
	}
	return all[n]
}

// Text returns a whole document.
func Text(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Replaced puts a test's own paths and addresses in the place of a document's, each of which must
// be there: old, new, and so on.
func Replaced(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the guide no longer says %q:\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}
