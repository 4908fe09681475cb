package config

import "testing"

// TestNearest shows which key a slip of the keyboard is taken for.
func TestNearest(t *testing.T) {
	for _, c := range []struct {
		name  string
		slips int
		want  string
	}{
		{"bat", 1, "cat"}, // the first of two that are as near
		{"hta", 2, "hat"}, // the nearest, wherever it stands
		{"HAT", 0, "hat"},
		{"dog", 2, ""},
	} {
		if got := nearest(c.name, []string{"cat", "hat"}, c.slips); got != c.want {
			t.Errorf("nearest(%q, %d): %q, want %q", c.name, c.slips, got, c.want)
		}
	}
}

// TestAnotherTable shows that a short word is not taken for a key of another table that
// means something else.
func TestAnotherTable(t *testing.T) {
	for name, want := range map[string]string{
		"loops":      "", // two slips from limits.hops
		"hop":        "",
		"recipients": `did you mean "recipients"? It belongs to [domain."…"] or [limits]`,
		"recipinets": `did you mean "recipients"? It belongs to [domain."…"] or [limits]`,
		"hostname":   `did you mean "hostname"? It stands above every [table]`,
		"deliver":    `did you mean "deliver"? It belongs to [domain."…"]`,
	} {
		if got := ofAnotherTable(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
