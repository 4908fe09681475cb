package wire

import (
	"bytes"
	"encoding/base64"
	"math"

	"sallyport/internal/mail"
)

const (
	// MaxHelloOctets bounds the name in EHLO and HELO. RFC 5321 §4.5.3.1.2.
	MaxHelloOctets = 255
	// MaxMechanismOctets bounds the name of a SASL mechanism. RFC 4422 §3.1.
	MaxMechanismOctets = 20
	// maxSizeDigits bounds the digits of a size. RFC 1870 §3, RFC 3030 §2.
	maxSizeDigits = 20
)

// Command is one parsed command line. Only the fields of its Verb are set.
type Command struct {
	Verb Verb
	// Text is the argument of EHLO and HELO (the name that the client gives
	// itself, unchecked; it may be empty) and of VRFY, EXPN, HELP and NOOP.
	Text  string
	Mail  MailParams
	Rcpt  RcptParams
	Chunk Chunk
	Auth  AuthParams
}

// MailParams is the argument of MAIL. RFC 5321 §4.1.1.2.
type MailParams struct {
	From     mail.ReversePath
	Body     mail.BodyType // RFC 6152
	SMTPUTF8 bool          // RFC 6531 §3.4
	// Size is the size declared, in octets; a number beyond int64 is the largest
	// int64, so that it is refused as too large and never wraps. RFC 1870 §6.
	Size      int64
	SizeGiven bool
	Ret       mail.Ret // RFC 3461 §4.3
	EnvID     string   // decoded from xtext. RFC 3461 §4.4
	// RequireTLS is the REQUIRETLS parameter. RFC 8689 §2.
	RequireTLS bool
	// Auth is the decoded AUTH parameter. It grants nothing. RFC 4954 §5.
	Auth string
}

// Envelope returns the parameters as an envelope without recipients.
func (m MailParams) Envelope() mail.Envelope {
	e := mail.Envelope{
		From: m.From, Body: m.Body, SMTPUTF8: m.SMTPUTF8,
		Ret: m.Ret, EnvID: m.EnvID, Size: m.Size,
	}
	if m.RequireTLS {
		e.TLS = mail.RequireTLS
	}
	return e
}

// RcptParams is the argument of RCPT. RFC 5321 §4.1.1.3.
type RcptParams struct {
	To     mail.ForwardPath
	Notify mail.Notify // RFC 3461 §4.1
	ORcpt  mail.ORcpt  // RFC 3461 §4.2
	// UTF8 says that the path or ORCPT held octets beyond ASCII, which only a
	// transaction with SMTPUTF8 may use. RFC 6531 §3.1.
	UTF8 bool
}

// Chunk is the argument of BDAT. RFC 3030 §2.
type Chunk struct {
	Size int64 // octets that follow; beyond int64, the largest int64
	Last bool
}

// AuthParams is the argument of AUTH. RFC 4954 §4.
type AuthParams struct {
	Mechanism string // in capitals
	// Initial is the decoded initial response: nil if none was given, empty but
	// not nil for "=".
	Initial []byte
}

// ParseCommand parses one command line without its CRLF. It never panics, and what
// it does not know, it refuses.
func ParseCommand(line []byte) (Command, *Fault) {
	// RFC 5321 §4.1.1: white space before the CRLF is tolerated.
	line = bytes.TrimRight(line, " \t")
	word, rest := line, []byte(nil)
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		word, rest = line[:i], line[i+1:]
	}
	verb := parseVerb(word)
	if verb != VerbBDAT {
		// Some devices send two blanks; they say no more than one. What says how many
		// octets follow is read to the letter.
		rest = bytes.TrimLeft(rest, " ")
	}
	for _, c := range line {
		if c < 0x20 || c == 0x7f {
			return Command{}, fault(verb, 500, "5.5.2", "control characters are not allowed in a command")
		}
	}
	cmd := Command{Verb: verb}
	switch verb {
	case VerbEHLO, VerbHELO, VerbLHLO:
		return parseHello(cmd, rest)
	case VerbMAIL:
		return parseMail(cmd, rest)
	case VerbRCPT:
		return parseRcpt(cmd, rest)
	case VerbBDAT:
		return parseBdat(cmd, rest)
	case VerbAUTH:
		return parseAuth(cmd, rest)
	case VerbDATA, VerbRSET, VerbQUIT, VerbSTARTTLS:
		// RFC 5321 §4.1.1.4, §4.1.1.5, §4.1.1.10; RFC 3207 §4: no argument.
		if rest != nil {
			return Command{}, fault(verb, 501, "5.5.4", verb.String()+" takes no argument")
		}
		return cmd, nil
	case VerbVRFY, VerbEXPN:
		if len(rest) == 0 {
			return Command{}, fault(verb, 501, "5.5.4", verb.String()+" needs an argument")
		}
	case VerbNOOP, VerbHELP:
	default:
		return Command{}, fault(VerbUnknown, 500, "5.5.2", "command not recognised")
	}
	cmd.Text = string(rest)
	return cmd, nil
}

// parseHello reads the client's name. Many honest clients give a name that is no
// domain, of several words ("RICOH MP C3003") or of none, so anything passes; it is
// recorded and decides nothing.
func parseHello(cmd Command, rest []byte) (Command, *Fault) {
	if len(rest) > MaxHelloOctets {
		return Command{}, fault(cmd.Verb, 501, "5.5.4", "the name is longer than 255 octets")
	}
	cmd.Text = string(rest)
	return cmd, nil
}

// parseBdat reads "size" or "size LAST". RFC 3030 §2.
func parseBdat(cmd Command, rest []byte) (Command, *Fault) {
	digits, last, more := bytes.Cut(rest, []byte(" "))
	size, ok := parseSize(digits)
	if !ok {
		return Command{}, fault(VerbBDAT, 501, "5.5.4", "BDAT needs a size in octets")
	}
	cmd.Chunk = Chunk{Size: size, Last: more}
	if more && !equalFold(last, "LAST") {
		f := fault(VerbBDAT, 501, "5.5.4", "only LAST may follow the size")
		f.Chunk, f.ChunkKnown = cmd.Chunk, true
		return Command{}, f
	}
	return cmd, nil
}

// parseAuth reads a mechanism and perhaps an initial response. RFC 4954 §4.
func parseAuth(cmd Command, rest []byte) (Command, *Fault) {
	mech, initial, more := cutBlanks(rest)
	if !isMechanism(mech) {
		return Command{}, fault(VerbAUTH, 501, "5.5.4", "AUTH needs the name of a mechanism")
	}
	cmd.Auth.Mechanism = string(bytes.ToUpper(mech))
	if !more || len(initial) == 0 {
		return cmd, nil // smtplib leaves a blank where it has no response
	}
	// RFC 4954 §4: "=" is an initial response of no octets.
	if string(initial) == "=" {
		cmd.Auth.Initial = []byte{}
		return cmd, nil
	}
	response, f := decodeBase64(initial)
	if f != nil {
		return Command{}, f
	}
	cmd.Auth.Initial = response
	return cmd, nil
}

// cutBlanks parts a text at its first blanks, however many they are.
func cutBlanks(b []byte) (before, after []byte, found bool) {
	before, after, found = bytes.Cut(b, []byte(" "))
	return before, bytes.TrimLeft(after, " "), found
}

// isMechanism applies the grammar of RFC 4422 §3.1.
func isMechanism(b []byte) bool {
	if len(b) == 0 || len(b) > MaxMechanismOctets {
		return false
	}
	for _, c := range b {
		if !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// ParseResponse reads the client's answer to a challenge, without CRLF: base64, or
// "*" to cancel. The response is never nil unless it is cancelled or at fault.
// RFC 4954 §4.
func ParseResponse(line []byte) (response []byte, cancelled bool, f *Fault) {
	if string(line) == "*" {
		return nil, true, nil
	}
	if string(line) == "=" {
		return []byte{}, false, nil // as behind AUTH; curl and others send it here, too
	}
	response, f = decodeBase64(line)
	return response, false, f
}

// decodeBase64 is strict, so that one response has one spelling. RFC 4648 §3.5.
func decodeBase64(b []byte) ([]byte, *Fault) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	// The decoder of the standard library skips line ends; a line has none.
	if bytes.ContainsAny(b, "\r\n") {
		return nil, fault(VerbAUTH, 501, "5.5.2", "the response is not base64")
	}
	n, err := base64.StdEncoding.Strict().Decode(out, b)
	if err != nil {
		return nil, fault(VerbAUTH, 501, "5.5.2", "the response is not base64")
	}
	return out[:n], nil
}

// AppendChallenge appends the 334 line that carries a SASL challenge. RFC 4954 §4.
func AppendChallenge(b, challenge []byte) []byte {
	b = append(b, "334 "...)
	b = base64.StdEncoding.AppendEncode(b, challenge)
	return append(b, '\r', '\n')
}

// parseSize reads 1 to 20 digits; what int64 can't hold is the largest int64.
func parseSize(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > maxSizeDigits {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if d := int64(c - '0'); n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
		} else {
			n = n*10 + d
		}
	}
	return n, true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
