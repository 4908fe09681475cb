package mtasts

import (
	"errors"
	"strings"
)

const (
	// recordLead begins every record that counts. RFC 8461 §3.1.
	recordLead = "v=STSv1"
	// maxRecordOctets bounds what is read of a text.
	maxRecordOctets = 1024
	// maxIDOctets bounds an id. RFC 8461 §3.1.
	maxIDOctets = 32
	// maxNameOctets bounds the name of a field. RFC 8461 §3.1.
	maxNameOctets = 32
)

var (
	// ErrNoRecord says that a domain has no MTA-STS record.
	ErrNoRecord = errors.New("there is no MTA-STS record")
	// ErrRecord says that the record, or their number, breaks the rules: there is no
	// policy then. RFC 8461 §3.1.
	ErrRecord = errors.New("the MTA-STS record is not valid")
)

// FindRecord returns the id of the one record among the texts of _mta-sts.domain.
// Texts that do not begin as a record does are not looked at; more than one record
// is as bad as none. RFC 8461 §3.1.
func FindRecord(texts []string) (id string, err error) {
	found := 0
	var record string
	for _, t := range texts {
		if isRecord(t) {
			record = t
			found++
		}
	}
	switch {
	case found == 0:
		return "", ErrNoRecord
	case found > 1:
		return "", ErrRecord
	}
	return ParseRecord(record)
}

// isRecord reports whether the version stands at the start and ends there.
func isRecord(text string) bool {
	rest, ok := strings.CutPrefix(text, recordLead)
	return ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";")
}

// ParseRecord returns the id of a record, or ErrRecord. RFC 8461 §3.1: of a field
// given twice the first counts, and unknown ones are passed over.
func ParseRecord(text string) (id string, err error) {
	if len(text) > maxRecordOctets || !isRecord(text) {
		return "", ErrRecord
	}
	fields := strings.Split(text, ";")[1:]
	if trim(fields[len(fields)-1]) == "" {
		fields = fields[:len(fields)-1]
	}
	for _, f := range fields {
		name, value, ok := strings.Cut(trim(f), "=")
		switch {
		case !ok || !isName(name):
			return "", ErrRecord
		case name == "id" && !isID(value):
			return "", ErrRecord
		case name == "id" && id == "":
			id = value
		case name != "id" && !isRecordValue(value):
			return "", ErrRecord
		}
	}
	if id == "" {
		return "", ErrRecord
	}
	return id, nil
}

func trim(s string) string { return strings.Trim(s, " \t") }

func isID(s string) bool {
	return s != "" && len(s) <= maxIDOctets && strings.IndexFunc(s, func(r rune) bool { return !alnum(r) }) < 0
}

// isName is sts-ext-name of RFC 8461 §3.1, and of §3.2.
func isName(s string) bool {
	if s == "" || len(s) > maxNameOctets || !alnum(rune(s[0])) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !alnum(r) && !strings.ContainsRune("_-.", r) }) < 0
}

// isRecordValue is sts-ext-value of RFC 8461 §3.1: visible, without ";" and "=".
func isRecordValue(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e || r == ';' || r == '=' }) < 0
}

func alnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
