package wire

import (
	"slices"
	"strings"
)

// Capabilities is what a server offered in its reply to EHLO: keywords in capitals
// with their parameters. The zero value offers nothing.
type Capabilities struct{ lines []capability }

type capability struct {
	keyword string
	params  []string
}

// maxCapabilities bounds the keywords kept of one EHLO reply.
const maxCapabilities = 100

// ParseCapabilities reads the text of a 250 reply to EHLO, whose first line is the
// server's name. Lines that are no ehlo-line are left out, but for "AUTH=PLAIN LOGIN", as
// some write it. RFC 5321 §4.1.1.1.
func ParseCapabilities(text string) Capabilities {
	var c Capabilities
	_, text, _ = strings.Cut(text, "\n")
	for line := range strings.SplitSeq(text, "\n") {
		const auth, old = "AUTH ", "AUTH="
		if len(line) > len(old) && strings.EqualFold(line[:len(old)], old) {
			line = auth + line[len(old):]
		}
		words := strings.Fields(line)
		if len(words) == 0 || !isKeyword(words[0]) || len(c.lines) == maxCapabilities {
			continue
		}
		c.lines = append(c.lines, capability{keyword: strings.ToUpper(words[0]), params: words[1:]})
	}
	return c
}

// Has reports whether the keyword, in capitals, was offered.
func (c Capabilities) Has(keyword string) bool {
	_, ok := c.Params(keyword)
	return ok
}

// Params returns the parameters of the lines with the keyword, in capitals: most have one.
func (c Capabilities) Params(keyword string) (params []string, ok bool) {
	for _, l := range c.lines {
		if l.keyword == keyword {
			params, ok = append(params, l.params...), true
		}
	}
	return params, ok
}

// Without returns c without the lines of the keywords, in capitals.
func (c Capabilities) Without(keywords ...string) Capabilities {
	var out Capabilities
	for _, l := range c.lines {
		if !slices.Contains(keywords, l.keyword) {
			out.lines = append(out.lines, l)
		}
	}
	return out
}
