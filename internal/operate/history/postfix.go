package history

import (
	"strings"
	"time"

	"sallyport/internal/mail"
)

// postfix reads a line of one of Postfix's programs.
func (g *Log) postfix(at time.Time, program, text string) (Sent, bool) {
	id, rest, ok := strings.Cut(text, ": ")
	if !ok || !isQueueID(id) {
		return Sent{}, false
	}
	switch program {
	case "smtpd":
		if strings.HasPrefix(rest, "client=") {
			// A new message, whatever an older one of that name was.
			*g.of(id) = message{login: field(rest, "sasl_username")}
		}
	case "qmgr", "oqmgr":
		switch {
		case rest == "removed":
			delete(g.open, id)
		case strings.HasPrefix(rest, "from=<"):
			if a, ok := angled(rest[len("from="):]); ok {
				g.of(id).sender = a
			}
		}
	default:
		// Each delivery agent writes the same: "to=<…>, orig_to=<…>, relay=…, status=sent (…)".
		// What stands behind status is the other server's words.
		before, status, found := strings.Cut(rest, ", status=")
		if !found || !strings.HasPrefix(status, "sent ") || !strings.HasPrefix(before, "to=<") {
			return Sent{}, false
		}
		to, ok := angled(before[len("to="):])
		if _, written, found := strings.Cut(before, ", orig_to="); found {
			// As its sender wrote it, where that is a whole address.
			if a, whole := angled(written); whole && !a.Domain().IsZero() {
				to, ok = a, true
			}
		}
		if ok {
			return g.sent(id, to, at)
		}
	}
	return Sent{}, false
}

// How many characters a queue id has: short ones at least a microsecond in five hexadecimal digits,
// long ones seconds, microseconds, a letter between and the number of the file, which are 24
// together where the number is the largest.
const (
	leastQueueID = 5
	mostQueueID  = 24
)

// isQueueID: short ones are hexadecimal, long ones have all letters without vowels.
func isQueueID(s string) bool {
	if len(s) < leastQueueID || len(s) > mostQueueID {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// field returns the value of "name=value" among fields that commas part.
func field(text, name string) string {
	for part := range strings.SplitSeq(text, ", ") {
		if v, ok := strings.CutPrefix(part, name+"="); ok {
			return v
		}
	}
	return ""
}

// angled reads the address in angle brackets that a text begins with; one with ">" in a
// quoted part does not read.
func angled(text string) (mail.Address, bool) {
	inside, _, ok := strings.Cut(strings.TrimPrefix(text, "<"), ">")
	if !ok || !strings.HasPrefix(text, "<") {
		return mail.Address{}, false
	}
	a, err := mail.ParseAddress(inside, mail.UTF8)
	return a, err == nil
}
