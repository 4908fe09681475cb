package main

import (
	"errors"
	"strings"

	"github.com/alecthomas/kong"

	"sallyport/internal/mail"
)

// asked turns the common ways to ask for help or the version into ours: "help", "help
// queue ls", "--version".
func asked(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help" && len(args) > 1 && args[1] == "help":
		return asked(args[1:]) // of help there is what it shows
	case args[0] == "help":
		return append(args[1:len(args):len(args)], "--help")
	case len(args) == 1 && args[0] == "--version":
		return []string{"version"}
	}
	return args
}

// groupAlone reports whether a command was refused because it only names a group of
// others, and nothing of what was typed is wrong.
func groupAlone(err error) bool {
	var refused *kong.ParseError
	if !errors.As(err, &refused) {
		return false
	}
	// What follows the last command that was understood would stand behind it.
	path := refused.Context.Path
	if len(path) != len(refused.Context.Args)+1 {
		return false
	}
	last := path[len(path)-1].Command
	return last != nil && len(last.Children) > 0
}

// tryHelp names the help that goes with what was not understood: that of the command that was understood
// before it, and of a group of commands the words that may stand there.
func tryHelp(err error) string {
	words := []string{"sallyport"}
	var last *kong.Command
	var refused *kong.ParseError
	if errors.As(err, &refused) {
		for _, p := range refused.Context.Path {
			if p.Command != nil {
				last = p.Command
				words = append(words, last.Name)
			}
		}
	}
	line := strings.Join(words, " ")
	text := "Try: " + line + " --help"
	if last == nil || len(last.Children) == 0 {
		return text
	}
	var names []string
	for _, child := range last.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return "Behind " + line + " stands one of: " + strings.Join(names, ", ") + "\n" + text
}

// configFirst reports whether a command line begins with the configuration, as other programs
// have it.
func configFirst(args []string) bool {
	return strings.HasPrefix(args[0], "-c") || args[0] == "--config" || strings.HasPrefix(args[0], "--config=")
}

// configAlone is a line that says how a configuration is named, where the command line has one
// without the flag; else nothing.
func configAlone(err error) string {
	_, file, found := strings.Cut(err.Error(), "unexpected argument ")
	if file, _, _ = strings.Cut(file, ", did you mean"); !found || !strings.HasSuffix(file, ".toml") {
		return ""
	}
	return "The configuration is named with -c: -c " + mail.ShellWord(file) + "\n"
}
