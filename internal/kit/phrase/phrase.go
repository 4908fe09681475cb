// Package phrase generates random passwords that people can copy by hand.
//
// It promises that they are of ASCII letters and digits that none takes for another, in
// groups with a hyphen between them, and that each letter is worth five bits.
package phrase

import (
	"fmt"
	"io"
	"strings"
)

const (
	// letters have none that look alike, and no blank that a form would cut off. A power of
	// two of them lets each octet of chance choose one evenly.
	letters = "abcdefghijkmnpqrstuvwxyz23456789"
	// group letters stand together.
	group = 6
)

// New returns a password of n letters, from a source of chance.
func New(rnd io.Reader, n int) (string, error) {
	octets := make([]byte, n)
	if _, err := io.ReadFull(rnd, octets); err != nil {
		return "", fmt.Errorf("phrase: reading random octets: %w", err)
	}
	var b strings.Builder
	for i, o := range octets {
		if i > 0 && i%group == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[int(o)%len(letters)])
	}
	return b.String(), nil
}
