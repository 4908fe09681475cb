package main

import (
	"fmt"

	"sallyport/internal/guess"
	"sallyport/internal/kit/words"
)

// guessed says in one line what was tried at an account that somebody guesses at.
func guessed(r guess.Report) string {
	networks := words.Count(len(r.Sources), "network")
	if r.Others > 0 {
		networks = fmt.Sprintf("more than %d networks", len(r.Sources))
	}
	return fmt.Sprintf("%s and %s since %s, from %s", words.Count(r.Wrong, "wrong password"),
		words.Count(r.Refused, "refused attempt"), moment(r.Since), networks)
}

// tellGuesses tells the same of one account, and from where.
func tellGuesses(c console, r guess.Report) {
	c.prose("being guessed at  %s; last at %s\n", guessed(r), moment(r.Last))
	for _, s := range firsts(r.Sources) {
		known := ""
		if s.Known {
			known = ", from where it signs in itself"
		}
		c.prose("                  %s from %s%s\n", words.Count(s.Tries, "attempt"), s.Network, known)
	}
}
