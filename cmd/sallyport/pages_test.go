package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func allPages(t *testing.T) *page {
	t.Helper()
	root, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Help fits a terminal of 80 columns, and its examples fit the indent of a man page, too.
func TestHelpFits(t *testing.T) {
	for _, p := range allPages(t).all() {
		for line := range strings.Lines(p.detail) {
			if !strings.HasPrefix(line, " ") {
				continue // a paragraph is filled
			}
			if n := utf8.RuneCountInString(line) - 1; n > 73 {
				t.Errorf("%s: %d columns: %s", p.name(), n, line)
			}
		}
		var out bytes.Buffer
		run(append(append([]string{}, p.path...), "--help"), console{out: &out, err: &out})
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(line) - 1; n > 80 {
				t.Errorf("%s --help: %d columns: %s", p.name(), n, line)
			}
		}
	}
}

// The shells themselves complete what the grammar has: commands, those below them, flags,
// and the values of flags that have a choice.
func TestShellsComplete(t *testing.T) {
	root := allPages(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"bash": completeBash(root), "zsh": completeZsh(root), "fish": completeFish(root)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for words, want := range map[string]string{
		"sallyport qu":                                "queue quickstart",
		"sallyport queue re":                          "redirect release retry",
		"sallyport queue show --he":                   "--headers",
		"sallyport queue ls --by a":                   "account",
		"sallyport -c other.toml queue redirect --fo": "--forward-of",
		"sallyport completion f":                      "fish",
		"sallyport help queue sh":                     "show",
	} {
		script := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _sallyport; printf '%s\n' "${COMPREPLY[@]}" | sort | xargs`
		out, err := exec.Command("bash", append([]string{"-c", script, "bash", filepath.Join(dir, "bash")}, strings.Fields(words)...)...).Output()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("bash: %q: %q, want %q (%v)", words, out, want, err)
		}
		if _, err := exec.LookPath("fish"); err != nil {
			continue
		}
		out, err = exec.Command("fish", "-c", `source $argv[1]; complete -C $argv[2] | cut -f1 | sort | xargs`, filepath.Join(dir, "fish"), words).Output()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("fish: %q: %q, want %q (%v)", words, out, want, err)
		}
	}
	// What is one word to us may be several to bash, and the other way round.
	if err := os.WriteFile(filepath.Join(dir, "my file.toml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words []string
		want  string
	}{
		{[]string{"sallyport", "queue", "ls", "--by", "=", "a"}, "account\n"},
		{[]string{"sallyport", "queue", "ls", "--by", "="}, "account\ndestination\n"},
		{[]string{"sallyport", "status", "--config", filepath.Join(dir, "my")}, filepath.Join(dir, "my file.toml") + "\n"},
		{[]string{"sallyport", "status", "--config", "=", filepath.Join(dir, "my")}, filepath.Join(dir, "my file.toml") + "\n"},
	} {
		script := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _sallyport; printf '%s\n' "${COMPREPLY[@]}" | sort`
		out, err := exec.Command("bash", append([]string{"-c", script, "bash", filepath.Join(dir, "bash")}, c.words...)...).Output()
		if err != nil || string(out) != c.want {
			t.Errorf("bash: %q: %q, want %q (%v)", c.words, out, c.want, err)
		}
	}
	if zsh, err := exec.LookPath("zsh"); err == nil {
		if out, err := exec.Command(zsh, "-n", filepath.Join(dir, "zsh")).CombinedOutput(); err != nil {
			t.Errorf("zsh: %v: %s", err, out)
		}
	}
}

// There is a page for each command, which names each of its flags; groff, where there is
// one, has nothing to say about any.
func TestManPages(t *testing.T) {
	root := allPages(t)
	dir, files := t.TempDir(), []string(nil)
	for _, p := range append([]*page{root}, root.below...) {
		text := manualOf(p, root)
		if p == root {
			for _, c := range p.below {
				if !strings.Contains(text, "sallyport\\-"+rest(c.path[0])+" (1)") && !strings.Contains(text, "sallyport-"+rest(c.path[0])+" (1)") {
					t.Errorf("the page of the program does not name %s", c.name())
				}
			}
		}
		for _, c := range p.leaves() {
			for _, f := range c.flags {
				if !strings.Contains(text, rest(f.name)) {
					t.Errorf("the page of %s does not name %s", c.name(), f.name)
				}
			}
		}
		file := filepath.Join(dir, strings.ReplaceAll(p.name(), " ", "-")+".1")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	// It names the file and line of what it has to say.
	args := append([]string{"-man", "-ww", "-Tutf8", "-K", "utf8", "-z"}, files...)
	if out, err := exec.Command(groff, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
