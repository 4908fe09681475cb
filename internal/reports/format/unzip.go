package format

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
)

// Fields of the local header of a member. APPNOTE.TXT §4.3.7.
const (
	zipHeader    = 30
	zipFlags     = 6
	zipMethod    = 8
	zipSize      = 18 // as compressed
	zipNameLen   = 26
	zipExtraLen  = 28
	zipEncrypted = 1 << 0
	zipStreamed  = 1 << 3 // sizes stand behind the member
	zipStored    = 0
	zipDeflated  = 8
)

// unzip reads the members of an archive one after the other by the headers before them,
// so that one whose directory was cut off, or lies, costs no more than what is there.
// Names say nothing: what a member is, its first octets tell.
func (r *reader) unzip(data []byte, depth int) {
	for {
		i := bytes.Index(data, []byte(zipMagic))
		if i < 0 || len(data)-i < zipHeader {
			return
		}
		if !r.enter(depth + 1) {
			return
		}
		h := data[i : i+zipHeader]
		start := i + zipHeader + int(binary.LittleEndian.Uint16(h[zipNameLen:])) + int(binary.LittleEndian.Uint16(h[zipExtraLen:]))
		if start >= len(data) {
			r.fault("its zip breaks off")
			return
		}
		data = r.member(h, data[start:], depth)
	}
}

// member reads one member whose octets begin body, and returns what follows it.
func (r *reader) member(h, body []byte, depth int) (rest []byte) {
	flags, size := binary.LittleEndian.Uint16(h[zipFlags:]), int64(binary.LittleEndian.Uint32(h[zipSize:]))
	rest = body
	if flags&zipStreamed == 0 && size <= int64(len(body)) {
		body, rest = body[:size], body[size:]
	}
	switch method := binary.LittleEndian.Uint16(h[zipMethod:]); {
	case flags&zipEncrypted != 0:
		r.fault("its zip is encrypted")
	case method == zipDeflated:
		in := bytes.NewReader(body)
		text, err := r.inflate(flate.NewReader(in))
		if err != nil {
			r.fault("its zip is damaged: %v", err)
		}
		r.inner(text, depth)
		if len(rest) == len(body) {
			rest = body[len(body)-in.Len():]
		}
	case method == zipStored:
		if len(rest) == len(body) && flags&zipStreamed != 0 {
			body, _, _ = bytes.Cut(body, []byte("PK\x07\x08"))
		}
		r.inner(body, depth)
	default:
		r.fault("its zip is of a kind that we do not know")
	}
	return rest
}

// inner reads what a member holds; what is none of our kinds is something else, as a folder.
func (r *reader) inner(data []byte, depth int) {
	if !r.content(data, depth+1) {
		r.file(data, depth+1)
	}
}
