package relayaudit

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"sallyport/internal/mail"
)

// Target is a server that may be tested. A door that it lacks is left zero, and
// the rows that need it cannot be run.
type Target struct {
	MX          netip.AddrPort // port 25: the world
	Submission  netip.AddrPort // STARTTLS, then AUTH
	Submissions netip.AddrPort // implicit TLS

	Hostname mail.Domain
	Local    mail.Domain // a domain whose mailboxes bob and carol exist, and alice
	Second   mail.Domain // another of its domains; may be Local
	Remote   mail.Domain // a domain that is not the server's

	Roots    *x509.CertPool // nil: the system's
	User     string         // the account that signs in
	Password string

	// Of somebody who audits a server without knowing anything of it:
	Sender         string           // the usual sender of strangers; "": x at Remote
	Client         string           // the name in EHLO; "": client below Remote
	AnyCertificate bool             // the server's certificate is not asked whose it is
	Shown          *tls.Certificate // what we show a server that asks for a certificate

	Limits Limits
}

// NullSender is the Sender of a Target that sends as bounces do. RFC 5321 §4.5.5.
const NullSender = "<>"

// Limits bound what one probe costs.
type Limits struct {
	Dial       time.Duration // connecting and TLS handshake
	Reply      time.Duration // awaiting one reply
	LineOctets int           // of one reply line, with its CR LF
	Lines      int           // of one reply
	BytePause  time.Duration // between octets written one by one
	ByteOctets int           // octets of a step written one by one at either end
	RowPause   time.Duration // between two rows of a shared session
}

// DefaultLimits returns limits that suit a server on the same machine; raise the
// times for a distant one. RFC 5321 §4.5.3.1.5 makes reply lines 512 octets long;
// twice as much is read, so that a longer one is reported and not cut.
func DefaultLimits() Limits {
	return Limits{
		Dial: 15 * time.Second, Reply: 20 * time.Second,
		LineOctets: 1024, Lines: 64,
		BytePause: 20 * time.Microsecond, ByteOctets: 300,
	}
}

// DefaultVisitLimits returns those for the server of somebody else, somewhere.
func DefaultVisitLimits() Limits {
	return Limits{
		Dial: 15 * time.Second, Reply: 15 * time.Second,
		LineOctets: 1024, Lines: 64,
		BytePause: 20 * time.Microsecond, ByteOctets: 300,
	}
}

// Split says how the octets of a script are cut into writes.
type Split uint8

const (
	// Lockstep writes one command and awaits its reply.
	Lockstep Split = iota
	// Pipelined writes as many commands at once as RFC 2920 §3.1 allows.
	Pipelined
	// Bytes writes every octet by itself.
	Bytes
)

// String returns the word of a report.
func (s Split) String() string {
	switch s {
	case Lockstep:
		return "lockstep"
	case Pipelined:
		return "pipelined"
	case Bytes:
		return "bytes"
	}
	return "unknown"
}

// Mode is one way of running a row. The decisions must not depend on it.
type Mode struct {
	Split  Split
	TLS    bool       // S25: inside STARTTLS; S587T and A: on the port with implicit TLS
	Source netip.Addr // local address to connect from; zero: any
}

// String returns the mode in one word.
func (m Mode) String() string {
	if m.TLS {
		return m.Split.String() + "+tls"
	}
	return m.Split.String()
}

// Modes returns every mode in which c is to be run.
func Modes(c Case) []Mode {
	splits := []Split{Lockstep, Pipelined, Bytes}
	if c.Lockstep {
		splits = splits[:1]
	}
	var modes []Mode
	for _, s := range splits {
		modes = append(modes, Mode{Split: s})
		if !c.Clear && (c.State == StateMX || c.State == StateSubmissionTLS || c.State == StateSignedIn) {
			modes = append(modes, Mode{Split: s, TLS: true})
		}
	}
	return modes
}

// door returns the port at which a row begins, and whether TLS comes first.
func (t Target) door(s State, m Mode) (addr netip.AddrPort, implicit bool) {
	switch s {
	case StateFresh, StateMX, StateMXTLS:
		return t.MX, false
	case StateFresh587, StateSubmission:
		return t.Submission, false
	case StateSubmissionTLS, StateSignedIn:
		if m.TLS {
			return t.Submissions, true
		}
		return t.Submission, false
	case StateFresh465, StateSubmissions:
		return t.Submissions, true
	}
	return netip.AddrPort{}, false
}

// port returns the door that {OVER n} names.
func (t Target) port(n int) (addr netip.AddrPort, implicit bool) {
	switch n {
	case 25:
		return t.MX, false
	case 587:
		return t.Submission, false
	case 465:
		return t.Submissions, true
	}
	return netip.AddrPort{}, false
}

func (t Target) tlsConfig(cache tls.ClientSessionCache) *tls.Config {
	cfg := &tls.Config{
		RootCAs: t.Roots, ServerName: t.Hostname.ASCII(),
		MinVersion: tls.VersionTLS12, ClientSessionCache: cache,
		InsecureSkipVerify: t.AnyCertificate,
	}
	if t.Shown != nil {
		// Whatever authorities the server names: whether it takes this one is the question.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.Shown, nil }
	}
	return cfg
}

// ehlo is the name by which the target is greeted.
func (t Target) ehlo() string {
	if t.Client != "" {
		return t.Client
	}
	return "client." + t.Remote.ASCII()
}

// vars returns what the placeholders stand for in one run.
func (t Target) vars(c Case, addr netip.AddrPort, marker string) map[string]string {
	from, to := t.Sender, "bob@"+t.Local.ASCII()
	switch from {
	case "":
		from = "x@" + t.Remote.ASCII()
	case NullSender:
		from = ""
	}
	if c.State == StateSignedIn {
		from, to = t.User, "victim@"+t.Remote.ASCII()
	}
	v := map[string]string{
		"LD": t.Local.ASCII(), "D2": t.Second.ASCII(), "RD": t.Remote.ASCII(), "HN": t.Hostname.ASCII(),
		"IP": addr.Addr().String(), "LIT": mail.FormatLiteral(addr.Addr()),
		"USER": t.User, "PASS": t.Password,
		"SASL": base64.StdEncoding.EncodeToString([]byte("\x00" + t.User + "\x00" + t.Password)),
		"FROM": from, "TO": to, "MARK": marker,
	}
	v["HDR"] = fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: probe %s\r\n"+
		"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@probe.invalid>\r\n\r\n", from, to, marker, marker)
	v["SMUG"] = fmt.Sprintf("MAIL FROM:<admin@%s>\r\nRCPT TO:<bob@%s>\r\nRCPT TO:<victim@%s>\r\nDATA\r\n"+
		"From: <admin@%s>\r\nSubject: smuggled %s\r\n\r\nsmuggled\r\n", v["LD"], v["LD"], v["RD"], v["LD"], marker)
	return v
}

// shownOctets is how much of what a server said a report shows.
const shownOctets = 120

// printable makes octets readable and bounded, for reports.
func printable(b []byte) string {
	s := strconv.QuoteToASCII(string(b[:min(len(b), shownOctets)]))
	s = s[1 : len(s)-1]
	if len(b) > shownOctets {
		s += fmt.Sprintf("... (%d octets)", len(b))
	}
	return s
}
