package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"sallyport/internal/mail"
)

// namedConfig is the configuration that the command line names, "" where it names none: then the next
// command finds the same one by itself.
func namedConfig(parsed *kong.Context) string {
	for _, p := range parsed.Path {
		if p.Flag != nil && isConfig(p.Flag) {
			if file, ok := parsed.FlagValue(p.Flag).(string); ok {
				return file
			}
		}
	}
	return ""
}

func isConfig(f *kong.Flag) bool { return f.Name == "config" }

// commandsFor is what names a configuration in the letters of its server; nil where it is found without.
func commandsFor(file string) func(text string) string {
	path, err := filepath.Abs(file)
	if err != nil || path == defaultConfig {
		return nil
	}
	return console{config: path}.again
}

// again returns a text of ours in which each command of this program names the configuration that this one
// was given, so that it can be pasted.
func (c console) again(text string) string { return c.withConfig(text, mail.ShellWord(c.config)) }

// againIn does the same in a format.
func (c console) againIn(format string) string {
	return c.withConfig(format, strings.ReplaceAll(mail.ShellWord(c.config), "%", "%%"))
}

func (c console) withConfig(text, file string) string {
	const name = "sallyport "
	if c.config == "" || !strings.Contains(text, name) {
		return text
	}
	parts := strings.Split(text, name)
	for i, part := range parts[1:] {
		n := commandWords(part)
		if rest := part[n:]; n > 0 && !strings.HasPrefix(rest, " --help") && !strings.HasPrefix(rest, " -c ") {
			parts[i+1] = part[:n] + " -c " + file + rest
		}
	}
	return strings.Join(parts, name)
}

// commandWords is how many octets at the begin of a text are the words of a command that reads a
// configuration; 0 where there is none.
func commandWords(text string) int {
	word := wordAt(text)
	if !slices.ContainsFunc(commands(), func(c command) bool { return c.name == word }) {
		return 0
	}
	parser, err := grammar(askedFor([]string{word}))
	if err != nil {
		return 0 // it was built before, and this is a hint alone
	}
	node, n := parser.Model.Node, 0
	for at := 0; ; at = n + 1 {
		word := wordAt(text[min(at, len(text)):])
		i := slices.IndexFunc(node.Children, func(c *kong.Node) bool { return c.Name == word })
		if i < 0 {
			break
		}
		if node, n = node.Children[i], at+len(word); n == len(text) || text[n] != ' ' {
			break
		}
	}
	if !slices.ContainsFunc(node.Flags, isConfig) {
		return 0
	}
	return n
}

// wordAt is the word of a command at the begin of a text.
func wordAt(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') })
	if end < 0 {
		return text
	}
	return text[:end]
}
