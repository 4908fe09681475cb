// Package sendmail is the command that programs of this host send mail with: a drop-in
// for sendmail(1) that hands a message to the running server over its local socket.
//
// It promises that the exit code 0 means that the server has made the message durable;
// that a message goes to all its recipients or to none; that no argument becomes a
// command; and that it decides nothing: who may send as whom the server alone says,
// by the uid that the kernel tells it.
package sendmail

import (
	"strings"

	"sallyport/internal/mail"
)

// Mode is what is asked for. The zero Mode sends mail.
type Mode uint8

const (
	ModeSend    Mode = iota
	ModeQueue        // -bp, or run as mailq: list the caller's messages
	ModeRetry        // -q: try every message now
	ModeAliases      // -bi, or run as newaliases: there is nothing to build
	ModeSMTP         // -bs: SMTP on standard input and output
)

// Options is a command line, parsed.
type Options struct {
	Mode       Mode
	Extract    bool   // -t: recipients from the header, beside those named
	IgnoreDots bool   // -i: a line with a dot alone is text
	Sender     string // -f, -r: an address, a name, "<>" for none
	SenderSet  bool
	Name       string // -F: the full name of the sender
	Notify     mail.Notify
	Ret        mail.Ret
	EnvID      string
	Body       mail.BodyType
	Verbose    bool
	Recipients []string // as they were written
}

// MaxRecipients bounds those of one call; the server has a bound of its own.
const MaxRecipients = 10_000

// Parse reads the arguments of a call under a name: "sendmail", "mailq" or
// "newaliases". It follows Postfix and Sendmail: what only tunes a delivery that the
// server does anyway is ignored; what would make this program read, write or run
// something, or open a way past the server, is refused. The error is an *Error.
func Parse(name string, args []string) (Options, error) {
	o := Options{}
	switch name {
	case "mailq":
		o.Mode = ModeQueue
	case "newaliases":
		o.Mode = ModeAliases
	}
	for _, a := range args {
		// A line end here would be a command to a careless server.
		if strings.ContainsAny(a, "\r\n\x00") {
			return o, fail(CodeUsage, "an argument holds a line end or a NUL")
		}
	}
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		switch {
		case a == "--":
			o.Recipients, args = append(o.Recipients, args...), nil
		case len(a) > 1 && a[0] == '-':
			rest, err := o.flag(a[1:], args)
			if err != nil {
				return o, err
			}
			args = rest
		default:
			o.Recipients = append(o.Recipients, a)
		}
	}
	return o, o.check()
}

func (o *Options) check() error {
	switch {
	case o.Mode != ModeSend && len(o.Recipients) > 0:
		return fail(CodeUsage, "recipients make no sense here")
	case len(o.Recipients) > MaxRecipients:
		return fail(CodeUsage, "more than %d recipients", MaxRecipients)
	case o.Mode == ModeSend && !o.Extract && len(o.Recipients) == 0:
		return fail(CodeUsage, "no recipient is named; name one, or take them from the header with -t")
	}
	return nil
}

// flag reads one argument without its dash, which may hold several flags, and returns
// the arguments that are left.
func (o *Options) flag(a string, rest []string) ([]string, error) {
	for a != "" {
		c := a[0]
		a = a[1:]
		switch c {
		case 't':
			o.Extract = true
		case 'i':
			o.IgnoreDots = true
		case 'v':
			o.Verbose = true
		case 'I':
			o.Mode = ModeAliases
		case 'n', 'm', 'U', 'G':
			// No aliases, me too, user submission, gateway: nothing that is done here.
		case 'q':
			// -q30m, -qIabc: one run is all there is.
			if a != "" {
				return nil, fail(CodeUsage, "-q%s is not supported: -q tries every message once, and 'sallyport queue retry' chooses", a)
			}
			o.Mode = ModeRetry
		case 'b':
			return rest, o.mode(a)
		case 'o':
			return rest, o.option(a)
		case 'O':
			value, left, err := valueOf(c, a, rest)
			if err != nil {
				return nil, err
			}
			return left, o.longOption(value)
		case 'f', 'r', 'F', 'N', 'R', 'V', 'B', 'h', 'L', 'd', 'p', 'A':
			value, left, err := valueOf(c, a, rest)
			if err != nil {
				return nil, err
			}
			return left, o.value(c, value)
		default:
			return nil, refused("-" + string(c))
		}
	}
	return rest, nil
}

// valueOf takes the value of a flag: what follows it at once, or the next argument.
// -d, -p and -A only ever take the first.
func valueOf(c byte, joined string, rest []string) (value string, left []string, err error) {
	switch {
	case joined != "" || c == 'd' || c == 'p' || c == 'A':
		return joined, rest, nil
	case len(rest) == 0:
		return "", nil, fail(CodeUsage, "-%c needs a value", c)
	}
	return rest[0], rest[1:], nil
}

// refused names a flag that is taken from nobody; what Parse lets in has no line ends.
func refused(flag string) error {
	return fail(CodeUsage,
		"%s is not taken: this program hands in mail, and does not read or write files, run as a server or take orders of its own; see 'sallyport sendmail --help'",
		flag)
}

// mode reads what follows -b.
func (o *Options) mode(a string) error {
	switch a {
	case "m":
		o.Mode = ModeSend
	case "p":
		o.Mode = ModeQueue
	case "i":
		o.Mode = ModeAliases
	case "s":
		o.Mode = ModeSMTP
	default:
		return refused("-b" + a)
	}
	return nil
}

// option reads what follows -o. Those of Sendmail's classic options that say how to
// deliver or report mean nothing here; any other is refused.
func (o *Options) option(a string) error {
	switch {
	case a == "i":
		o.IgnoreDots = true
	case a == "m", a == "o", a == "7", a == "8", a == "s":
		// Me too, old headers, seven or eight bits, a queue that is safe.
	case len(a) > 1 && (a[0] == 'e' || a[0] == 'd') && strings.Trim(a[1:], lowerCase) == "":
		// How to report errors, when to deliver: -odf and -odqs are Exim's, as -odb and -odq are all others'.
	default:
		return refused("-o" + a)
	}
	return nil
}

// lowerCase is of what the words of the options -oe and -od are made.
const lowerCase = "abcdefghijklmnopqrstuvwxyz"

// longOption reads what follows -O: an option of Sendmail by its name, in any case. Those
// that tune a delivery or a report mean nothing here; any other is refused.
func (o *Options) longOption(a string) error {
	name, value, ok := strings.Cut(a, "=")
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case !ok:
		return refused("-O " + a)
	case name == "ignoredots":
		o.IgnoreDots = o.IgnoreDots || strings.HasPrefix(strings.ToLower(value), "t") || value == ""
		return nil
	case strings.HasPrefix(name, "timeout."):
		return nil
	}
	switch name {
	case "deliverymode", "errormode", "metoo", "oldstyleheaders", "sevenbitinput", "eightbitmode", "norecipientaction":
		return nil
	}
	return refused("-O " + a)
}

// mostEnvID is the most characters of an envelope identifier. RFC 3461 §4.4.
const mostEnvID = 100

// value takes the value of a flag.
func (o *Options) value(c byte, v string) error {
	switch c {
	case 'f', 'r':
		o.Sender, o.SenderSet = v, true
	case 'F':
		o.Name = v
	case 'N':
		return o.notify(v)
	case 'R':
		switch strings.ToLower(v) {
		case "full":
			o.Ret = mail.RetFull
		case "hdrs":
			o.Ret = mail.RetHeaders
		default:
			return fail(CodeUsage, "-R is full or hdrs")
		}
	case 'V':
		if len(v) == 0 || len(v) > mostEnvID || strings.IndexFunc(v, func(r rune) bool { return r < 0x20 || r > 0x7e }) >= 0 {
			return fail(CodeUsage, "-V takes 1 to 100 printable ASCII characters") // RFC 3461 §4.4
		}
		o.EnvID = v
	case 'B':
		switch strings.ToUpper(v) {
		case "7BIT":
			o.Body = mail.Body7Bit
		case "8BITMIME":
			o.Body = mail.Body8BitMIME
		default:
			return fail(CodeUsage, "-B is 7BIT or 8BITMIME")
		}
	}
	// -h hops, -L label, -p protocol, -d debugging, -Ac and -Am: nothing that is done here.
	return nil
}

// notify reads -N: when to be told of a delivery. RFC 3461 §4.1.
func (o *Options) notify(v string) error {
	o.Notify = 0
	for _, word := range strings.Split(strings.ToLower(v), ",") {
		switch strings.TrimSpace(word) {
		case "never":
			o.Notify |= mail.NotifyNever
		case "success":
			o.Notify |= mail.NotifySuccess
		case "failure":
			o.Notify |= mail.NotifyFailure
		case "delay":
			o.Notify |= mail.NotifyDelay
		default:
			return fail(CodeUsage, "-N is never, or a list of success, failure and delay")
		}
	}
	if o.Notify&mail.NotifyNever != 0 && o.Notify != mail.NotifyNever {
		return fail(CodeUsage, "-N never stands alone")
	}
	return nil
}
