package verdict

import (
	"fmt"
	"strings"
	"time"
)

// soon is how near the end of a certificate is told.
const soon = 14 * 24 * time.Hour

// numbers are written as words up to twelve.
var numbers = [...]string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}

func inWords(n int) string {
	if n < len(numbers) {
		return numbers[n]
	}
	return fmt.Sprint(n)
}

// Summary says in one line how many servers of a run do what: "five servers, two relay".
func Summary(all []Result) string {
	count := map[Relay]int{}
	refused := 0
	for _, r := range all {
		if r.Server.Refused != "" {
			refused++
			continue
		}
		count[r.Relay]++
	}
	words := []string{inWords(len(all)) + plural(len(all), " server", " servers"), "none relays"}
	if n := count[Open]; n > 0 {
		words[1] = inWords(n) + plural(n, " relays", " relay")
	}
	for _, w := range []struct {
		n         int
		one, many string
	}{
		{count[Closed], " is closed", " are closed"},
		{count[CantTell], " can't be told without --deliver", " can't be told without --deliver"},
		{count[Unreached], " was not reached", " were not reached"},
		{refused, " was not audited", " were not audited"},
	} {
		if w.n > 0 {
			words = append(words, inWords(w.n)+plural(w.n, w.one, w.many))
		}
	}
	return strings.Join(words, ", ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Code is the exit code of a run: 1 if a server relays or has another hole, else 2 if one could
// not be audited or its relaying not be told, else 0. strict counts weaknesses as holes.
func Code(all []Result, strict bool) int {
	code := 0
	for _, r := range all {
		worst := r.Worst()
		switch {
		case r.Relay == Open, worst == Hole, strict && worst == Weakness:
			return 1
		case r.Relay == CantTell, r.Relay == Unreached: // also one that was not audited
			code = 2
		}
	}
	return code
}
