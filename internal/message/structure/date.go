package structure

import (
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// Time returns the date of the message, for SENTBEFORE and SORT; false if there is none that can
// be read. RFC 5322 §3.3 and §4.3.
func (e Envelope) Time() (time.Time, bool) {
	t, err := mail.ParseDate(e.Date.Value)
	if err != nil {
		return oldDate(e.Date.Value)
	}
	// The zones of RFC 5322 §4.3 by name, which ParseDate takes for UTC.
	if name, offset := t.Zone(); offset == 0 {
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, zoneOf(name))
	}
	return t, true
}

// zoneOf returns the zone of a name or of an offset; that of a name that says nothing is UTC, as of the letters of
// armies, which were defined wrongly once. RFC 5322 §4.3
func zoneOf(name string) *time.Location {
	if hours, named := map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}[strings.ToUpper(name)]; named {
		return time.FixedZone(name, hours*3600)
	}
	if n, err := strconv.Atoi(name); err == nil && len(name) == 5 {
		return time.FixedZone(name, n/100*3600+n%100*60)
	}
	return time.UTC
}

// oldDate reads what the standard library does not: comments anywhere, a leap second, years of two and three digits, military
// zones, and what people's programs write besides: no zone, whole names of months, dots in the time, and
// the year at the end. RFC 5322 §3.3 and §4.3
func oldDate(text string) (time.Time, bool) {
	d, zone := date{}, time.UTC
	for _, word := range strings.FieldsFunc(uncommented(text), func(c rune) bool { return c == ' ' || c == '\t' || c == ',' }) {
		switch c := word[0]; {
		case c == '+' || c == '-':
			zone = zoneOf(word)
		case c < '0' || c > '9':
			if m := monthOf(word); m != 0 && d.month == 0 {
				d.month = m
			} else if d.clocked {
				zone = zoneOf(word)
			}
		case !d.number(word):
			return time.Time{}, false
		}
	}
	if !d.clocked || d.month == 0 || d.day == 0 || d.year == 0 {
		return time.Time{}, false
	}
	t := time.Date(d.year, d.month, d.day, d.clock[0], d.clock[1], min(d.clock[2], 59), 0, zone)
	return t, t.Day() == d.day
}

// date is one that is being read.
type date struct {
	day, year int
	month     time.Month
	clock     [3]int
	clocked   bool
}

// number takes a word that begins with a digit, and reports whether it makes sense.
func (d *date) number(word string) bool {
	parts := strings.FieldsFunc(word, func(c rune) bool { return c == ':' || c == '.' })
	var n [3]int
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 16)
		if i == len(n) || err != nil {
			return false
		}
		n[i] = int(v)
	}
	switch {
	case len(parts) > 1 && !d.clocked:
		d.clock, d.clocked = n, true
		return n[0] < 24 && n[1] < 60 && n[2] <= 60
	case len(parts) > 1:
		return false
	case d.day == 0:
		d.day = n[0]
		return n[0] >= 1 && n[0] <= 31
	case d.year == 0:
		d.year = n[0]
		switch len(word) { // RFC 5322 §4.3
		case 2:
			d.year += 1900
			if n[0] < 50 {
				d.year += 100
			}
		case 3:
			d.year += 1900
		}
		return len(word) >= 2 && len(word) <= 4
	}
	return false
}

// monthOf returns the month that a word begins like; 0 if there is none.
func monthOf(word string) time.Month {
	for m := time.January; m <= time.December; m++ {
		if len(word) >= 3 && len(word) <= len(m.String()) && strings.EqualFold(word, m.String()[:len(word)]) {
			return m
		}
	}
	return 0
}

// uncommented returns a text without its comments, each of which is a blank. RFC 5322 §3.2.2
func uncommented(text string) string {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '(':
			depth++
			b.WriteByte(' ')
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		case c == '\\':
			i++
		}
	}
	return b.String()
}
