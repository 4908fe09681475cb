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

// A row says where the RFC is followed, in folders that there are; and what the code cites
// cannot be said to be missing.
func TestTheIndexSaysWhatTheCodeDoes(t *testing.T) {
	rooms := readRooms(t)
	cited := citations(t)
	rows := 0
	for _, line := range strings.Split(read(t, "../../docs/rfc-index.md"), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.ContainsAny(cells[1], "0123456789") {
			continue
		}
		rows++
		numbers := map[string]bool{}
		expand(numbers, cells[1])
		followed := strings.TrimSpace(cells[3])
		for n := range numbers {
			if cited[n] && !strings.HasPrefix(followed, "yes") && !strings.HasPrefix(followed, "partly") {
				t.Errorf("the code cites RFC %s, and the index says %q", n, followed)
			}
		}
		for _, where := range strings.Split(cells[4], ",") {
			where = strings.TrimSpace(where)
			if _, ok := rooms[where]; !ok && !strings.HasPrefix(where, "crypto/") && strings.HasPrefix(followed, "yes") {
				t.Errorf("RFC %s is said to be followed in %q, which is no folder", strings.TrimSpace(cells[1]), where)
			}
		}
	}
	if rows < 70 {
		t.Errorf("only %d rows", rows)
	}
}

// citations are the RFCs that the code cites.
func citations(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	cite := regexp.MustCompile(`RFC (\d{3,5})\b`)
	for _, s := range sources(t) {
		for _, m := range cite.FindAllStringSubmatch(read(t, "../../"+s.path), -1) {
			out[m[1]] = true
		}
	}
	return out
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
