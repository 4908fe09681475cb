package wire

// List has the arguments of LIST and LSUB. RFC 9051 §6.3.9, RFC 5258.
type List struct {
	Reference string
	Patterns  []string
	// Extended: options or several patterns were given, so that the answer is not the
	// one of RFC 3501 in the cases where the two differ.
	Extended bool
	// What is selected: only subscribed names, names with a special use, names elsewhere
	// too, and parents of names that match.
	Subscribed, SpecialUse, Remote, RecursiveMatch bool
	// What is told of each.
	ReturnSubscribed, ReturnChildren, ReturnSpecialUse bool
	ReturnStatus                                       []string // RFC 5819; in capitals
}

func (s *scanner) lists() Args {
	var l List
	if s.peek() == '(' {
		l.Extended = true
		s.list(func() { l.selection(s, s.word()) })
		s.space()
	}
	if l.RecursiveMatch && !l.Subscribed && !l.SpecialUse {
		// RFC 9051 §6.3.9.1: it cannot stand alone, or beside REMOTE alone.
		s.fail("RECURSIVEMATCH needs another option that selects")
	}
	l.Reference = s.pattern()
	s.space()
	if s.peek() == '(' {
		l.Extended = true
		s.list(func() { l.Patterns = append(l.Patterns, s.pattern()) })
	} else {
		l.Patterns = []string{s.pattern()}
	}
	octets := 0
	for _, p := range l.Patterns {
		octets += len(l.Reference) + len(p)
	}
	if octets > s.limits.PatternOctets {
		s.failCode("LIMIT", "the patterns are too long")
	}
	if s.accept(' ') && !s.atEnd() {
		l.Extended = true
		if !s.acceptWord("RETURN") {
			s.fail("unknown argument of LIST")
		}
		s.space()
		s.list(func() { l.returns(s, s.word()) })
	}
	return l
}

func (l *List) selection(s *scanner, word string) {
	switch word {
	case "SUBSCRIBED":
		l.Subscribed = true
	case "REMOTE":
		l.Remote = true
	case "RECURSIVEMATCH":
		l.RecursiveMatch = true
	case "SPECIAL-USE":
		l.SpecialUse = true
	default:
		s.fail("unknown option of LIST")
	}
}

func (l *List) returns(s *scanner, word string) {
	switch word {
	case "SUBSCRIBED":
		l.ReturnSubscribed = true
	case "CHILDREN":
		l.ReturnChildren = true
	case "SPECIAL-USE":
		l.ReturnSpecialUse = true
	case "STATUS":
		s.space()
		l.ReturnStatus = s.statusItems()
	default:
		s.fail("unknown return option of LIST")
	}
}

// pattern takes a name with wildcards. RFC 9051 §9: list-mailbox.
func (s *scanner) pattern() string {
	text := ""
	if c := s.peek(); c == '"' || c == '{' {
		text = s.str()
	} else {
		text = s.while(func(c byte) bool { return isList(c) || c >= 0x80 }, "a pattern")
	}
	name, err := decodeMailbox(text, s.utf8)
	if err != nil {
		// It matches nothing, since nothing has such a name.
		return text
	}
	return name
}

// Matches reports whether a name matches a pattern, where "*" stands for anything and "%" for
// anything without the separator. It takes time of at most the product of both lengths.
// RFC 9051 §6.3.9.
func Matches(pattern, name string, separator byte) bool {
	// here[i] says that the pattern so far matches the first i octets.
	here := make([]bool, len(name)+1)
	here[0] = true
	for k := range len(pattern) {
		c := pattern[k]
		if c == '*' || c == '%' {
			for i := range len(name) {
				here[i+1] = here[i+1] || here[i] && (c == '*' || name[i] != separator)
			}
			continue
		}
		for i := len(name); i > 0; i-- {
			here[i] = here[i-1] && name[i-1] == c
		}
		here[0] = false
	}
	return here[len(name)]
}
