package report

import (
	"fmt"
	"io"
	"strings"
)

// Text writes the report for a terminal. all: also notes, and how each is mended in every
// server; otherwise mending is told of holes and weaknesses.
func (r Run) Text(w io.Writer, all bool) error {
	var b strings.Builder
	for _, s := range r.Servers {
		s.text(&b, all)
	}
	fmt.Fprintf(&b, "%s\n", r.Summary)
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Server) text(b *strings.Builder, all bool) {
	fmt.Fprintf(b, "%s: %s\n", s.Asked, strings.ToUpper(s.Words))
	if s.Refused != "" {
		fmt.Fprintf(b, "  %s\n", s.Refused)
		for line := range strings.Lines(s.Advice) {
			fmt.Fprintf(b, "  %s\n", strings.TrimSuffix(line, "\n"))
		}
		b.WriteByte('\n')
		return
	}
	for _, d := range s.Doors {
		fmt.Fprintf(b, "  %s %s: %s: %s\n", d.At, d.Kind, d.Words, d.forms())
	}
	if s.Rows > 0 {
		fmt.Fprintf(b,
			"  As strict as sallyport in %d of %d forms, which is another question: a server may be laxer and closed.\n",
			s.AsStrict, s.Rows)
	}
	notes := 0
	for _, f := range s.Findings {
		if f.Grade == "note" && !all {
			notes++
			continue
		}
		f.text(b, all)
	}
	if notes > 0 {
		fmt.Fprintf(b, "  %d more to know: --all\n", notes)
	}
	b.WriteByte('\n')
}

func (f Finding) text(b *strings.Builder, all bool) {
	fmt.Fprintf(b, "\n  %s: %s\n", f.Words, strings.TrimSpace(f.Title+" "+f.Detail))
	fmt.Fprintf(b, "      at    %s\n", strings.Join(f.Doors, ", "))
	for _, x := range f.Said {
		fmt.Fprintf(b, "      sent  %s\n", x.Sent)
		fmt.Fprintf(b, "      back  %s\n", x.Back)
	}
	fmt.Fprintf(b, "      why   %s\n", f.Why)
	if !all && f.Grade != "hole" && f.Grade != "weakness" {
		return
	}
	for _, m := range f.Mend {
		fmt.Fprintf(b, "      mend  %s: %s\n", m.In, m.How)
	}
}
