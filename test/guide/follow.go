package guide

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Guide is one of docs/guides that a test follows. When the test ends well, each block that
// fates.txt promises of it must have been taken.
type Guide struct {
	t        testing.TB
	name     string
	text     string
	taken    map[string]bool // "toml 0", and the commands of sentences
	commands bool
	left     map[string]string
}

// Open begins to follow a guide, by the name of its file. It is called from a package two folders
// below the module's root.
func Open(t testing.TB, name string) *Guide {
	t.Helper()
	g := &Guide{t: t, name: name, text: Text(t, "guides/"+name), taken: map[string]bool{}}
	t.Cleanup(g.end)
	return g
}

// Block takes the n-th block, from 0, of those that are marked with a language.
func (g *Guide) Block(language string, n int) string {
	g.t.Helper()
	g.taken[block(language, n)] = true
	return Block(g.t, "guides/"+g.name, language, n)
}

// Text is the whole guide.
func (g *Guide) Text() string { return g.text }

// Says demands that the guide says something, wherever its lines break, and returns it.
func (g *Guide) Says(text string) string {
	g.t.Helper()
	if !strings.Contains(folded(g.text), folded(text)) {
		g.t.Fatalf("%s no longer says %q", g.name, text)
	}
	return text
}

// Command takes a command that stands in a sentence of the guide, between backticks, and returns
// it with other words in the place of some of the guide's: old, new, and so on.
func (g *Guide) Command(text string, pairs ...string) string {
	g.t.Helper()
	if !slices.Contains(Sentences(g.text), text) {
		g.t.Fatalf("%s no longer says `%s`", g.name, text)
	}
	g.taken[text] = true
	return Replaced(g.t, text, pairs...)
}

// EveryCommand demands that the test takes every command of ours that stands in a sentence, but
// for those that it leaves, each with the reason.
func (g *Guide) EveryCommand(left map[string]string) { g.commands, g.left = true, left }

func (g *Guide) end() {
	g.t.Helper()
	if g.t.Failed() || g.t.Skipped() {
		return
	}
	for _, f := range Fates(g.t) {
		if f.Guide == g.name && f.Test == g.t.Name() && f.Block != WholeText && !g.taken[f.Block] {
			g.t.Errorf("%s: nothing became of the block %q, which fates.txt promises", g.name, f.Block)
		}
	}
	if !g.commands {
		return
	}
	all := Sentences(g.text)
	for _, c := range all {
		if !g.taken[c] && len(g.left[c]) < 10 {
			g.t.Errorf("%s says `%s`, which the test neither gives nor leaves with a reason", g.name, c)
		}
	}
	for c := range g.left {
		if !slices.Contains(all, c) || g.taken[c] {
			g.t.Errorf("%s: `%s` is left, and stands there no more, or is given", g.name, c)
		}
	}
}

var span = regexp.MustCompile("`(sallyport\\s[^`]+)`")

// Sentences returns each command of ours that stands in the sentences of a text, with one blank where
// there are several.
func Sentences(text string) (all []string) {
	for _, m := range span.FindAllStringSubmatch(outside(text), -1) {
		all = append(all, folded(m[1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// outside is a text without its blocks.
func outside(text string) string {
	var b strings.Builder
	in := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimLeft(line, " "), "```") {
			in = !in
		} else if !in {
			b.WriteString(line)
		}
	}
	return b.String()
}

func folded(text string) string { return strings.Join(strings.Fields(text), " ") }

func block(language string, n int) string {
	if language == "" {
		language = "-"
	}
	return language + " " + strconv.Itoa(n)
}

// Blocks names all blocks of a text: the language behind the fence, or -, and the number among its kind.
func Blocks(text string) (all []string) {
	n := map[string]int{}
	in := false
	for line := range strings.Lines(text) {
		mark, fence := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		if fence && !in {
			language := strings.TrimSpace(mark)
			all = append(all, block(language, n[language]))
			n[language]++
		}
		in = in != fence
	}
	return all
}

// WholeText stands for a guide's sentences in fates.txt.
const WholeText = "text"

// Fate is what becomes of a block of a guide.
type Fate struct {
	Guide, Block string
	What         string // run, file, or none
	Folder, Test string // which does it
	Why          string // nothing does
}

// Fates reads fates.txt.
func Fates(t testing.TB) (all []Fate) {
	t.Helper()
	list, err := os.ReadFile("../guide/fates.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cols := strings.SplitN(line, " | ", 4)
		if len(cols) != 4 {
			t.Fatalf("this is no fate: %s", line)
		}
		f := Fate{Guide: cols[0], Block: cols[1], What: cols[2]}
		if f.What == "none" {
			f.Why = cols[3]
		} else {
			f.Folder, f.Test, _ = strings.Cut(cols[3], " ")
		}
		all = append(all, f)
	}
	return all
}
