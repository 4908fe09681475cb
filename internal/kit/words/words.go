// Package words puts counts into sentences for people. It knows the nouns that this server counts,
// which end in the plural as most English nouns do.
package words

import (
	"fmt"
	"strings"
)

// Count writes "1 message", "2 messages", "0 aliases", "3 entries". Of a noun of several words
// the last one gets the ending.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %s", n, many(noun))
}

// Are writes the verb behind a count: "1 message is", "2 messages are".
func Are(n int, noun string) string {
	if n == 1 {
		return Count(n, noun) + " is"
	}
	return Count(n, noun) + " are"
}

func many(noun string) string {
	stem, y := strings.CutSuffix(noun, "y")
	switch {
	case y && !strings.ContainsAny(stem[max(len(stem)-1, 0):], "aeiou"):
		return stem + "ies"
	case strings.HasSuffix(noun, "s") || strings.HasSuffix(noun, "x") || strings.HasSuffix(noun, "ch"):
		return noun + "es"
	}
	return noun + "s"
}
