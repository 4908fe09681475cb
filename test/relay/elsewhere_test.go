package relay

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/relayaudit"
)

// catalogue is how many rows the catalogue of relay and hijack cases has.
const catalogue = 275

// Every row of the catalogue is in the table, or is tried by a test that there is, or does not
// apply for a reason.
func TestEveryRowHasItsPlace(t *testing.T) {
	cases, err := relayaudit.Cases()
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`^[A-N]\d\d`)
	table, rows := map[string]bool{}, map[string]bool{}
	for _, c := range cases {
		table[c.ID] = true
		if row := number.FindString(c.ID); row != "" {
			table[row], rows[row] = true, true
		}
	}
	list, err := os.ReadFile("elsewhere.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cols := strings.Split(line, " | ")
		if len(cols) != 3 || number.FindString(cols[0]) != cols[0] {
			t.Errorf("this is no row: %s", line)
			continue
		}
		if rows[cols[0]] {
			t.Errorf("%s stands twice, or in the table as well", cols[0])
		}
		rows[cols[0]] = true
		if reason, none := strings.CutPrefix(cols[2], "none: "); none {
			if len(reason) < 20 {
				t.Errorf("%s does not apply, and nothing says why", cols[0])
			}
			continue
		}
		for place := range strings.SplitSeq(cols[2], ", ") {
			there(t, table, cols[0], place)
		}
	}
	if len(rows) != catalogue {
		t.Errorf("%d rows have a place, and the catalogue has %d", len(rows), catalogue)
	}
}

// there reports a place of a row that is none.
func there(t *testing.T, table map[string]bool, row, place string) {
	t.Helper()
	if in, ok := strings.CutPrefix(place, "row "); ok {
		if !table[in] {
			t.Errorf("%s: the table has no row %s", row, in)
		}
		return
	}
	folder, test, _ := strings.Cut(place, " ")
	files, err := filepath.Glob(filepath.Join("..", "..", folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s: there are no tests in %s", row, folder)
		return
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(t *testing.T) {") {
			return
		}
	}
	t.Errorf("%s: there is no test %s in %s", row, test, folder)
}
