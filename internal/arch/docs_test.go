package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const repository = "../.."

// Every decision has a number of its own, and its heading says the same one: several hands
// write them at once.
func TestDecisionsHaveNumbersOfTheirOwn(t *testing.T) {
	files, err := filepath.Glob(repository + "/docs/decisions/*.md")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	have := map[string]string{}
	for _, f := range files {
		number, _, _ := strings.Cut(filepath.Base(f), "-")
		if other, taken := have[number]; taken {
			t.Errorf("%s and %s have the same number", other, filepath.Base(f))
		}
		have[number] = filepath.Base(f)
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# "+number+" ") {
			t.Errorf("%s: its heading begins with another number", filepath.Base(f))
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
)

// Every link between the documents leads to a file that is there, and to a heading in it.
func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	for _, f := range documents(t) {
		text := fenced.ReplaceAllString(read(t, f), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			links++
			target, anchor, _ := strings.Cut(m[1], "#")
			at := f
			if target != "" {
				at = filepath.Join(filepath.Dir(f), target)
			}
			info, err := os.Stat(at)
			if err != nil {
				t.Errorf("%s: %s leads nowhere", f, m[1])
				continue
			}
			if anchor != "" && (info.IsDir() || !anchors(read(t, at))[anchor]) {
				t.Errorf("%s: %s leads to no heading", f, m[1])
			}
		}
	}
	if links < 60 {
		t.Errorf("only %d links found", links)
	}
}

func documents(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors are the names of headings as GitHub and its like make them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				b.WriteRune(r)
			}
		}
		all[b.String()] = true
	}
	return all
}

var (
	spanned  = regexp.MustCompile("`(?:[A-Z_]+=\\S+ )*(go test [^`]*)`")
	alone    = regexp.MustCompile(`(?m)^\s*(?:[A-Z_]+=\S+ )*(go test .*)$`)
	flagged  = regexp.MustCompile(`-(run|bench)[ =](?:'([^']*)'|([^\s']+))`)
	inside   = regexp.MustCompile(`\./(?:internal|test|cmd)[\w/.-]*`)
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`)
)

// A command that names tests finds some by each name: go test is content with a name that nothing has.
func TestCommandsFindTheirTests(t *testing.T) {
	looked := 0
	for _, f := range append(documents(t), repository+"/Makefile") {
		text := read(t, f)
		commands := alone.FindAllStringSubmatch(text, -1)
		commands = append(commands, spanned.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1)...)
		for _, c := range commands {
			command := strings.Join(strings.Fields(c[1]), " ")
			if !flagged.MatchString(command) {
				continue
			}
			there := testsOf(t, inside.FindAllString(command, -1))
			for _, m := range flagged.FindAllStringSubmatch(command, -1) {
				for name := range strings.SplitSeq(m[2]+m[3], "|") {
					name, _, _ = strings.Cut(name, "/")
					if name == "^$" || strings.Contains(name, "$(") {
						continue
					}
					looked++
					is, err := regexp.Compile(name)
					if err != nil || !slices.ContainsFunc(there, func(n string) bool {
						return strings.HasPrefix(n, "Test") == (m[1] == "run") && is.MatchString(n)
					}) {
						t.Errorf("%s: %s: nothing is called %s, %v", f, command, name, err)
					}
				}
			}
		}
	}
	if looked < 30 {
		t.Errorf("only %d names found", looked)
	}
}

// testsOf are the tests and benchmarks of packages.
func testsOf(t *testing.T, packages []string) (all []string) {
	t.Helper()
	for _, p := range packages {
		files, err := filepath.Glob(filepath.Join(repository, p, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no tests, %v", p, err)
		}
		for _, f := range files {
			for _, m := range declared.FindAllStringSubmatch(read(t, f), -1) {
				all = append(all, m[1])
			}
		}
	}
	return all
}
