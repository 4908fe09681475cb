package main

import (
	"os"
	"strings"
)

// Colours of what a person must look at, as a terminal takes them.
const (
	colourWrong   = "\x1b[31m" // red
	colourWarning = "\x1b[33m" // yellow
	colourEnd     = "\x1b[0m"
)

// wordsOfWarning are words of ours that begin a line about what is wrong, or may become so.
var wordsOfWarning = [...]struct{ word, colour string }{
	{"sallyport: ", colourWrong}, {"WRONG", colourWrong}, {"wrong", colourWrong}, {"FAULT", colourWrong},
	{"warning", colourWarning}, {"WARNING", colourWarning},
}

// wantsColour reports whether a file is a terminal whose reader has nothing against
// colours: https://no-color.org.
func wantsColour(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(f)
}

// marked returns how much of the begin of a line is one of our marks, and its colour. What
// stands in a fact of the trace behind the time of day is one, too.
func marked(line string) (begin, end int, colour string) {
	text := strings.TrimLeft(line, " ")
	begin = len(line) - len(text)
	if len(text) >= 10 && text[2] == ':' && text[5] == ':' && strings.HasPrefix(text[8:], " ALARM ") {
		return begin + 9, begin + 14, colourWrong
	}
	for _, m := range wordsOfWarning {
		if strings.HasPrefix(text, m.word) {
			return begin, begin + len(strings.TrimRight(m.word, ": ")), m.colour
		}
	}
	return 0, 0, ""
}
