package terms

import "strings"

// Names returns all that an attribute is called by in a description of its type: its number and its names. The same attribute
// may be asked for by any of them. RFC 4512 §4.1.2
func Names(description string) (all []string) {
	rest, found := strings.CutPrefix(strings.TrimLeft(description, " "), "(")
	word, rest := schemaWord(rest)
	if !found || !isNumeric(word) && !isDescriptor(word) {
		return nil
	}
	all = []string{word}
	for rest != "" {
		if word, rest = schemaWord(rest); !strings.EqualFold(word, "NAME") {
			continue
		}
		several := false
		for rest != "" {
			switch word, rest = schemaWord(rest); {
			case word == "(":
				several = true
			case len(word) > len("''") && word[0] == '\'':
				all = append(all, strings.Trim(word, "'"))
			default:
				return all
			}
			if !several {
				return all
			}
		}
	}
	return all
}

// schemaWord takes the first word of a description: a parenthesis, a text with the quotes around it, or what stands between blanks.
func schemaWord(text string) (word, rest string) {
	text = strings.TrimLeft(text, " ")
	end := len(text)
	switch {
	case text == "":
	case text[0] == '(' || text[0] == ')':
		end = 1
	case text[0] == '\'':
		if closing := strings.IndexByte(text[1:], '\''); closing >= 0 {
			end = closing + len("''")
		}
	default:
		if blank := strings.IndexAny(text, " ()'"); blank >= 0 {
			end = blank
		}
	}
	return text[:end], text[end:]
}
