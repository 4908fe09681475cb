package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryKeyIsShown holds testdata/shown.txt, which names for each key the tests that
// show what its text promises, to the key table and to the tests that there are: a new
// key needs a line, and a test that goes away takes none with it unseen.
func TestEveryKeyIsShown(t *testing.T) {
	text, err := os.ReadFile("testdata/shown.txt")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		key, tests, found := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(key, "#") {
			continue
		}
		if !found || shown[key] {
			t.Errorf("%q names no test, or is there twice", key)
		}
		shown[key] = true
		for test := range strings.SplitSeq(tests, ", ") {
			folder, name, _ := strings.Cut(test, " ")
			if !testNames(t, folder)[name] {
				t.Errorf("%s: there is no %s in %s", key, name, folder)
			}
		}
	}
	for _, k := range Keys() {
		if !shown[k.Path] {
			t.Errorf("no test is named in testdata/shown.txt that shows what %s does: %s", k.Path, k.Doc)
		}
		delete(shown, k.Path)
	}
	for key := range shown {
		t.Errorf("testdata/shown.txt names %q, which is no key", key)
	}
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// testNames returns the tests of a folder.
func testNames(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(folder), "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no tests: %v", folder, err)
	}
	names := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	return names
}
