package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"sallyport/internal/mail"
)

// printJSON writes v as one line.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table aligns columns; its rows are held until flush or 500 of them.
type table struct {
	w    *tabwriter.Writer
	rows int
}

const tableRows = 500

func newTable(w io.Writer, heads ...string) *table {
	t := &table{w: tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	t.row(heads...)
	return t
}

// row writes one row. An error of the output shows when it is flushed.
func (t *table) row(cells ...string) {
	shown := make([]string, len(cells))
	for i, s := range cells {
		// Two blanks part columns; none of ours holds them.
		if shown[i] = mail.Shown(s); strings.Contains(shown[i], "  ") {
			shown[i] = mail.Word(s)
		}
	}
	fmt.Fprintln(t.w, strings.Join(shown, "\t"))
	if t.rows++; t.rows%tableRows == 0 {
		_ = t.w.Flush()
	}
}

func (t *table) flush() error { return t.w.Flush() }

// moment writes a time for people, in their zone.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// dash stands for nothing.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// plural writes "1 message", "2 messages".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
