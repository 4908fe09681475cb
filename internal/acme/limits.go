package acme

import (
	"time"

	"sallyport/internal/kit/httpd"
)

// Limits bounds what obtaining a certificate costs.
type Limits struct {
	FirstPause  time.Duration // after a failed attempt; it doubles with each failure in a row
	MaxPause    time.Duration // longest such pause
	Attempt     time.Duration // for one attempt, from the order to the certificate
	Look        time.Duration // how often it is seen whether something is to be done: a clock may be set, a name may have come
	Names       int           // that a certificate bears
	Lookup      time.Duration // for a question to the DNS about a name that it may bear
	Challenge   time.Duration // for a connection to where challenges are answered, with its request and answer
	Header      int           // octets of the header of such a request
	Connections int           // at once, at one address where challenges are answered, a quarter of them for one network; more wait
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		FirstPause: time.Minute, MaxPause: 12 * time.Hour, Attempt: 10 * time.Minute, Look: time.Hour, Names: 100, Lookup: 5 * time.Second,
		Challenge: 10 * time.Second, Header: 8 << 10, Connections: 64,
	}
}

func (l Limits) valid() bool {
	return min(l.Names, l.Header, l.Connections) > 0 && min(l.FirstPause, l.MaxPause, l.Attempt, l.Look, l.Challenge) > 0
}

// httpd are the bounds of the web server that answers challenges.
func (l Limits) httpd() httpd.Limits {
	h := httpd.DefaultLimits()
	h.Header, h.Read, h.Write, h.Idle = l.Challenge, l.Challenge, l.Challenge, l.Challenge
	h.HeaderOctets, h.Connections = l.Header, l.Connections
	return h
}
