package server

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/door"
)

// Limits bounds everything that a client can make the engine hold, do or wait for.
// Every field must be positive, except those that say that zero switches them off.
type Limits struct {
	door.Limits // of its connections before anybody speaks

	// GreetDelay is how long the greeting on KindMX waits for clients that speak too
	// early; 0: not at all. The other kinds never wait, and neither does an address of
	// which a message was taken within GreetTrust. The default is long enough for octets
	// sent along with the opening of the connection, too short to be felt.
	GreetDelay time.Duration
	// CommandTimeout bounds the wait for one whole command, and for all responses of an
	// AUTH together. RFC 5321 §4.5.3.2.7.
	CommandTimeout time.Duration
	// DataTimeout bounds the wait for the next octets of a message.
	DataTimeout time.Duration
	// WriteTimeout bounds the sending of replies to a client that does not read.
	WriteTimeout time.Duration
	// SessionDuration is how long a session lasts at most: its end comes in the middle
	// of a command or message as well.
	SessionDuration time.Duration
	// MinDataRate is how many octets a second a message must average over the time
	// spent waiting for it and between its chunks, once that is more than DataRateGrace;
	// octets that came faster excuse a DataTimeout of waiting at most. 0: any.
	MinDataRate int64
	// DataRateGrace is how long a client may be slow before MinDataRate counts.
	DataRateGrace time.Duration
	// MinCommandRate is how many octets a second commands must average over the time spent
	// waiting in the middle of them, once that is more than CommandRateGrace; 0: any. Whoever
	// types them at a terminal is faster.
	MinCommandRate int64
	// CommandRateGrace is how long a client may be slow before MinCommandRate counts, how
	// much waiting the octets that came faster excuse at most, and how long a record of TLS
	// may take in which commands come.
	CommandRateGrace time.Duration
	// ShutdownGrace is how long a message in progress may take to end at shutdown.
	ShutdownGrace time.Duration
	// LingerTimeout and LingerOctets bound what is read and thrown away after a
	// refusal that closes, so that the client gets to see it.
	LingerTimeout time.Duration
	// LingerOctets bounds the octets of it.
	LingerOctets int64

	// LineOctets bounds a command line with CRLF. RFC 5321 §4.5.3.1.4.
	LineOctets int
	// PathLineOctets bounds MAIL and RCPT, whose parameters are longer. RFC 3461 §5.
	PathLineOctets int
	// AuthLineOctets bounds AUTH and its responses. RFC 4954 §4.
	AuthLineOctets int
	// TextLineOctets bounds a line of a message, with CRLF. RFC 5321 §4.5.3.1.6
	// asks for 1000 at least.
	TextLineOctets int
	// ReplyOctets is how many octets of replies are gathered before they are sent
	// although more commands wait. RFC 2920 §3.2.
	ReplyOctets int

	// MessageOctets is the largest message. RFC 1870.
	MessageOctets int64
	// DrainOctets is how much of a refused message or chunk is read and thrown
	// away, to keep the connection; more closes it.
	DrainOctets int64
	// Recipients is how many a transaction may have. RFC 5321 §4.5.3.1.8 asks for
	// 100 at least.
	Recipients int
	// Transactions is how many MAIL commands a session may give.
	Transactions int
	// Errors is how many commands may be answered 5xx in a session, Deferrals how
	// many 4xx.
	Errors, Deferrals int
	// Junk is how many commands that carry no mail (NOOP, RSET, VRFY, EXPN, HELP,
	// EHLO, chunks that are empty or far too small) may come before a message is accepted.
	Junk int
	// Unknown is how many unknown verbs a session may give.
	Unknown int
	// AuthFailures is how many sign-ins may fail or be put off in a session, AuthRounds how
	// many challenges one may take.
	AuthFailures, AuthRounds int
	// AuthFailureDelay is added before the reply to each sign-in that failed or was put off,
	// once more for each; 0: none.
	AuthFailureDelay time.Duration
}

// DefaultLimits returns the limits of a server that was told nothing else.
func DefaultLimits() Limits {
	return Limits{
		Limits:         door.DefaultLimits(),
		GreetDelay:     10 * time.Millisecond,
		CommandTimeout: 5 * time.Minute, DataTimeout: 3 * time.Minute, WriteTimeout: 2 * time.Minute,
		SessionDuration: 2 * time.Hour,
		MinDataRate:     256, DataRateGrace: time.Minute,
		MinCommandRate: 1, CommandRateGrace: 2 * time.Minute,
		ShutdownGrace: 20 * time.Second,
		LingerTimeout: time.Second, LingerOctets: 256 << 10,
		LineOctets: 512, PathLineOctets: 2048, AuthLineOctets: 12288, TextLineOctets: 1 << 20,
		ReplyOctets:   16 << 10,
		MessageOctets: 50 << 20, DrainOctets: 64 << 20,
		Recipients: 1000, Transactions: 10000,
		Errors: 20, Deferrals: 1000, Junk: 100, Unknown: 10,
		AuthFailures: 3, AuthRounds: 8, AuthFailureDelay: time.Second,
	}
}

// Of returns the share that a door of kind k has of the limits of the whole server. The
// connections are counted over all doors: strangers must leave room for our own people,
// and who only connects for those who sign in.
func (l Limits) Of(k Kind) Limits {
	switch k {
	case KindSubmission, KindSubmissions, KindSendmail:
		l.Limits = l.Limits.ForOurs()
	default:
		l.Limits = l.Limits.ForStrangers()
	}
	return l
}

// commandLine says how long a command line may be that begins with start. Only
// commands with extended arguments may be longer than 512 octets. RFC 5321
// §4.5.3.1.4, RFC 3461 §5, RFC 4954 §4.
func (l Limits) commandLine(start []byte) int {
	switch verb := string(start[:min(len("MAIL"), len(start))]); {
	case strings.EqualFold(verb, "MAIL"), strings.EqualFold(verb, "RCPT"):
		return l.PathLineOctets
	case strings.EqualFold(verb, "AUTH"):
		return l.AuthLineOctets
	}
	return l.LineOctets
}

// check names the first limit that is not positive: an unset limit is no limit.
func (l Limits) check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"CommandTimeout", int64(l.CommandTimeout)},
		{"DataTimeout", int64(l.DataTimeout)}, {"WriteTimeout", int64(l.WriteTimeout)},
		{"SessionDuration", int64(l.SessionDuration)}, {"DataRateGrace", int64(l.DataRateGrace)},
		{"CommandRateGrace", int64(l.CommandRateGrace)},
		{"ShutdownGrace", int64(l.ShutdownGrace)}, {"LingerTimeout", int64(l.LingerTimeout)},
		{"LingerOctets", l.LingerOctets}, {"LineOctets", int64(l.LineOctets)},
		{"PathLineOctets", int64(l.PathLineOctets)}, {"AuthLineOctets", int64(l.AuthLineOctets)},
		{"TextLineOctets", int64(l.TextLineOctets)}, {"ReplyOctets", int64(l.ReplyOctets)},
		{"MessageOctets", l.MessageOctets}, {"DrainOctets", l.DrainOctets},
		{"Recipients", int64(l.Recipients)}, {"Transactions", int64(l.Transactions)},
		{"Errors", int64(l.Errors)}, {"Deferrals", int64(l.Deferrals)}, {"Junk", int64(l.Junk)},
		{"Unknown", int64(l.Unknown)}, {"AuthFailures", int64(l.AuthFailures)},
		{"AuthRounds", int64(l.AuthRounds)},
	} {
		if f.value <= 0 {
			return fmt.Errorf("server: limit %s is %d; it must be positive", f.name, f.value)
		}
	}
	if l.GreetDelay < 0 || l.MinDataRate < 0 || l.MinCommandRate < 0 || l.AuthFailureDelay < 0 {
		return errors.New("server: a limit is negative")
	}
	return l.Limits.Check()
}
