package main

import (
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// helpWidth is how long a line of an example may be, so that help fits 80 columns, and a man
// page too, which indents it.
const helpWidth = 73

// fitExamples folds the examples below a node that are too long; paragraphs are folded
// where they are printed.
func fitExamples(n *kong.Node) {
	lines := strings.Split(n.Detail, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "  ") {
			lines[i] = fitExample(l)
		}
	}
	n.Detail = strings.Join(lines, "\n")
	for _, c := range n.Children {
		fitExamples(c)
	}
}

// fitExample folds one line. First what stands behind the command comes nearer, then it
// stands above, and a command that is still too long goes on behind a backslash.
func fitExample(line string) string {
	if fits(line) {
		return line
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	command, about := line[len(indent):], ""
	// Three blanks part a command from what it does.
	if before, after, found := strings.Cut(command, "   "); found {
		command, about = before, strings.TrimLeft(after, " ")
	}
	if near := indent + command + "  " + about; about != "" && fits(near) {
		return near
	}
	var out []string
	if about != "" {
		out = append(out, indent+"# "+about)
	}
	now := indent
	for i, word := range strings.Split(command, " ") {
		switch {
		case i == 0:
			now += word
		case !fits(now + " " + word + ` \`):
			out = append(out, now+` \`)
			now = indent + "    " + word
		default:
			now += " " + word
		}
	}
	return strings.Join(append(out, now), "\n")
}

func fits(line string) bool { return utf8.RuneCountInString(line) <= helpWidth }
