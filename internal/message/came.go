package message

import (
	"net/netip"
	"strings"
)

// Came is from whom a server had a message, as its Received field tells it.
type Came struct {
	Hello  string     // what the client called itself
	Remote netip.Addr // the address that it had
}

// mostReceived is the most octets of a Received field that is read; the longest that servers write are half as long.
const mostReceived = 2000

// CameFrom reads the value of a Received field in the forms that widely used servers write (RFC 5321 §4.4, and those of
// Exim, qmail and Exchange). It is false where the field does not say for certain which address the client had: where it names
// two, say, since one of them may be what the client called itself.
func CameFrom(received string) (Came, bool) {
	if len(received) > mostReceived {
		return Came{}, false
	}
	words, comments, ok := fromClause(received)
	if !ok || len(words) != 1 {
		return Came{}, false
	}
	name, at := words[0], -1
	var remote netip.Addr
	for i, c := range comments {
		ip, known := remoteIn(c)
		_, name := calledIn(c) // may be the address of anybody
		switch {
		case !known || name:
		case at >= 0:
			return Came{}, false
		default:
			remote, at = ip, i
		}
	}
	first := ""
	if len(comments) > 0 {
		first = comments[0]
	}
	called, calls := calledIn(first)
	switch {
	case at == 0:
		if _, said, found := strings.Cut(first, " helo="); found { // Exim, where the name has no such address
			name, _, _ = strings.Cut(said, " ")
		}
		return Came{name, remote}, true
	case at == 1 && calls: // qmail
		return Came{called, remote}, true
	case at < 0 && calls: // Exim and this server, where there is no name but the one that the client gave
		remote, rest, known := bracketed(name)
		return Came{called, remote}, known && (rest == "" || rest[0] == ':')
	}
	return Came{}, false
}

// fromClause parts what stands between "from" and "by" into words and comments. It is false where either is not there, or "by"
// comes again: the first one may be the client's.
func fromClause(received string) (words, comments []string, ok bool) {
	begun := false
	for rest := strings.TrimLeft(received, blanks); rest != ""; rest = strings.TrimLeft(rest, blanks) {
		if rest[0] == '(' {
			end := commentEnd(rest)
			if end < 0 || !begun {
				return nil, nil, false
			}
			if !ok {
				comments = append(comments, strings.Trim(rest[1:end-1], blanks))
			}
			rest = rest[end:]
			continue
		}
		end := strings.IndexAny(rest, blanks+"(;")
		if end == 0 {
			break // the date comes behind it
		}
		if end < 0 {
			end = len(rest)
		}
		word := rest[:end]
		rest = rest[end:]
		switch {
		case !begun && !strings.EqualFold(word, "from"):
			return nil, nil, false
		case !begun:
			begun = true
		case strings.EqualFold(word, "by") && ok:
			return nil, nil, false
		case strings.EqualFold(word, "by"):
			ok = true
		case !ok && strings.HasPrefix(rest, "("):
			return nil, nil, false // a name and its comment are parted: this is one word of the client's
		case !ok:
			words = append(words, word)
		}
	}
	return words, comments, ok
}

const blanks = " \t\r\n"

// commentEnd returns where the comment at the begin of text ends; -1: nowhere. RFC 5322 §3.2.2
func commentEnd(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// remoteIn reads the address in a comment that tells who the client was: "[192.0.2.1]", "name [192.0.2.1]" with whatever
// behind it, or the address alone.
func remoteIn(comment string) (netip.Addr, bool) {
	if ip, _, ok := bracketed(comment); ok {
		return ip, true
	}
	if end := strings.IndexAny(comment, blanks); end > 0 && !strings.ContainsAny(comment[:end], "=@") {
		ip, _, ok := bracketed(strings.TrimLeft(comment[end:], blanks))
		return ip, ok
	}
	_, alone, found := strings.Cut(comment, "@") // qmail's name of the user, who says what he likes
	if !found {
		alone = comment
	}
	ip, err := netip.ParseAddr(alone)
	return ip.Unmap(), err == nil && ip.Zone() == ""
}

// bracketed reads an address in brackets, with or without the tag of IPv6. RFC 5321 §4.1.3
func bracketed(text string) (ip netip.Addr, rest string, ok bool) {
	inner, found := strings.CutPrefix(text, "[")
	inner, rest, closed := strings.Cut(inner, "]")
	const tag = "IPv6:"
	if len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag) {
		inner = inner[len(tag):]
	}
	ip, err := netip.ParseAddr(inner)
	return ip.Unmap(), rest, found && closed && err == nil && ip.Zone() == ""
}

// calledIn reads what the client called itself out of a comment that tells nothing else: "helo=name", "HELO name".
func calledIn(comment string) (string, bool) {
	if port, rest, found := strings.Cut(comment, " "); found && strings.HasPrefix(port, "port=") { // Exim, where it is told to log it
		comment = rest
	}
	for _, begin := range []string{"helo=", "helo ", "hello "} {
		if len(comment) > len(begin) && strings.EqualFold(comment[:len(begin)], begin) {
			name, _, _ := strings.Cut(comment[len(begin):], " ")
			return name, true
		}
	}
	return "", false
}
