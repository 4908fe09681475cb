package history

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// ListLine reads one line of a list: "account correspondent [date]", with a date as
// 2026-11-01 or RFC 3339, or "account: a, b, c". An empty line and one that begins with
// "#" have no From.
func ListLine(line string) (Sent, error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return Sent{}, nil
	}
	if account, all, found := strings.Cut(line, ":"); found && !strings.ContainsAny(account, " \t") {
		return pairs(account, strings.FieldsFunc(all, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }))
	}
	words := strings.Fields(line)
	if len(words) != 2 && len(words) != 3 {
		return Sent{}, errors.New("it is neither \"account correspondent [date]\" nor \"account: correspondent, correspondent\"")
	}
	s, err := pairs(words[0], words[1:2])
	if err != nil || len(words) == 2 {
		return s, err
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if s.At, err = time.Parse(form, words[2]); err == nil {
			return s, nil
		}
	}
	return Sent{}, fmt.Errorf("%q is no date such as 2026-11-01 or 2026-11-01T12:00:00Z", words[2])
}

func pairs(account string, all []string) (s Sent, err error) {
	if s.From, err = mail.ParseAddress(account, mail.UTF8); err != nil {
		return Sent{}, err
	}
	for _, text := range all {
		a, err := mail.ParseAddress(text, mail.UTF8)
		if err != nil {
			return Sent{}, err
		}
		s.To = append(s.To, a)
	}
	if len(s.To) == 0 {
		return Sent{}, errors.New("it names no correspondent")
	}
	return s, nil
}
