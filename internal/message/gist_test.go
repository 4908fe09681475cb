package message

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func gistOf(text string, chunk int) string {
	var g Gist
	for text = strings.ReplaceAll(text, "\n", "\r\n"); len(text) > 0; {
		n := min(chunk, len(text))
		_, _ = g.Write([]byte(text[:n]))
		text = text[n:]
	}
	return g.Sum()
}

const letter = "Dear %s,\n\nyour parcel could not be delivered. Please confirm the address of your\nhousehold at https://parcel.test/confirm?who=%s within two days,\nor it goes back. Your number is %s, sent to %s.\n\nThe Parcel Service\n"

// Copies of one letter have one gist, however they are cut into pieces and addressed.
func TestCopiesHaveOneGist(t *testing.T) {
	first := gistOf(fmt.Sprintf(letter, "Bob", "b17", "4711", "bob@one.test"), 1000)
	if len(first) != 2*gistSum {
		t.Fatalf("%q", first)
	}
	for _, chunk := range []int{1, 7, 1000} {
		if got := gistOf(fmt.Sprintf(letter, "Ann-Marie Smith", "x9", "88-12", "ams@two.test"), chunk); got != first {
			t.Errorf("in pieces of %d: %q, and first %q", chunk, got, first)
		}
	}
	parts := func(mark, text string) string {
		return "--" + mark + "\nContent-Type: text/plain; boundary=" + mark + "\n\n" + text + "--" + mark + "\nContent-Type: text/html\n\n<p>" + text + "</p>\n--" + mark + "--\n"
	}
	one, two := parts("=_a1", fmt.Sprintf(letter, "Bob", "b", "1", "b@x.test")), parts("----other7", fmt.Sprintf(letter, "Ann", "a", "2", "a@x.test"))
	if a, b := gistOf(one, 1000), gistOf(two, 1000); a != b || a == "" {
		t.Errorf("with other marks between the parts: %q and %q", a, b)
	}
}

// Other letters have another gist, and what says nothing has none.
func TestLettersAreToldApart(t *testing.T) {
	long := strings.Repeat("There is something to be said here. ", 3) + "\n"
	base := strings.Repeat("VGhpcyBpcyBhIHRleHQgaW4gYmFzZTY0IHRoYXQgaXMgbG9uZyBlbm91Z2ggMTIzNDU2Nzg5\n", 3)
	seen := map[string]string{}
	for _, text := range []string{
		"\n" + long, "\n" + long + "And more of it is said.\n", "\n" + strings.Replace(long, "said", "done", 1),
		base, strings.Replace(base, "VGhp", "VGhq", 1), fmt.Sprintf(letter, "a", "a", "a", "a"),
	} {
		got := gistOf(text, 1000)
		if other, is := seen[got]; is || got == "" {
			t.Errorf("%q has the gist of %q: %q", text, other, got)
		}
		seen[got] = text
	}
	for _, text := range []string{"", "x", "Thanks!\n\nBob\n", "Hello Bob,\n\nsee you at 10:30 on the 14th.\n\nAnn\n", strings.Repeat("1234567 a@b.test\n", 100), strings.Repeat("\n", 1000)} {
		if got := gistOf(text, 1000); got != "" {
			t.Errorf("%q has a gist: %q", text, got)
		}
	}
}

// What comes after the bound changes nothing, and no line is kept whole that has no end.
func TestAGistIsBounded(t *testing.T) {
	var a, b Gist
	head := []byte(strings.Repeat("A line that is there. ", gistRead/20))[:gistRead]
	for _, g := range []*Gist{&a, &b} {
		_, _ = g.Write(head)
	}
	_, _ = b.Write([]byte("More\r\nof it\r\n"))
	if x, y := a.Sum(), b.Sum(); x != y || x == "" {
		t.Errorf("%q and %q", x, y)
	}
	if cap(a.line) > 4*gistLine || cap(a.word) > 4*gistLine {
		t.Errorf("%d and %d octets are held", cap(a.line), cap(a.word))
	}
}

// What is taken in haste is taken as it would be octet by octet.
func TestHasteMakesNoOtherGist(t *testing.T) {
	chance := rand.New(rand.NewPCG(17, 1))
	const octets = "aazzéZA09@?#- \t\r\n\n{~"
	gists := map[string]bool{}
	for round := range 2000 {
		text := make([]byte, chance.IntN(3000))
		some := octets[:1+chance.IntN(len(octets))]
		for i := range text {
			switch text[i] = some[chance.IntN(len(some))]; {
			case round%4 > 0:
			case i%(gistLine+10) < gistLine+9: // very long words
				text[i] = 'w'
			default:
				text[i] = ' '
			}
		}
		var one, other Gist
		other.sum = sha256.New()
		for _, c := range text {
			other.see(c)
		}
		for rest := text; len(rest) > 0; {
			n := 1 + chance.IntN(len(rest))
			_, _ = one.Write(rest[:n])
			rest = rest[n:]
		}
		if len(text) == 0 {
			continue
		}
		got, want := one.Sum(), other.Sum()
		if got != want {
			t.Fatalf("%q: %s, octet by octet %s", text, got, want)
		}
		gists[got] = true
	}
	if len(gists) < 1000 {
		t.Errorf("only %d gists: the texts say too little", len(gists))
	}
}
