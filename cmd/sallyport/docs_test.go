package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Every command that the documentation shows is one that the program understands.
func TestDocumentationShowsCommandsThatThereAre(t *testing.T) {
	files := []string{"../../README.md"}
	err := filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range shownCommands(string(text)) {
			shown++
			if err := understood(line); err != nil {
				t.Errorf("%s: %q: %v", strings.TrimPrefix(file, "../../"), line, err)
			}
		}
	}
	if shown < 50 {
		t.Errorf("only %d commands found", shown)
	}
}

// shownCommands returns the command lines in blocks and spans of code. One with an
// ellipsis or a bar of alternatives is a form, and no command.
func shownCommands(text string) (found []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	inBlock, inText := regexp.MustCompile(`(?m)^(?:\$ )?(?:sudo -u \S+ )?sallyport ([a-z].*)$`), regexp.MustCompile("`(?:sudo -u \\S+ )?sallyport ([^`]+)`")
	var lines []string
	for i, part := range strings.Split(text, "\n```") {
		pattern := inText
		if i%2 == 1 {
			pattern = inBlock
		}
		for _, m := range pattern.FindAllStringSubmatch(part, -1) {
			lines = append(lines, m[1])
		}
	}
	for _, line := range lines {
		line, _, _ = strings.Cut(line, " #")
		line = regexp.MustCompile(` (\||&&|<|>|;) .*$|;.*$`).ReplaceAllString(line, "")
		line = regexp.MustCompile(`   +.*$`).ReplaceAllString(line, "") // words beside it
		if !strings.ContainsAny(line, "…[|") && !strings.Contains(line, "...") && !strings.Contains(line, ", ") {
			found = append(found, strings.Join(strings.Fields(line), " "))
		}
	}
	return found
}

func understood(line string) error {
	helped, args := false, wordsOf(line)
	parser, err := grammar(askedFor(args), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) { helped = true }))
	if err != nil {
		return err
	}
	_, err = parser.Parse(args)
	if helped || errors.Is(err, fs.ErrNotExist) { // a file of the reader's
		return nil
	}
	// Naming a command without its arguments is a way to speak about it.
	if err != nil && (strings.Contains(err.Error(), "expected one of") || strings.HasPrefix(err.Error(), "expected \"<") || strings.Contains(err.Error(), "missing flags")) {
		return nil
	}
	return err
}

// words splits a line as a shell does, as far as the documentation needs it.
func wordsOf(line string) (all []string) {
	for _, m := range regexp.MustCompile(`(?:[^\s"']+|"[^"]*"|'[^']*')+`).FindAllString(line, -1) {
		all = append(all, strings.NewReplacer(`"`, "", `'`, "").Replace(m))
	}
	return all
}

// The README's table names every command, and every command of a group.
func TestReadmeNamesEveryCommand(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.+?) \\|").FindAllStringSubmatch(string(text), -1) {
		spans := regexp.MustCompile("`([^`]+)`(:?)").FindAllStringSubmatch(row[1], -1)
		var above []string // the groups that the next span's verbs belong to
		for _, span := range spans {
			group, verbs, more := strings.Cut(span[1], " ")
			if span[2] != "" { // a group of a group: `account app`: `add, ls, rm`
				group, verbs, more = span[1], "", true
			}
			if !more {
				verbs, group = "", strings.TrimSuffix(group, ",")
			}
			if strings.HasSuffix(group, ",") || (group == "add" && more) {
				verbs, group = span[1], "" // `domain`, `alias`: `add, ls, rm`
			}
			if group != "" {
				above = append(above, group)
				named[group] = true
			}
			for verb := range strings.FieldsFuncSeq(verbs, func(r rune) bool { return r == ' ' || r == ',' }) {
				for _, g := range above {
					named[g+" "+verb] = true
				}
			}
		}
	}
	parser, err := grammar(commands())
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(true) {
		path := strings.TrimPrefix(leaf.Path(), "sallyport ")
		if path != "version" && !named[path] {
			t.Errorf("README.md does not name %q: %v", path, leaf.Help)
		}
	}
}

// The contents of the page for the night list every section, in its order.
func TestOperationsListsItsSections(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, there []string
	for _, m := range regexp.MustCompile(`(?m)^- \[(.+?)\]\(#.+\)$`).FindAllStringSubmatch(string(text), -1) {
		listed = append(listed, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(text), -1) {
		there = append(there, m[1])
	}
	if !slices.Equal(listed, there) {
		t.Errorf("listed are %q, there are %q", listed, there)
	}
}
