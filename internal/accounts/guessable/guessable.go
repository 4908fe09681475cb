// Package guessable recognises passwords that others try first: common ones, rows of letters and
// digits, repetitions, and the names of the account itself.
//
// It follows NIST SP 800-63B §3.1.1.2: a password is compared with a list of common ones and
// with what the context gives away; which kinds of characters it has does not matter. It judges
// passwords that are being set and none that are typed.
package guessable

import (
	_ "embed" // for the list
	"sort"
	"strings"
	"unicode"
)

//go:embed common.txt
var common string

const (
	// leastTokens is how many unrelated characters a password has at least, a row of
	// neighbours counting as two.
	leastTokens = 6
	// leastKinds is how many different characters it has at least.
	leastKinds = 5
	// leastName is the length of a part of the account's name that is looked for.
	leastName = 3
	// leastListed is the length of the shortest word that is looked up: shorter ones are in most words.
	leastListed = 4
	// mostUnit is the longest part that spoils a password by being repeated, whatever it is; a
	// longer one does where it is common itself.
	mostUnit = 7
	// rows are the neighbours of keyboards; each reads both ways.
	rows = "qwertyuiop asdfghjkl zxcvbnm qwertzuiop yxcvbnm azertyuiop qsdfghjklm 1234567890 !@#$%^&*() 1qaz2wsx3edc4rfv5tgb6yhn7ujm 1q2w3e4r5t6y7u8i9o0p"
)

// Why says why a password is among the first that others try; "": it is not. names are what
// everybody knows of the account: its address, the host.
func Why(password string, names ...string) string {
	folded := strings.ToLower(password)
	switch {
	case kinds(folded) < leastKinds:
		return "it is made of too few different characters"
	case tokens(folded) < leastTokens:
		return "it is a row of letters or digits"
	case isCommon(folded):
		return "it is one of the passwords that everybody tries first"
	case repeats(folded):
		return "it repeats itself"
	}
	return whyOwn(folded, names)
}

// whyOwn judges what is left without the names that everybody knows, and without signs.
func whyOwn(folded string, names []string) string {
	left := folded
	for _, name := range names {
		parts := strings.FieldsFunc(strings.ToLower(name), isSign)
		for _, part := range append([]string{strings.ToLower(name)}, parts...) {
			if len(part) >= leastName {
				left = strings.ReplaceAll(left, part, "")
			}
		}
	}
	if left == folded {
		return ""
	}
	if left = strings.Join(strings.FieldsFunc(left, isSign), ""); tokens(left) < leastTokens || isCommon(left) {
		return "it is made of the account's own name"
	}
	return ""
}

func isSign(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// isCommon reports whether a password is in the list as it stands, or is once the digits
// and signs around it are taken off and those that stand for letters are read so.
func isCommon(folded string) bool {
	core := strings.TrimFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	tail := strings.TrimRightFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, p := range []string{folded, core, unleet(folded), unleet(tail)} {
		if listed(p) {
			return true
		}
	}
	return false
}

// unleet reads the digits and signs that are written for letters as those.
func unleet(s string) string {
	return strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i").Replace(s)
}

// listed looks a word up in the list, which is sorted by octets.
func listed(word string) bool {
	if len(word) < leastListed || strings.Contains(word, "\n") {
		return false
	}
	// An offset stands for the line that begins at or behind it.
	line := func(at int) (string, bool) {
		if at > 0 {
			next := strings.IndexByte(common[at-1:], '\n')
			if next < 0 {
				return "", false
			}
			at += next
		}
		if at >= len(common) {
			return "", false
		}
		text, _, _ := strings.Cut(common[at:], "\n")
		return text, true
	}
	at := sort.Search(len(common), func(at int) bool {
		text, ok := line(at)
		return !ok || text >= word
	})
	text, ok := line(at)
	return ok && text == word
}

// kinds counts the different characters.
func kinds(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// tokens counts characters, a row of three or more neighbours as two.
func tokens(s string) (n int) {
	runes := []rune(s)
	for i := 0; i < len(runes); {
		end := i + 1
		for end < len(runes) && neighbours(runes, i, end) {
			end++
		}
		if n++; end-i > 1 {
			n++
		}
		i = end
	}
	return n
}

// neighbours reports whether runes[from:to+1] goes on as a row: the same character again, the
// alphabet or the digits in one direction, or keys side by side.
func neighbours(runes []rune, from, to int) bool {
	step := runes[from+1] - runes[from]
	if step >= -1 && step <= 1 && runes[to]-runes[to-1] == step {
		return true
	}
	row := string(runes[from : to+1])
	return strings.Contains(rows, row) && !strings.Contains(row, " ") ||
		strings.Contains(rows, reversed(row)) && !strings.Contains(row, " ")
}

func reversed(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

// repeats reports whether the whole is a short or common part again and again.
func repeats(s string) bool {
	for unit := 1; unit <= len(s)/2; unit++ {
		if len(s)%unit == 0 && strings.Repeat(s[:unit], len(s)/unit) == s && (unit <= mostUnit || isCommon(s[:unit])) {
			return true
		}
	}
	return false
}
