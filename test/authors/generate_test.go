package authors

import (
	"math/rand/v2"
	"strings"
)

// generator makes header sections that name Alice, somebody else, or both in a way that
// programs may read differently.
type generator struct{ r *rand.Rand }

func (g generator) one(of ...string) string { return of[g.r.IntN(len(of))] }

func (g generator) chance(of int) bool { return g.r.IntN(of) == 0 }

const (
	own  = "alice@local.test"
	evil = "evil@remote.test"
)

// section is a whole header section.
func (g generator) section() string {
	var b strings.Builder
	if g.chance(20) {
		b.WriteString(g.one("From evil@remote.test Sat Nov  7 09:14:22 2026\r\n", ">From x\r\n", "From: ", "From "+evil+"\r\n "))
	}
	b.WriteString(g.field("From"))
	for _, name := range []string{"Sender", "Resent-From", "Resent-Sender", "From"} {
		if g.chance(6) {
			b.WriteString(g.field(name))
		}
	}
	b.WriteString("To: bob@local.test\r\nSubject: x\r\n")
	return b.String() + "\r\n"
}

func (g generator) field(name string) string {
	value := g.list()
	for g.chance(3) {
		value = g.mutated(value)
	}
	if g.chance(12) {
		value += g.one(",", ", ", ",\r\n ", ",,", ", ,", ",()", ";", " ; ", ";;", "; "+evil)
	}
	gap := ""
	if g.chance(25) {
		gap = g.one(" ", "\t")
	}
	if g.chance(25) {
		value += g.one("\r\n ", "\r\n \t\r\n \r\n ", "\r\n \r\n "+evil, "\r\n \r\n ("+evil+")")
	}
	return g.one(name, name, name, name, strings.ToUpper(name)) + gap + ":" + g.one(" ", " ", " ", "", "\t", "\r\n ") + value + "\r\n"
}

func (g generator) list() string {
	boxes := []string{g.box()}
	for g.chance(4) {
		boxes = append(boxes, g.box())
	}
	return strings.Join(boxes, g.one(", ", ",", ",\r\n ", " ,", "\r\n , ", ";", ",,"))
}

func (g generator) box() string {
	switch g.r.IntN(8) {
	case 0:
		return g.spec()
	case 1:
		return g.spec() + g.blank() + g.comment()
	case 2:
		return g.comment() + g.blank() + g.spec()
	case 3:
		return g.spec() + g.blank() + "<" + g.spec() + ">"
	case 4:
		return g.name() + g.blank() + "<" + g.spec() + ">" + g.blank() + g.comment()
	}
	return g.name() + g.blank() + "<" + g.spec() + ">"
}

func (g generator) spec() string {
	return g.one(own, own, own, own, own, own, own, own, "alice+x@local.test", "ALICE@Local.Test", `"alice"@local.test`, `"al\ice"@local.test`,
		`"alice+a b"@local.test`, `"alice+<evil@remote.test>"@local.test`, `"alice+,evil"@local.test`,
		`"alice+x"`+"@local.test", "alice+=?utf-8?q?x?=@local.test", "alice+'x@local.test",
		"alice+{x}|y@local.test", "alice @ local.test", "alice@(c)local.test", "alice(c)@local.test",
		"@remote.test:"+own, "alice+remote.test!evil@local.test", "alice+%evil@local.test",
		own, own, " "+own+" ", "alice@ local.test", "alice\r\n @\r\n local.test", "evil @remote.test",
		evil, "alice+ü@local.test", "alice@local.test.", "alice@[192.0.2.1]", "")
}

func (g generator) blank() string {
	return g.one(" ", " ", " ", "", "\t", "  ", "\r\n ", "\r\n\t", " \r\n ")
}

func (g generator) comment() string {
	return "(" + g.one("Alice", evil, "<"+evil+">", "a (b) c", "a, "+evil, `\)`, `a\) <`+evil+">",
		"=?utf-8?q?=29_<evil=40remote.test>?=", `"`, "ü", "", "B\xfcro", ")", "(", `\`, "a;b:c") + ")"
}

func (g generator) name() string {
	var words []string
	for n := g.r.IntN(4); n >= 0; n-- {
		words = append(words, g.word())
	}
	return strings.Join(words, g.blank())
}

func (g generator) word() string {
	switch g.r.IntN(5) {
	case 0:
		return `"` + g.one("Alice", "Example, Alice", evil, evil+">", "<"+evil+">", `\"`, `\\`,
			`\" <`+evil+`>, \"`, "a (b", "a) b", ":;", "=?utf-8?q?=22_=3Cevil=40remote.test=3E?=", "ü",
			"Ö, x", "\xfc", "", " ", `a\`, "x\r\n y", "'evil@remote.test'", "[x]", `a \"b\" c`,
			`\"`+evil+`\"`, `a\" <evil@remote.test>, \"b`, `\"a\" <evil@remote.test>, \"b\"`,
			`a, \"b\"`, "@", ",", "<", ">", "undisclosed:") + `"`
	case 1:
		return "=?" + g.one("utf-8", "UTF-8", "iso-8859-1", "us-ascii", "utf-8*en", "windows-1252", "iso-2022-jp", "utf-7", "unknown-8bit", "gb18030", "shift_jis") + "?" + g.one(
			"q?evil=40remote.test?=", "q?=22?=", "Q?=2C?=", "q?=3Cevil=40remote.test=3E?=",
			"q?evil=40remote.test=2C?=", "q?J=C3=BCrgen?=", "q?M=FCller=2C_Hans?=",
			"b?ZXZpbEByZW1vdGUudGVzdA==?=",
			"b?ZXZpbEByZW1vdGUudGVzdCw?=", "b?Ig==?=", "q?=28?=", "q?=29?=", "q?=5C?=", "q?a_b?=", "q?=0D=0A_Sender:_evil=40remote.test?=", "q?(x)?=", "q?a,b?=", `q?"?=`, "q?<evil@remote.test>?=", "q??=", "q?x", "b?GyRCOzNFREJATzobKEI=?=", "q?+AEA-?=", "q?evil@remote.test?=", "q?;:?=")
	case 2:
		return g.one("Büro", "Jürgen", "B\xfcro", "\xa0", "\u00a0", "\u202e", "\u200b", "山田", "\u3000", "\uff0c", "\uff20", "\u2028")
	case 3:
		return g.comment()
	}
	return g.one("Example,", ",", evil+",", "Alice;", "evil @remote.test", "Alice", "Alice", "Alice", "A.", "Alice.", "Alice-B", "O'Brien", "alice", "Mr", "via", "=?", "?=", "=", "*", "&", "evil@remote.test", "[x]", "[Sales]", "Alice[x]", "[a] [b]", "[", "]", "]a[", "["+evil+"]", "[B\u00fcro]", "Alice:", ".", "..", "#1", "{", "|", "`", "'"+evil+"'")
}

// mutated changes one place.
func (g generator) mutated(s string) string {
	at := 0
	if len(s) > 0 {
		at = g.r.IntN(len(s))
	}
	what := g.one(`"`, `\`, "(", ")", "<", ">", ",", ";", ":", "@", " ", "\r\n ", ".", "=?", "?=", "[", "]", evil, own, "<"+evil+">", "\t", "é", "\xe9", "\x01", "\x0b", "\x0c")
	switch g.r.IntN(3) {
	case 0:
		return s[:at] + s[min(at+1, len(s)):]
	case 1:
		return s[:at] + what + s[at:]
	}
	return s[:at] + what + s[min(at+1, len(s)):]
}
