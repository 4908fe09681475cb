package verdict

import (
	"net/netip"
	"strings"

	"sallyport/internal/mail"
)

// where says where a recipient leads, as far as the address itself tells.
type where uint8

const (
	own       where = iota // the server's own, or nobody's: taking it says nothing
	away                   // somebody else's, beyond doubt
	ambiguous              // the server's own to one reader, somebody else's to another
)

// pathOf returns the recipient of a RCPT command, without its angle brackets and parameters.
func pathOf(line string) string {
	_, rest, found := strings.Cut(line, ":")
	if !found {
		return ""
	}
	rest = strings.TrimLeft(rest, " \t")
	if inner, ok := strings.CutPrefix(rest, "<"); ok {
		if end := strings.LastIndexByte(inner, '>'); end >= 0 {
			return inner[:end]
		}
		return inner
	}
	path, _, _ := strings.Cut(rest, " ")
	return path
}

// tailOf returns what stands behind the last at sign, in lower case and without a last dot.
func tailOf(path string) (tail string, found bool) {
	i := strings.LastIndexByte(path, '@')
	if i < 0 {
		return "", false
	}
	return strings.ToLower(strings.TrimSuffix(path[i+1:], ".")), true
}

// classify says where a path leads. Only an address that every reader reads alike is somebody
// else's; one with operators, quotes or comments may be, as long as it names the domain that is
// away.
func classify(path string, n Names, server netip.Addr) where {
	_, route, routed := strings.Cut(path, ":")
	plain := path
	if routed && strings.HasPrefix(path, "@") {
		plain = route // RFC 5321 §3.6.1: a source route is to be ignored
	}
	tail, found := tailOf(plain)
	names := strings.Contains(strings.ToLower(path), n.Away.ASCII())
	switch {
	case found && isOwn(tail, n, server), !found:
		if names {
			return ambiguous
		}
		return own
	case strings.ContainsAny(plain, "()<>,;:\"\\ \t\x00|`$") && !strings.HasPrefix(tail, "["), strings.Count(plain, "@") != 1, !isName(tail) && !isLiteral(tail):
		if names {
			return ambiguous
		}
		return own
	}
	return away
}

// isOwn reports whether a server may take a domain for its own: one of its names, a name below
// one, its address, an address that only means the machine itself, or a name without a dot.
func isOwn(tail string, n Names, server netip.Addr) bool {
	if ip, ok := literal(tail); ok {
		return ip == server || ip.IsLoopback() || ip.IsUnspecified()
	}
	if !strings.Contains(tail, ".") {
		return true
	}
	if within(tail, n.Away) { // also where the name above it may be one of the server's
		return false
	}
	for _, d := range n.Own {
		if within(tail, d) {
			return true
		}
	}
	return false
}

// within reports whether a name is a domain or below it.
func within(name string, d mail.Domain) bool {
	return !d.IsZero() && (name == d.ASCII() || strings.HasSuffix(name, "."+d.ASCII()))
}

func literal(tail string) (netip.Addr, bool) {
	inner := strings.TrimSuffix(strings.TrimPrefix(tail, "["), "]")
	inner = strings.TrimPrefix(inner, "ipv6:")
	ip, err := netip.ParseAddr(inner)
	return ip.Unmap(), err == nil
}

func isLiteral(tail string) bool {
	_, ok := literal(tail)
	return ok && strings.HasPrefix(tail, "[")
}

// isName reports whether a domain is one that the DNS could have: letters, digits and hyphens in
// labels, and no number that some programs read as an address.
func isName(tail string) bool {
	d, err := mail.ParseDomain(tail)
	if err != nil || d.ASCII() != tail {
		return false
	}
	last := tail[strings.LastIndexByte(tail, '.')+1:]
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}
