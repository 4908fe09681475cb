package mbox

import (
	"bytes"
	"strconv"
	"strings"
)

// Notes is what programs noted of a message in its header.
type Notes struct {
	Seen, Answered, Flagged, Deleted, Draft, Forwarded bool
	// Expunged: Mozilla removed it, and has not made the file shorter yet.
	Expunged bool
	Keywords []string
}

// header is what is seen of the header of a message.
type header struct {
	lines    int
	sized    bool
	length   int64  // as Content-Length says
	internal bool   // its subject is that of what UW IMAP keeps
	field    string // that is being read, in lower case; "" of one that is the message's
	own      bool   // a field of the message was read
	removed  bool   // X-Mozilla-Status stands before all of them, where Mozilla writes it
	texts    map[string]string
}

// noted are the fields of a header that programs write for themselves: Dovecot, UW IMAP and
// mutt, and Mozilla.
func noted(name string) bool {
	switch name {
	case "status", "x-status", "x-keywords", "x-uid", "x-imap", "x-imapbase", "content-length",
		"x-mozilla-status", "x-mozilla-status2", "x-mozilla-keys":
		return true
	}
	return false
}

// maxNote is how much of a field of a program is read.
const maxNote = 8 << 10

// maxNoteName is how far the name of such a field is looked for; the longest has 17 letters.
const maxNoteName = 64

// takes reads a line that begins a field, and reports whether it is a program's.
func (h *header) takes(b []byte) bool {
	h.field = ""
	i := bytes.IndexByte(b[:min(len(b), maxNoteName)], ':')
	if i < 0 {
		return false
	}
	name := strings.ToLower(string(bytes.TrimRight(b[:i], " \t")))
	text := strings.TrimSpace(string(b[i+1 : min(len(b), i+1+maxNote)]))
	if name == "subject" && strings.HasPrefix(text, "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA") {
		h.internal = true
	}
	if !noted(name) {
		h.own = true
		return false
	}
	h.removed = h.removed || name == "x-mozilla-status" && !h.own
	h.field = name
	if h.texts == nil {
		h.texts = map[string]string{}
	}
	h.texts[name] = text
	if n, err := strconv.ParseInt(text, 10, 62); name == "content-length" && err == nil && n >= 0 {
		h.sized, h.length = true, n
	}
	return true
}

// folded reads a line that goes on with a field.
func (h *header) folded(b []byte) {
	if h.field != "" && len(h.texts[h.field]) < maxNote {
		h.texts[h.field] += " " + strings.TrimSpace(string(b[:min(len(b), maxNote)]))
	}
}

func (h *header) notes() (n Notes) {
	n.Seen = strings.Contains(h.texts["status"], "R")
	for _, c := range h.texts["x-status"] {
		switch c {
		case 'A':
			n.Answered = true
		case 'F':
			n.Flagged = true
		case 'D':
			n.Deleted = true
		case 'T':
			n.Draft = true
		}
	}
	n.Keywords = strings.Fields(h.texts["x-keywords"])
	// Mozilla's bits, in nsMsgMessageFlags: read, replied, marked, expunged, forwarded.
	if bits, err := strconv.ParseUint(h.texts["x-mozilla-status"], 16, 32); err == nil {
		n.Seen = n.Seen || bits&0x1 != 0
		n.Answered = n.Answered || bits&0x2 != 0
		n.Flagged = n.Flagged || bits&0x4 != 0
		n.Expunged = bits&0x8 != 0 && h.removed // else its sender could hide it
		n.Forwarded = bits&0x1000 != 0
	}
	n.Keywords = append(n.Keywords, strings.Fields(h.texts["x-mozilla-keys"])...)
	return n
}
