package arch

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// An RFC that the code cites has a row in the index, so that the index can't fall
// behind.
func TestEveryCitedRFCIsIndexed(t *testing.T) {
	index, err := os.ReadFile("../../docs/rfc-index.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, line := range strings.Split(string(index), "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			expand(rows, cells[1])
		}
	}
	cite := regexp.MustCompile(`RFC (\d{3,5})\b`)
	found := 0
	for _, s := range sources(t) {
		text, err := os.ReadFile("../../" + s.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range cite.FindAllStringSubmatch(string(text), -1) {
			found++
			if !rows[m[1]] {
				t.Errorf("%s cites RFC %s, which docs/rfc-index.md does not list", s.path, m[1])
				rows[m[1]] = true // once is enough
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d citations found", found)
	}
}

// expand reads "5890 to 5892" and "2034, 3463" into rows.
func expand(rows map[string]bool, cell string) {
	number := regexp.MustCompile(`\d{3,5}`)
	all := number.FindAllString(cell, -1)
	for _, n := range all {
		rows[n] = true
	}
	if len(all) == 2 && strings.Contains(cell, " to ") {
		for n := all[0]; len(n) == len(all[1]) && n < all[1]; n = next(n) {
			rows[n] = true
		}
	}
}

func next(n string) string {
	b := []byte(n)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] <= '9' {
			break
		}
		b[i] = '0'
	}
	return string(b)
}
