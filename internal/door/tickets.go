package door

import "crypto/tls"

// TLS is the TLS configuration of one door, and the whole server's that it was
// made of. The keys of session tickets belong to a configuration: with one of its own, a
// door cannot read the tickets of another, so that what a client was asked at one door is
// never taken for asked at a second. The zero TLS is none.
type TLS struct {
	whole, own *tls.Config
}

// Own returns the door's configuration; nil: there is none.
func (o TLS) Own() *tls.Config { return o.own }

// Of returns the configuration that a door makes of the whole server's: its former one,
// with the tickets that clients hold, while that of the whole server stays the same.
// ask: our people sign in there, and are asked for a certificate.
func (o TLS) Of(whole *tls.Config, ask bool) TLS {
	switch {
	case whole == nil:
		return TLS{}
	case o.whole == whole:
		return o
	}
	return TLS{whole: whole, own: fresh(whole, ask)}
}

// fresh returns a configuration that presents what c does, to the same clients, and has no
// keys yet: a Clone would take over those that c made when it was used.
//
// Where our people sign in, clients are asked for a certificate, without a list of
// authorities, since several programs show none that no list names; whatever they show is
// taken, and judged where it is to count for something. Mail servers on port 25 are not asked.
func fresh(c *tls.Config, ask bool) *tls.Config {
	request, note := tls.NoClientCert, awaitTurn
	if ask {
		request, note = tls.RequestClientCert, noteHello
	}
	return &tls.Config{
		ClientAuth: request, GetConfigForClient: note,
		Certificates: c.Certificates, Time: c.Time, MinVersion: c.MinVersion, MaxVersion: c.MaxVersion,
		CipherSuites: c.CipherSuites, CurvePreferences: c.CurvePreferences, SessionTicketsDisabled: c.SessionTicketsDisabled,
	}
}

// Presented returns the certificate that a connection under a door's configuration was shown:
// each configuration has one, and a connection keeps its configuration. Nil: it is not known.
func Presented(c *tls.Config) *tls.Certificate {
	if c == nil || len(c.Certificates) != 1 {
		return nil
	}
	return &c.Certificates[0]
}

// Bindable reports whether SASL can be bound to this TLS channel. RFC 9266.
func Bindable(state *tls.ConnectionState) bool {
	_, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	return err == nil
}
