package message

import (
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// unlabelled is text whose charset its program did not know. RFC 1428 §3. Today most of it is UTF-8; an octet that is none
// is one of Windows-1252. Nothing is written in it.
type unlabelled struct{}

func (unlabelled) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: unlabelledDecoder{}}
}

func (unlabelled) NewEncoder() *encoding.Encoder { return encoding.Nop.NewEncoder() }

type unlabelledDecoder struct{ transform.NopResetter }

// Transform decodes as much of src as there is room for in dst.
func (unlabelledDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		c, n := utf8.DecodeRune(src[nSrc:])
		if c == utf8.RuneError && n <= 1 {
			if !atEOF && !utf8.FullRune(src[nSrc:]) {
				return nDst, nSrc, transform.ErrShortSrc
			}
			c, n = charmap.Windows1252.DecodeByte(src[nSrc]), 1
		}
		nDst, nSrc = nDst+utf8.EncodeRune(dst[nDst:], c), nSrc+n
	}
	return nDst, nSrc, nil
}
