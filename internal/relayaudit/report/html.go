package report

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed page.html
var page string

// HTML writes the report as one page that loads nothing and runs nothing.
func (r Run) HTML(w io.Writer) error {
	t, err := template.New("audit").Funcs(template.FuncMap{
		"when":     when,
		"sentence": func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] + "." },
		"join":     func(words []string) string { return strings.Join(words, ", ") },
		"forms":    func(d Door) string { return d.forms() },
		"count": func(s Server, grade string) (n int) {
			for _, f := range s.Findings {
				if f.Grade == grade {
					n++
				}
			}
			return n
		},
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// when writes a time of RFC 3339 for people.
func when(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return t.UTC().Format("2 January 2006, 15:04 UTC")
}
