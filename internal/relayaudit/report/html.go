package report

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var page string

// HTML writes the report as one page that loads nothing and runs nothing.
func (r Run) HTML(w io.Writer) error {
	t, err := template.New("audit").Funcs(template.FuncMap{
		"join":  func(words []string) string { return strings.Join(words, ", ") },
		"forms": func(d Door) string { return d.forms() },
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
