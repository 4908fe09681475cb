package wire

import "time"

const (
	dateLayout     = "2-Jan-2006"
	dateTimeLayout = "02-Jan-2006 15:04:05 -0700"
)

// date takes a day, quoted or not. RFC 9051 §9.
func (s *scanner) date() time.Time {
	text := ""
	if s.peek() == '"' {
		text = s.quoted()
	} else {
		text = s.atom()
	}
	t, err := time.Parse(dateLayout, text)
	if err != nil {
		s.fail("a date is malformed")
	}
	return t
}

// dateTime takes a date with its time. RFC 9051 §9.
func (s *scanner) dateTime() time.Time {
	text := s.quoted()
	if len(text) > 0 && text[0] == ' ' {
		text = "0" + text[1:]
	}
	t, err := time.Parse(dateTimeLayout, text)
	if err != nil {
		s.fail("a date-time is malformed")
	}
	return t
}

// AppendDateTime writes an internal date. RFC 9051 §9.
func AppendDateTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, dateTimeLayout)
	return append(b, '"')
}
