package server

import "crypto/tls"

// ownTLS is the TLS configuration of one kind of door, and the whole server's that it was
// made of. The keys of session tickets belong to a configuration: with one of its own, a
// door cannot read the tickets of another, so that what a client was asked at one door is
// never taken for asked at a second.
type ownTLS struct {
	whole, own *tls.Config
}

// of returns the configuration that a door makes of the whole server's: its former one,
// with the tickets that clients hold, while that of the whole server stays the same.
func (o ownTLS) of(whole *tls.Config, k Kind) ownTLS {
	switch {
	case whole == nil:
		return ownTLS{}
	case o.whole == whole:
		return o
	}
	return ownTLS{whole: whole, own: fresh(whole, k)}
}

// fresh returns a configuration that presents what c does, to the same clients, and has no
// keys yet: a Clone would take over those that c made when it was used.
//
// Where our people sign in, clients are asked for a certificate, without a list of
// authorities, since several programs show none that no list names; whatever they show is
// taken, and judged where it is to count for something. Mail servers on port 25 are not asked.
func fresh(c *tls.Config, k Kind) *tls.Config {
	ask := tls.NoClientCert
	note := awaitTurn
	if k == KindSubmission || k == KindSubmissions {
		ask, note = tls.RequestClientCert, noteHello
	}
	return &tls.Config{
		ClientAuth: ask, GetConfigForClient: note,
		Certificates: c.Certificates, Time: c.Time, MinVersion: c.MinVersion, MaxVersion: c.MaxVersion,
		CipherSuites: c.CipherSuites, CurvePreferences: c.CurvePreferences, SessionTicketsDisabled: c.SessionTicketsDisabled,
	}
}
