package config

import (
	"maps"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Naming returns the keys whose value, or a part of it, is an address that is meant: what the
// file would have to be changed in if that address were another one. They come in the order
// of the file.
func (c Config) Naming(meant func(mail.Address) bool) (all []Fault) {
	for _, key := range slices.Sorted(maps.Keys(c.written)) {
		for _, line := range strings.Split(strings.Trim(c.written[key], "[]"), "\n") {
			text, ok := strings.CutPrefix(line, saidString)
			if a, err := mail.ParseAddress(text, mail.UTF8); ok && err == nil && meant(a) {
				all = append(all, Fault{Position: c.At(key), Text: key, Message: "it names " + a.String()})
				break
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Fault) int { return a.Position.Line - b.Position.Line })
	return all
}
