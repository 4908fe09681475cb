package main

import (
	"io"
	"strings"
	"unicode/utf8"

	"sallyport/internal/mail"

	"golang.org/x/sys/unix"
)

// plainWidth is how many columns a terminal has that does not say it.
const plainWidth = 80

// table aligns columns; its rows are held until flush or tableRows of them. On a terminal
// what does not fit into its width follows on lines of its own, indented; anything else
// that reads it gets one line a row.
type table struct {
	w     io.Writer
	width int // columns of the terminal; 0: there is none
	heads []string
	rows  [][]string
	shown bool // the heads are written
}

// tableRows is how many rows are held back so that columns fit; later ones are as wide as those.
const tableRows = 500

func newTable(c console, heads ...string) *table {
	return &table{w: c.out, width: widthOf(c.out), heads: heads}
}

// widthOf returns how many columns the terminal has that w writes to; 0: it is none.
func widthOf(w io.Writer) int {
	f, ok := fileOf(w)
	if !ok || !isTerminal(f) {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return plainWidth
	}
	return int(size.Col)
}

// row takes one row. An error of the output shows when it is flushed.
func (t *table) row(cells ...string) {
	shown := make([]string, len(cells))
	for i, s := range cells {
		// Two blanks part columns; none of ours holds them.
		if shown[i] = mail.Shown(s); strings.Contains(shown[i], "  ") {
			shown[i] = mail.Word(s)
		}
	}
	t.rows = append(t.rows, shown)
	if len(t.rows) >= tableRows {
		_ = t.flush()
	}
}

// flushOr writes what none says in place of heads that have nothing below them.
func (t *table) flushOr(none string) error {
	if t.shown || len(t.rows) > 0 {
		return t.flush()
	}
	_, err := io.WriteString(t.w, none+"\n")
	return err
}

func (t *table) flush() error {
	rows := t.rows
	if !t.shown {
		rows = append([][]string{t.heads}, rows...)
	}
	t.rows, t.shown = nil, true
	_, err := io.WriteString(t.w, tabulate(rows, t.width))
	return err
}

// tabulate writes rows in aligned columns, two blanks apart; with a width, the columns
// that do not fit stand below their row, indented.
func tabulate(rows [][]string, width int) string {
	widths := columnWidths(rows)
	first := len(widths)
	if width > 0 {
		first = fitting(widths, width)
	}
	var b strings.Builder
	for _, row := range rows {
		end := min(first, len(row))
		for i, cell := range row[:end] {
			b.WriteString(cell)
			if i < end-1 {
				b.WriteString(strings.Repeat(" ", widths[i]+2-utf8.RuneCountInString(cell)))
			}
		}
		b.WriteByte('\n')
		if end < len(row) {
			b.WriteString(folded(strings.Join(row[end:], "  "), foldIndent, width))
		}
	}
	return b.String()
}

func columnWidths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// fitting returns how many columns fit into a line, at least one.
func fitting(widths []int, width int) int {
	used := 0
	for i, w := range widths {
		if used += w; used > width && i > 0 {
			return i
		}
		used += 2
	}
	return len(widths)
}

// foldIndent is what a line begins with that goes on with the one before.
const foldIndent = "    "

// folded breaks a text at blanks into lines of at most width columns, each with the
// indent. A word that is longer stands alone on its line. A width of 0 breaks nothing.
func folded(text, indent string, width int) string { return broken(indent, text, indent, width) }

// hung breaks a line likewise, which keeps its own indent; the lines that go on with it
// have another.
func hung(line, indent string, width int) string {
	text := strings.TrimLeft(line, " ")
	return broken(line[:len(line)-len(text)], text, indent, width)
}

func broken(begin, text, indent string, width int) string {
	var b strings.Builder
	line := begin
	for word := range strings.SplitSeq(text, " ") {
		switch {
		case strings.Trim(line, " ") == "":
			line += word
		case width > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent + word
		default:
			line += " " + word
		}
	}
	return b.String() + strings.TrimRight(line, " ") + "\n"
}

// foldedProse folds the lines of a text that are wider than the terminal. A line goes on
// below its value, where it has a name with two blanks behind it, else a little indented.
func foldedProse(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		if !ended || utf8.RuneCountInString(line) <= width || strings.Contains(line, `"`) {
			b.WriteString(line)
			if ended {
				b.WriteByte('\n')
			}
			continue
		}
		b.WriteString(hung(line, hangingIndent(line), width))
	}
	return b.String()
}

// widestName is how far to the right a value may begin below which its line goes on.
const widestName = 24

// zoneComment begins a comment in the notation of zone files.
const zoneComment = "; "

func hangingIndent(line string) string {
	if strings.HasPrefix(line, zoneComment) { // else what follows would be read as a record
		return zoneComment + foldIndent
	}
	begin := len(line) - len(strings.TrimLeft(line, " "))
	at := begin
	if i := strings.Index(line[begin:], "  "); i >= 0 {
		rest := line[begin+i:]
		at = begin + i + len(rest) - len(strings.TrimLeft(rest, " "))
	}
	if at == begin || at > widestName {
		at = begin + len(foldIndent)
	}
	return strings.Repeat(" ", at)
}
