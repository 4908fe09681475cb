package walk

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// section is what stands below one heading of a document.
type section struct {
	title  string
	blocks []string // as they are printed, without their fences
	spans  []string // code within sentences
	text   string
}

// sections reads a document.
func sections(t *testing.T, file string) (all []*section) {
	t.Helper()
	text, err := os.ReadFile("../../" + file)
	must(t, err)
	at := &section{}
	all = append(all, at)
	var block *strings.Builder
	for line := range strings.Lines(string(text)) {
		fence := strings.HasPrefix(line, "```")
		switch title, heading := strings.CutPrefix(line, "## "); {
		case fence && block == nil:
			block = &strings.Builder{}
		case fence:
			at.blocks, block = append(at.blocks, block.String()), nil
		case block != nil:
			block.WriteString(line)
		case heading:
			at = &section{title: strings.TrimSpace(title)}
			all = append(all, at)
		default:
			at.text += line
		}
	}
	for _, s := range all {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(s.text, -1) {
			s.spans = append(s.spans, strings.Join(strings.Fields(m[1]), " "))
		}
	}
	return all
}

// shown is a command that a block shows behind "$ ", with what stands below it.
type shown struct {
	command string
	output  []string
}

// commands returns what a section's blocks show as typed.
func (s *section) commands() (all []shown) {
	for _, b := range s.blocks {
		typed := false
		for line := range strings.Lines(b) {
			line = strings.TrimRight(line, "\n")
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				command, _, _ = strings.Cut(command, "  #")
				all, typed = append(all, shown{command: strings.TrimSpace(command)}), true
			} else if typed && line != "" {
				last := &all[len(all)-1]
				last.output = append(last.output, line)
			}
		}
	}
	return all
}

// programs are those whose call in a sentence is a command to be followed.
var programs = []string{"sallyport", "df", "ss", "fuser", "openssl", "zstd", "dig", "time", "namei", "whois"}

// asked returns every command of a section that a reader is told to give. A command named
// without what it needs is a way to speak about it, and one with an ellipsis is a form.
func (s *section) asked() (all []string) {
	for _, c := range s.commands() {
		all = append(all, c.command)
	}
	for _, span := range s.spans {
		name, rest, _ := strings.Cut(span, " ")
		if rest != "" && slices.Contains(programs, name) && !strings.Contains(span, "…") {
			all = append(all, span)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

var (
	figures = regexp.MustCompile(`[\[\]/\w.:-]*\d[\[\]/\w.:-]*`)
	units   = regexp.MustCompile(`# (B|KB|MB|GB|TB)\b`)
	blanks  = regexp.MustCompile(`\s+`)
)

// form is a line without its figures, in which two outputs of one command differ.
func form(line string) string {
	line = blanks.ReplaceAllString(strings.TrimSpace(line), " ")
	return units.ReplaceAllString(figures.ReplaceAllString(line, "#"), "# of octets")
}

// forms are those of all lines of an output.
func forms(output string) (all []string) {
	for line := range strings.Lines(output) {
		all = append(all, form(line))
	}
	return all
}
