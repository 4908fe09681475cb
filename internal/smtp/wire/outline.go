package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// maxOutline bounds what Outline tells of a path.
const maxOutline = 200

// knownMechanisms lists the SASL mechanisms whose names may be told; any other word
// behind AUTH may be a password.
var knownMechanisms = [...]string{
	"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI", "GSS-SPNEGO", "EXTERNAL", "ANONYMOUS",
	"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS",
	"OAUTHBEARER", "XOAUTH2",
}

// Outline says what a line was in words that may be kept and shown: the verb, the
// mechanism of AUTH, the path of MAIL and RCPT. Of everything else it tells the length
// alone: a client that lost its place may send a password on any line.
func Outline(line []byte) string {
	if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
		line = line[:i]
	}
	word, rest, _ := bytes.Cut(line, []byte(" "))
	switch verb := parseVerb(word); verb {
	case VerbUnknown:
		if len(line) == 0 {
			return ""
		}
		return fmt.Sprintf("(no command, %d octets)", len(line))
	case VerbAUTH:
		return strings.TrimSuffix("AUTH "+outlineMechanism(rest), " ")
	case VerbMAIL, VerbRCPT:
		if path, more, ok := outlinePath(rest); ok {
			return verb.String() + " " + path + lengthOf(more)
		}
		return verb.String() + lengthOf(len(rest))
	default:
		return verb.String() + lengthOf(len(rest))
	}
}

func outlineMechanism(rest []byte) string {
	word, more, _ := cutBlanks(bytes.TrimLeft(rest, " "))
	name := strings.ToUpper(string(word))
	if !slices.Contains(knownMechanisms[:], name) {
		return strings.TrimLeft(lengthOf(len(rest)), " ")
	}
	return name + lengthOf(len(more))
}

// outlinePath returns "FROM:" or "TO:" with what stands there for an address, and how
// many octets follow it.
func outlinePath(rest []byte) (path string, more int, ok bool) {
	text := strings.TrimLeft(string(rest), " ")
	lead, text, ok := strings.Cut(text, ":")
	if lead = strings.ToUpper(lead); !ok || lead != "FROM" && lead != "TO" {
		return "", 0, false
	}
	path, after := cutPath(strings.TrimLeft(text, " "))
	if path == "" {
		return "", 0, false
	}
	if len(path) > maxOutline {
		return lead + ":" + path[:maxOutline], len(path) - maxOutline + len(after), true
	}
	return lead + ":" + path, len(after), true
}

func lengthOf(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d octets)", n)
}
