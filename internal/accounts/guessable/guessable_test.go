package guessable

import (
	"sort"
	"strings"
	"testing"
)

func TestWhy(t *testing.T) {
	names := []string{"alice.liddell@wonderland.example", "mx.wonderland.example"}
	for why, passwords := range map[string][]string{
		"it is made of too few different characters":            {"aaaaaaaaaaaa", "abababababab", "11112222", "aaaabbbb1111", "        "},
		"it is a row of letters or digits":                      {"abcdefghijkl", "87654321", "12345678", "qwertyuiop", "asdfghjkl", "1qaz2wsx3edc", "abcd1234", "ZYXWVUTS", "poiuytrewq", "aaaa1234"},
		"it is one of the passwords that everybody tries first": {"password1", "Password", "PASSWORD123!", "p@ssw0rd", "trustno1", "sunshine99", "letmein!!", "iloveyou", "dragon2026", "wonderland1", "Alice-2026", "Passw0rd1"},
		"it repeats itself":                                     {"abcxyzabcxyz", "k7d2xk7d2xk7d2x", "sunshinesunshine"},
		"it is made of the account's own name":                  {"alice.liddell", "liddell2026", "alicewonderland", "xwonderlandx"},
		"":                                                      {"correct horse battery staple", "wonderland & looking-glass", "mflfhwb9cjk", "k7d2-x9qm-w3rt-z8vb", "alice in a garden of flowers", "Tr0ub4dor&3", "fünf Äpfel im Korb", "zyxqjkvb"},
	} {
		for _, p := range passwords {
			if got := Why(p, names...); got != why {
				t.Errorf("%q: %q, want %q", p, got, why)
			}
		}
	}
}

// Every line of the list is found, and what lies between two is not.
func TestTheListIsSearched(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(common, "\n"), "\n")
	if len(lines) < 15000 || !sort.StringsAreSorted(lines) {
		t.Fatalf("%d lines, sorted %v", len(lines), sort.StringsAreSorted(lines))
	}
	for _, line := range lines {
		if !listed(line) {
			t.Fatalf("%q is not found", line)
		}
		if listed(line + "\x01") {
			t.Fatalf("%q is found", line+"\x01")
		}
	}
	for _, no := range []string{"", "\n", "zzzzzzzzzzzzzzzz", "\x00\x00\x00\x00"} {
		if listed(no) {
			t.Errorf("%q is found", no)
		}
	}
}
