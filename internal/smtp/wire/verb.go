package wire

// Verb names a command. The zero Verb is none that we know.
type Verb uint8

const (
	VerbUnknown Verb = iota
	VerbEHLO
	VerbHELO
	VerbMAIL
	VerbRCPT
	VerbDATA
	VerbBDAT // RFC 3030
	VerbRSET
	VerbNOOP
	VerbQUIT
	VerbVRFY
	VerbEXPN
	VerbHELP
	VerbSTARTTLS // RFC 3207
	VerbAUTH     // RFC 4954
	VerbLHLO     // RFC 2033; known so that it can be refused by name
)

// verbNames lists every verb that is read; anything else is VerbUnknown.
var verbNames = [...]string{
	VerbUnknown: "", VerbEHLO: "EHLO", VerbHELO: "HELO", VerbMAIL: "MAIL", VerbRCPT: "RCPT",
	VerbDATA: "DATA", VerbBDAT: "BDAT", VerbRSET: "RSET", VerbNOOP: "NOOP", VerbQUIT: "QUIT",
	VerbVRFY: "VRFY", VerbEXPN: "EXPN", VerbHELP: "HELP", VerbSTARTTLS: "STARTTLS",
	VerbAUTH: "AUTH", VerbLHLO: "LHLO",
}

// String returns the verb in capitals, or "unknown".
func (v Verb) String() string {
	if v == VerbUnknown || int(v) >= len(verbNames) {
		return "unknown"
	}
	return verbNames[v]
}

// parseVerb reads a verb in any letter case. RFC 5321 §2.4.
func parseVerb(word []byte) Verb {
	for v := VerbEHLO; int(v) < len(verbNames); v++ {
		if equalFold(word, verbNames[v]) {
			return v
		}
	}
	return VerbUnknown
}

// equalFold compares with an ASCII text in capitals. bytes.EqualFold would let
// U+017F and U+212A stand for S and K.
func equalFold(b []byte, capitals string) bool {
	if len(b) != len(capitals) {
		return false
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != capitals[i] {
			return false
		}
	}
	return true
}

// hasPrefixFold reports whether b begins with an ASCII text in capitals.
func hasPrefixFold(b []byte, capitals string) bool {
	return len(b) >= len(capitals) && equalFold(b[:len(capitals)], capitals)
}
