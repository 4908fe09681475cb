package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// ErrQuestion is wrapped by every error of Parse.
var ErrQuestion = errors.New("this is no transaction to explain")

// Question is one imagined transaction. The zero Question has no recipient, and is not
// walked.
type Question struct {
	Client  netip.Addr // the zero Addr: any
	Door    gate.Door
	Account mail.Address // who signs in; zero: nobody
	Auth    gate.Auth    // by what
	From    mail.ReversePath
	To      mail.Address
	// Postmaster is that of this host, written without a domain; To is zero then.
	Postmaster bool
}

// doors are the words for a door, and what people call it else.
func doors() map[string]gate.Door {
	return map[string]gate.Door{
		"mx": gate.DoorMX, "25": gate.DoorMX, "smtp": gate.DoorMX,
		"submission": gate.DoorSubmission, "587": gate.DoorSubmission,
		"submissions": gate.DoorSubmission, "465": gate.DoorSubmission,
		"sendmail": gate.DoorSendmail,
	}
}

func auths() map[string]gate.Auth {
	return map[string]gate.Auth{"password": gate.AuthPassword, "token": gate.AuthToken, "certificate": gate.AuthCertificate}
}

const form = "client=ADDRESS auth=ACCOUNT by=password|certificate|token door=mx|submission|sendmail from=SENDER to=RECIPIENT"

// Parse reads words of the form name=value, each at most once, in any order. Only from and
// to must be there. With auth the door is submission, and mx without; "none" signs nobody
// in; from= with nothing or <> is the null sender.
func Parse(text string) (Question, error) {
	words, err := split(text)
	if err != nil {
		return Question{}, err
	}
	given := map[string]string{}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if _, twice := given[name]; !ok || twice || !slices.Contains([]string{"client", "auth", "by", "door", "from", "to"}, name) {
			return Question{}, fmt.Errorf("%w: %s is not one of %s, each at most once", ErrQuestion, mail.Printable(w, mail.ValueShown), form)
		}
		given[name] = value
	}
	for _, need := range []string{"from", "to"} {
		if _, ok := given[need]; !ok {
			return Question{}, fmt.Errorf("%w: it lacks %s=; the form is %s", ErrQuestion, need, form)
		}
	}
	return question(given)
}

func question(given map[string]string) (q Question, err error) {
	fault := func(name string, err error) (Question, error) {
		return Question{}, fmt.Errorf("%w: %s=%s: %w", ErrQuestion, name, mail.Printable(given[name], mail.ValueShown), err)
	}
	if c := given["client"]; c != "" {
		if q.Client, err = netip.ParseAddr(strings.Trim(c, "[]")); err != nil {
			return fault("client", errors.New("an address of IPv4 or IPv6 stands here"))
		}
		q.Client = q.Client.Unmap().WithZone("")
	}
	if a := given["auth"]; a != "" && a != "none" {
		if q.Account, err = mail.ParseAddress(a, mail.UTF8); err != nil {
			return fault("auth", err)
		}
		q.Auth = gate.AuthPassword
	} else {
		q.Auth = gate.AuthNone
	}
	if by, ok := given["by"]; ok {
		if q.Auth, ok = auths()[by]; !ok || q.Account.IsZero() {
			return fault("by", errors.New("with auth=, it is password, certificate or token"))
		}
	}
	q.Door = gate.DoorMX
	if !q.Account.IsZero() {
		q.Door = gate.DoorSubmission
	}
	if d, ok := given["door"]; ok {
		if q.Door, ok = doors()[d]; !ok {
			return fault("door", errors.New("it is mx, submission, submissions or sendmail"))
		}
	}
	if q.From, err = mail.ParseReversePath(bracketed(given["from"]), mail.UTF8); err != nil {
		return fault("from", err)
	}
	path, err := mail.ParseForwardPath(bracketed(given["to"]), mail.UTF8)
	if err != nil {
		return fault("to", err)
	}
	// RFC 5321 §4.5.1: who writes to postmaster without a domain means this host's.
	q.To, err = path.At(mail.Domain{})
	q.Postmaster = err != nil
	return q, nil
}

func bracketed(s string) string {
	if strings.HasPrefix(s, "<") {
		return s
	}
	return "<" + s + ">"
}

// split parts a text at blanks that stand in no quoted local-part. RFC 5321 §4.1.2
func split(text string) (words []string, err error) {
	word, quoted, escaped := "", false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			if word != "" {
				words = append(words, word)
			}
			word = ""
			continue
		}
		word += string(c)
	}
	if quoted {
		return nil, fmt.Errorf("%w: a quote is not closed", ErrQuestion)
	}
	if word != "" {
		words = append(words, word)
	}
	return words, nil
}
