package access

import (
	"strconv"
	"strings"
)

// Place is where an address belongs. What is not known is zero.
type Place struct {
	AS      uint32
	Country string // two capital letters, ISO 3166
}

// ParseAS reads "AS64500" or "64500".
func ParseAS(text string) (uint32, bool) {
	if len(text) > 2 && strings.EqualFold(text[:2], "as") {
		text = text[2:]
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n > 0
}

// IsCountry reports whether a text is the code of a country in form: two capital letters.
func IsCountry(text string) bool {
	return len(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z'
}
