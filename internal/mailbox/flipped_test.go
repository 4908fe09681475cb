package mailbox

import (
	"bytes"
	"fmt"
	"testing"
)

// Any one bit of an index flips: every record is read all the same, and that something was wrong is
// known. What a power cut leaves is not taken for that.
func TestABitOfARecordFlips(t *testing.T) {
	var text []byte
	var want [][]byte
	for i := range 5 {
		r := fmt.Appendf(nil, "M record %d %s", i, bytes.Repeat([]byte{byte(i)}, 5*i))
		want = append(want, r)
		text = appendFrame(text, func(b []byte) []byte { return append(b, r...) })
	}
	read := func(text []byte) (got [][]byte, damaged, torn int) {
		damaged, torn = frames(text, func(r []byte) { got = append(got, bytes.Clone(r)) })
		return got, damaged, torn
	}
	for bit := range len(text) * 8 {
		c := bytes.Clone(text)
		c[bit/8] ^= 1 << (bit % 8)
		got, damaged, torn := read(c)
		if damaged == 0 || torn != 0 || len(got) != len(want) {
			t.Fatalf("bit %d: %d records, %d octets damaged, %d torn", bit, len(got), damaged, torn)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("bit %d: record %d is %q", bit, i, got[i])
			}
		}
	}
	for cut := range len(text) {
		if got, damaged, _ := read(text[:cut]); damaged > 0 {
			t.Fatalf("cut at %d: %d records, %d octets damaged", cut, len(got), damaged)
		}
	}
}
