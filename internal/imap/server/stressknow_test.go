package server_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// learn takes in what a response code says.
func (b *busy) learn(command, text string) {
	code, _, _ := strings.Cut(strings.TrimPrefix(text[strings.IndexByte(text+"[", '['):]+" ", "["), "]")
	words := strings.Fields(code)
	switch {
	case len(words) == 2 && words[0] == "UIDNEXT":
		b.next = number(words[1])
	case len(words) == 4 && words[0] == "COPYUID":
		from, to := expanded(words[2]), expanded(words[3])
		if len(from) != len(to) {
			b.fail("COPYUID has %d and %d messages", len(from), len(to))
			return
		}
		box := command[strings.LastIndexByte(command, ' ')+1:]
		for i := range from { // the copy is what the message was
			for _, what := range []string{"BODY[]", "RFC822.SIZE", "INTERNALDATE", "ENVELOPE", "BODYSTRUCTURE"} {
				if was, known := b.s.facts.Load(fact(b.box, from[i], what)); known {
					b.fact(box, to[i], what, was.(string))
				}
			}
		}
	case len(words) == 3 && words[0] == "APPENDUID" && strings.HasPrefix(command, "APPEND"):
		b.appended(command, expanded(words[2]))
	}
}

// appended holds what was appended to what will be read.
func (b *busy) appended(command string, uids []int) {
	box := strings.Fields(command)[1]
	rest := command
	for _, u := range uids {
		date := rest[strings.IndexByte(rest, '"')+1:]
		_, rest, _ = strings.Cut(rest, "{")
		n := number(rest)
		_, rest, _ = strings.Cut(rest, "\r\n")
		if n > len(rest) {
			b.fail("APPENDUID names %d messages: %.100q", len(uids), command)
			return
		}
		b.fact(box, u, "BODY[]", rest[:n])
		b.fact(box, u, "RFC822.SIZE", strconv.Itoa(n))
		b.fact(box, u, "INTERNALDATE", `"`+date[:26]+`"`)
		rest = rest[n:]
	}
	if strings.Contains(rest, "{") {
		b.fail("APPENDUID names %d messages only: %.100q", len(uids), command)
	}
}

func fact(box string, uid int, what string) string { return fmt.Sprint(box, "/", uid, "/", what) }

// fact notes what is told of a message, which nobody may be told otherwise.
func (b *busy) fact(box string, uid int, what, is string) {
	if what == "INTERNALDATE" && !b.s.dated {
		return
	}
	if was, known := b.s.facts.LoadOrStore(fact(box, uid, what), is); known && was != is {
		b.fail("%s of UID %d in %s was\n%q\nand is\n%q", what, uid, box, was, is)
	}
}

// items takes the items of a FETCH apart.
func items(text string) map[string]string {
	out := map[string]string{}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "("), ")")
	for text != "" {
		end := strings.IndexByte(text, ' ')
		if open := strings.IndexByte(text, '['); open >= 0 && open < end {
			end = strings.IndexByte(text, ']')
			end += strings.IndexByte(text[end:], ' ')
		}
		if end < 0 {
			return map[string]string{"fault": text}
		}
		name := text[:end]
		value := value(text[end+1:])
		text = strings.TrimPrefix(text[end+1+len(value):], " ")
		if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "~{") {
			_, value, _ = strings.Cut(value, "\r\n")
		}
		out[name] = value
	}
	return out
}

// value is the first value of a text: a list, a quoted string, a literal or an atom.
func value(text string) string {
	depth, i := 0, 0
	for i < len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{':
			i += strings.Index(text[i:], "\r\n") + 1 + number(text[i+1:])
		case ' ':
			if depth == 0 {
				return text[:i]
			}
		}
		if i++; depth == 0 && (text[i-1] == ')' || text[i-1] == '"') {
			return text[:i]
		}
	}
	return text
}

// fetched takes in what is told of a message.
func (b *busy) fetched(n int, text string) {
	of := items(text)
	if n < 1 || n > len(b.uids) || of["fault"] != "" {
		b.fail("it knows %d messages and is told of number %d: %q", len(b.uids), n, of["fault"])
		return
	}
	u := number(of["UID"])
	if known := b.uids[n-1]; u != 0 && known != 0 && known != u {
		b.fail("number %d was UID %d and is %d", n, known, u)
	} else if u == 0 {
		u = known
	}
	if b.uids[n-1] = u; u == 0 {
		return
	}
	if before := slices.IndexFunc(b.uids[:n-1], func(have int) bool { return have >= u }); before >= 0 {
		b.fail("UIDs do not grow: number %d is %d: %v", n, u, b.uids)
	}
	if flags, told := of["FLAGS"]; told && !b.mute[u] {
		b.flags[u] = sorted(strings.Fields(strings.Trim(flags, "()")))
	}
	for _, what := range []string{"RFC822.SIZE", "INTERNALDATE", "ENVELOPE", "BODYSTRUCTURE", "BODY[]", "BODY[TEXT]", "BODY[HEADER]", "BODY[HEADER.FIELDS (SUBJECT)]", "BINARY.SIZE[1]", "PREVIEW"} {
		if is, told := of[what]; told {
			b.fact(b.box, u, what, is)
		}
	}
	b.pieces(u, of)
}

// pieces holds the parts of a message to the whole.
func (b *busy) pieces(u int, of map[string]string) {
	whole, known := b.s.facts.Load(fact(b.box, u, "BODY[]"))
	if !known {
		return
	}
	text := whole.(string)
	if size := of["RFC822.SIZE"]; size != "" && size != strconv.Itoa(len(text)) {
		b.fail("UID %d has %d octets and says %s", u, len(text), size)
	}
	if head, told := of["BODY[HEADER]"]; told && head+of["BODY[TEXT]"] != text {
		b.fail("UID %d is not its header and its text", u)
	}
	for name, part := range of {
		if !strings.HasPrefix(name, "BODY[]<") {
			continue
		}
		_, asked, _ := strings.Cut(b.asked, "BODY.PEEK[]<")
		_, octets, _ := strings.Cut(asked, ".")
		from := min(number(asked), len(text))
		if want := text[from:min(from+number(octets), len(text))]; part != want && part != `""` || name != fmt.Sprintf("BODY[]<%d>", number(asked)) {
			b.fail("UID %d: %s is %q, and not %q", u, name, part, want)
		}
	}
}

// found holds what a search found to what the client was told.
func (b *busy) found(command, line string) {
	var numbers []int
	switch words := strings.Fields(line); {
	case words[1] == "ESEARCH":
		if i := slices.Index(words, "ALL"); i > 0 {
			numbers = expanded(words[i+1])
		}
	default:
		for _, w := range words[2:] {
			numbers = append(numbers, number(w))
		}
	}
	if strings.HasPrefix(command, "UID ") && slices.Contains(b.uids, 0) { // it cannot be told which is which
		if strings.HasSuffix(command, "SEARCH ALL") && len(numbers) != len(b.uids) || len(numbers) > len(b.uids) {
			b.fail("of %d messages %q finds %d", len(b.uids), command, len(numbers))
		}
		return
	}
	hit := map[int]bool{}
	for _, n := range numbers {
		if strings.HasPrefix(command, "UID ") {
			n = slices.Index(b.uids, n) + 1
		}
		if n < 1 || n > len(b.uids) || hit[n] {
			b.fail("of %d messages %q finds number %d", len(b.uids), command, n)
			return
		}
		hit[n] = true
	}
	for i, u := range b.uids {
		want, sure := b.wanted(command, u)
		if sure && hit[i+1] != want {
			b.fail("%q finds number %d, UID %d (%s): %v", command, i+1, u, b.flags[u], hit[i+1])
			return
		}
	}
}

// wanted says whether a search must find a message, as far as the client can know.
func (b *busy) wanted(command string, u int) (want, sure bool) {
	flags, known := b.flags[u]
	has := func(w string) bool { return slices.Contains(strings.Fields(flags), w) }
	switch {
	case strings.HasSuffix(command, "ALL"):
		return true, true
	case !known:
		return false, false
	case strings.HasSuffix(command, "FLAGGED"):
		return has(`\Flagged`), true
	case strings.HasSuffix(command, "UNSEEN"):
		return !has(`\Seen`), true
	case strings.HasSuffix(command, "NOT DELETED"):
		return !has(`\Deleted`), true
	}
	return has("kw"), strings.HasSuffix(command, "KEYWORD kw")
}
