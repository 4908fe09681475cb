package mailbox

import (
	"slices"
	"strconv"
	"strings"
)

// A file name is BASE[:2,LETTERS[,MORE]]. The base is what tells one message from another;
// other programs put fields of their own behind a comma into it, and rename files to do so.

// split parts a name before its first colon, where the information begins.
func split(file string) (base, info string) {
	base, info, ok := strings.Cut(file, ":")
	if ok {
		info = ":" + info
	}
	return base, info
}

// identity returns the base without the fields that programs add and take away: UIDs of mbsync
// and Courier (,U=), of GNU mailutils (,u=), of offlineimap (,FMD5=), and the sizes (,S=, ,W=).
func identity(file string) string {
	base, _ := split(file)
	if !strings.Contains(base, ",") {
		return base
	}
	var b strings.Builder
	for i, field := range strings.Split(base, ",") {
		name, _, ok := strings.Cut(field, "=")
		if i > 0 && ok && slices.Contains([]string{"U", "u", "S", "W", "FMD5"}, name) {
			continue
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(field)
	}
	return b.String()
}

// lettersOf returns the flag letters of a name and what follows them. A name without ":2," has
// none.
func lettersOf(file string) (flags, more string) {
	_, info := split(file)
	flags, ok := strings.CutPrefix(info, ":2,")
	if !ok {
		return "", ""
	}
	flags, more, ok = strings.Cut(flags, ",")
	if ok {
		more = "," + more
	}
	return flags, more
}

// withLetters returns the name with other letters; what follows a second comma stays.
func withLetters(file, flags string) string {
	base, _ := split(file)
	_, more := lettersOf(file)
	sorted := slices.Sorted(slices.Values([]byte(flags)))
	return base + ":2," + string(slices.Compact(sorted)) + more
}

// systemOf returns the system flags that letters stand for.
func systemOf(flags string) (s System) {
	for i := range len(letters) {
		if strings.IndexByte(flags, letters[i]) >= 0 {
			s |= ofLetter[i]
		}
	}
	return s
}

// keywordLetters says what the letters a to z stand for in a folder, as Dovecot notes it in
// dovecot-keywords; the zero value says nothing.
type keywordLetters [26]string

// read takes the lines "NUMBER KEYWORD" of dovecot-keywords.
func (k *keywordLetters) read(text string) {
	for line := range strings.Lines(text) {
		number, word, ok := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.Atoi(number)
		if ok && err == nil && n >= 0 && n < len(k) && IsKeyword(word) {
			k[n] = word
		}
	}
}

// letter returns the letter of a keyword in this folder, or 0.
func (k *keywordLetters) letter(word string) byte {
	if strings.EqualFold(word, Forwarded) {
		return 'P'
	}
	for i, w := range k {
		if w != "" && strings.EqualFold(w, word) {
			return 'a' + byte(i)
		}
	}
	return 0
}

// word returns the keyword of a letter, or "".
func (k *keywordLetters) word(letter byte) string {
	switch {
	case letter == 'P':
		return Forwarded
	case 'a' <= letter && letter <= 'z':
		return k[letter-'a']
	}
	return ""
}

// IsKeyword reports whether a text can be a keyword: an atom of RFC 9051 §9 of at most
// 100 octets that begins with no backslash.
func IsKeyword(s string) bool {
	if s == "" || len(s) > maxKeyword {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// maxKeyword is how long a keyword may be, in octets.
const maxKeyword = 100

// name returns the name that a file gets for flags, and keeps the letters that nobody here
// understands.
func (k *keywordLetters) name(file string, f Flags) string {
	have, _ := lettersOf(file)
	var out []byte
	for i := range len(have) {
		if c := have[i]; strings.IndexByte(letters, c) < 0 && k.word(c) == "" {
			out = append(out, c)
		}
	}
	for i := range len(letters) {
		if f.Has(ofLetter[i]) {
			out = append(out, letters[i])
		}
	}
	for w := range strings.FieldsSeq(f.words) {
		if c := k.letter(w); c != 0 {
			out = append(out, c)
		}
	}
	return withLetters(file, string(out))
}

// merged returns the flags of a message whose file was renamed by others: its system flags are
// what the name says, and a keyword whose letter came or went comes or goes.
func (k *keywordLetters) merged(have Flags, was, is string) Flags {
	before, _ := lettersOf(was)
	after, _ := lettersOf(is)
	f := Flags{System: systemOf(after), words: have.words}
	for _, c := range []byte(after) {
		if w := k.word(c); w != "" && strings.IndexByte(before, c) < 0 {
			f = f.With(NewFlags(0, w))
		}
	}
	for _, c := range []byte(before) {
		if w := k.word(c); w != "" && strings.IndexByte(after, c) < 0 {
			f = f.Without(NewFlags(0, w))
		}
	}
	return f
}

// age is how file names are put in order: the seconds they begin with, then the number behind
// M, as a number.
type age struct{ seconds, micros int64 }

func ageOf(file string) (a age) {
	seconds, rest, _ := strings.Cut(file, ".")
	a.seconds, _ = strconv.ParseInt(seconds, 10, 64)
	if digits, ok := strings.CutPrefix(rest, "M"); ok {
		end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(digits)
		}
		a.micros, _ = strconv.ParseInt(digits[:end], 10, 64)
	}
	return a
}
