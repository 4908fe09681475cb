package history

import (
	"strings"
	"time"

	"sallyport/internal/mail"
)

const (
	eximAddressed = 5 // words of the line of a delivery among which its address is: it stands third, or in brackets up to here
	leastEximPart = 2 // characters of the last part of an identifier, up to Exim 4.96
	mostEximPart  = 4 // characters of it since Exim 4.97
)

// exim reads what follows the time in a line of Exim's main log: "ID <= SENDER …" for what
// was accepted, and "ID => RECIPIENT …" for what was delivered.
func (g *Log) exim(at time.Time, text string) (Sent, bool) {
	if strings.HasPrefix(text, "[") { // the process, where Exim was told to write it
		_, text, _ = strings.Cut(text, " ")
	}
	words := eximWords(text)
	if len(words) >= 2 && words[1] == "Completed" {
		delete(g.open, words[0])
		return Sent{}, false
	}
	if len(words) < 3 || !isEximID(words[0]) {
		return Sent{}, false
	}
	id := words[0]
	switch words[1] {
	case "<=":
		m := g.of(id)
		*m = message{login: eximLogin(words[3:])}
		if a, err := mail.ParseAddress(words[2], mail.UTF8); err == nil {
			m.sender = a
		}
	case "=>", "->":
		to := words[2]
		for _, w := range words[3:min(len(words), eximAddressed)] {
			// "carl <carl@example.org>": a mailbox of that server, and the address that it is for.
			if strings.HasPrefix(w, "<") {
				to = w
			}
		}
		if a, ok := angled("<" + strings.Trim(to, "<>") + ">"); ok && !a.Domain().IsZero() {
			return g.sent(id, a, at)
		}
	}
	return Sent{}, false
}

// eximLogin is who signed in: the name behind the authenticator in A=, where the protocol
// ends in "a". A line with two protocols or two names was written into by a client (what it
// calls itself, a Message-ID), and tells nobody's.
func eximLogin(words []string) string {
	var protocols, logins []string
	for _, w := range words {
		switch name, value, _ := strings.Cut(w, "="); name {
		case "P":
			protocols = append(protocols, value)
		case "A":
			_, login, _ := strings.Cut(value, ":")
			logins = append(logins, login)
		}
	}
	if len(protocols) != 1 || len(logins) != 1 || !strings.HasSuffix(protocols[0], "a") {
		return ""
	}
	return logins[0]
}

// isEximID: "1tABCD-0000xY-2a", or with longer parts since 4.97.
func isEximID(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) != 3 || len(parts[0]) != 6 {
		return false
	}
	return isQueueID(parts[0]) && isQueueID(parts[1]) && len(parts[2]) >= leastEximPart && len(parts[2]) <= mostEximPart
}

// eximWords parts a line at blanks outside of quotes, in which a backslash hides a quote.
func eximWords(text string) (out []string) {
	start, quoted := -1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
			continue
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			if start >= 0 {
				out = append(out, text[start:i])
			}
			start = -1
			continue
		}
		if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		out = append(out, text[start:])
	}
	return out
}
