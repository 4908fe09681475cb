package wire

import (
	"strings"
	"time"
)

// Search has the arguments of SEARCH, SORT and THREAD. RFC 9051 §6.4.4, RFC 5256.
type Search struct {
	// Extended: RETURN was given, so that the answer is ESEARCH. RFC 4731.
	Extended             bool
	Min, Max, All, Count bool
	Save                 bool // RFC 5182
	// Charset is what the texts of Key are in, as the client named it; "": UTF-8.
	Charset string
	Key     Key
	Sort    []SortKey // of SORT
	Thread  string    // of THREAD: the algorithm, in capitals
}

// SortKey is one criterion of SORT.
type SortKey struct {
	By      string // in capitals
	Reverse bool
}

// KeyOp says what a Key asks of a message.
type KeyOp uint8

// What a search may ask.
const (
	KeyAll        KeyOp = iota
	KeyAnd              // all of Keys
	KeyOr               // one of the two Keys
	KeyNot              // not Keys[0]
	KeySeq              // Set, of sequence numbers
	KeyUID              // Set, of UIDs
	KeyFlag             // Text is set
	KeyHeader           // Field has Text in it; where Text is empty, the field is there
	KeyBody             // the body has Text in it
	KeyText             // header or body has
	KeyBefore           // internal date before Date
	KeyOn               // on it
	KeySince            // on it or later
	KeySentBefore       // the same for the Date field
	KeySentOn
	KeySentSince
	KeyLarger // more octets than Number
	KeySmaller
	KeyOlder   // internal date at least Number seconds ago. RFC 5032
	KeyYounger // at most
	KeyModSeq  // mod-sequence at least Number. RFC 7162 §3.1.5
	KeyEmailID // RFC 8474
	KeyThreadID
)

// Key is one key of a search.
type Key struct {
	Op          KeyOp
	Text, Field string
	Date        time.Time
	Number      int64
	Set         Set
	Keys        []Key
}

// ModSeq reports whether the key, or one in it, asks for mod-sequences.
func (k Key) ModSeq() bool {
	if k.Op == KeyModSeq {
		return true
	}
	for _, inner := range k.Keys {
		if inner.ModSeq() {
			return true
		}
	}
	return false
}

// Numbered reports whether the key, or one in it, speaks of sequence numbers. What was saved is none.
func (k Key) Numbered() bool {
	if k.Op == KeySeq && !k.Set.Saved {
		return true
	}
	for _, inner := range k.Keys {
		if inner.Numbered() {
			return true
		}
	}
	return false
}

// flagKeys are the keys that ask for one flag, and those that ask for its absence.
var flagKeys = map[string]string{
	"ANSWERED": FlagAnswered, "DELETED": FlagDeleted, "DRAFT": FlagDraft, "FLAGGED": FlagFlagged, "SEEN": FlagSeen, "RECENT": FlagRecent,
}

var unflagKeys = map[string]string{
	"UNANSWERED": FlagAnswered, "UNDELETED": FlagDeleted, "UNDRAFT": FlagDraft, "UNFLAGGED": FlagFlagged,
	"UNSEEN": FlagSeen, "OLD": FlagRecent,
}

// fieldKeys are the keys that ask for a header field.
var fieldKeys = map[string]string{"BCC": "Bcc", "CC": "Cc", "FROM": "From", "SUBJECT": "Subject", "TO": "To"}

var dateKeys = map[string]KeyOp{
	"BEFORE": KeyBefore, "ON": KeyOn, "SINCE": KeySince, "SENTBEFORE": KeySentBefore, "SENTON": KeySentOn, "SENTSINCE": KeySentSince,
}

var numberKeys = map[string]KeyOp{"LARGER": KeyLarger, "SMALLER": KeySmaller, "OLDER": KeyOlder, "YOUNGER": KeyYounger}

func (s *scanner) search() Args {
	var out Search
	s.returns(&out)
	if s.acceptWord("CHARSET") {
		s.space()
		out.Charset = s.charset()
		s.space()
	}
	out.Key = s.program()
	return out
}

// returns takes RETURN and its options. RFC 9051 §6.4.4.1, RFC 5267 for SORT.
func (s *scanner) returns(out *Search) {
	if !s.acceptWord("RETURN") {
		return
	}
	out.Extended = true
	s.space()
	s.list(func() {
		switch s.word() {
		case "MIN":
			out.Min = true
		case "MAX":
			out.Max = true
		case "ALL":
			out.All = true
		case "COUNT":
			out.Count = true
		case "SAVE":
			out.Save = true
		default:
			s.fail("unknown return option")
		}
	})
	if !out.Min && !out.Max && !out.Count && !out.Save {
		out.All = true
	}
	s.space()
}

// charset takes the name of the charset of the texts that follow. RFC 9051 §6.4.4.
func (s *scanner) charset() string {
	name := s.astring()
	s.raw = !strings.EqualFold(name, "UTF-8") && !strings.EqualFold(name, "US-ASCII")
	return name
}

// program takes keys up to the end of the line.
func (s *scanner) program() Key {
	var keys []Key
	for s.ok() {
		keys = append(keys, s.key(0))
		if s.atEnd() || !s.accept(' ') || s.atEnd() {
			break
		}
	}
	if len(keys) == 1 {
		return keys[0]
	}
	return Key{Op: KeyAnd, Keys: keys}
}

// key takes one key; depth is how many it stands in.
func (s *scanner) key(depth int) Key {
	if s.keys++; s.keys > s.limits.Keys || depth > s.limits.Nesting {
		s.fail("the search has too many keys, or too many in each other")
		return Key{}
	}
	switch {
	case s.peek() == '(':
		var keys []Key
		s.list(func() { keys = append(keys, s.key(depth+1)) })
		if len(keys) == 0 {
			s.fail("parentheses of a search are empty")
		}
		return Key{Op: KeyAnd, Keys: keys}
	case s.startsSet():
		return Key{Op: KeySeq, Set: s.set()}
	}
	return s.wordKey(s.word(), depth)
}

// wordKey takes the rest of a key that begins with a word.
func (s *scanner) wordKey(word string, depth int) Key {
	if f, ok := flagKeys[word]; ok {
		return Key{Op: KeyFlag, Text: f}
	}
	if f, ok := unflagKeys[word]; ok {
		return not(Key{Op: KeyFlag, Text: f})
	}
	switch word {
	case "ALL":
		return Key{Op: KeyAll}
	case "NEW": // RFC 3501 §6.4.4
		return Key{Op: KeyAnd, Keys: []Key{{Op: KeyFlag, Text: FlagRecent}, not(Key{Op: KeyFlag, Text: FlagSeen})}}
	}
	if !s.ok() {
		return Key{}
	}
	s.space()
	if f, ok := fieldKeys[word]; ok {
		return Key{Op: KeyHeader, Field: f, Text: s.astring()}
	}
	if op, ok := dateKeys[word]; ok {
		return Key{Op: op, Date: s.date()}
	}
	if op, ok := numberKeys[word]; ok {
		return Key{Op: op, Number: s.number()}
	}
	return s.other(word, depth)
}

func not(k Key) Key { return Key{Op: KeyNot, Keys: []Key{k}} }

// other takes the arguments of the keys that have their own forms.
func (s *scanner) other(word string, depth int) Key {
	switch word {
	case "NOT":
		return not(s.key(depth + 1))
	case "OR":
		a := s.key(depth + 1)
		s.space()
		return Key{Op: KeyOr, Keys: []Key{a, s.key(depth + 1)}}
	case "UID":
		return Key{Op: KeyUID, Set: s.set()}
	case "KEYWORD":
		return Key{Op: KeyFlag, Text: s.atom()}
	case "UNKEYWORD":
		return not(Key{Op: KeyFlag, Text: s.atom()})
	case "BODY":
		return Key{Op: KeyBody, Text: s.astring()}
	case "TEXT":
		return Key{Op: KeyText, Text: s.astring()}
	case "HEADER":
		field := s.astring()
		s.space()
		return Key{Op: KeyHeader, Field: field, Text: s.astring()}
	case "EMAILID":
		return Key{Op: KeyEmailID, Text: s.atom()}
	case "THREADID":
		return Key{Op: KeyThreadID, Text: s.atom()}
	case "MODSEQ":
		return s.modSeqKey()
	}
	s.fail("unknown search key")
	return Key{}
}

// modSeqKey: RFC 7162 §3.1.5. We keep one mod-sequence for a message, not one for a flag, so
// that the name of an entry changes nothing.
func (s *scanner) modSeqKey() Key {
	if s.peek() == '"' {
		s.quoted()
		s.space()
		switch s.word() {
		case "PRIV", "SHARED", "ALL":
		default:
			s.fail("unknown entry type")
		}
		s.space()
	}
	return Key{Op: KeyModSeq, Number: s.number()}
}

// sortKeys are the criteria of SORT. RFC 5256 §3.
var sortKeys = map[string]bool{"ARRIVAL": true, "CC": true, "DATE": true, "FROM": true, "SIZE": true, "SUBJECT": true, "TO": true}

func (s *scanner) sort() Args {
	var out Search
	s.returns(&out)
	reverse := false
	s.list(func() {
		switch w := s.word(); {
		case w == "REVERSE" && !reverse:
			reverse = true
		case sortKeys[w]:
			out.Sort = append(out.Sort, SortKey{By: w, Reverse: reverse})
			reverse = false
		default:
			s.fail("unknown sort criterion")
		}
	})
	if reverse || len(out.Sort) == 0 {
		s.fail("SORT needs a criterion")
	}
	s.space()
	out.Charset = s.charset()
	s.space()
	out.Key = s.program()
	return out
}

func (s *scanner) thread() Args {
	out := Search{Thread: s.word()}
	if out.Thread != "REFERENCES" && out.Thread != "ORDEREDSUBJECT" {
		s.fail("unknown threading algorithm")
	}
	s.space()
	out.Charset = s.charset()
	s.space()
	out.Key = s.program()
	return out
}
