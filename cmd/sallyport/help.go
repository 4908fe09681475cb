package main

import (
	"errors"

	"github.com/alecthomas/kong"
)

// asked turns the common ways to ask for help or the version into ours: "help", "help
// queue ls", "--version".
func asked(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
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
