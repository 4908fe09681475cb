// Package gather looks at a server's surroundings for package doctor, which judges them:
// at the DNS, this host, its disk and files, and at who answers on each port.
//
// It promises to change nothing but for a file in the data folder that it syncs and
// removes; that each look at the network has a bound; and that what could not be found
// out stands in the facts, and fails nothing else.
package gather

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/operate/doctor"
)

// Limits bounds the looks at the network.
type Limits struct {
	Look time.Duration // for one question to the DNS, and for one greeting
	SPF  time.Duration // for all that one SPF record asks the DNS
	Text int           // octets of a text from the DNS that are looked at
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits { return Limits{Look: 5 * time.Second, SPF: 20 * time.Second, Text: 1000} }

// DNSSECProbe is a signed name of the root's operators, at which it shows whether the
// resolver validates.
const DNSSECProbe = "iana.org"

// Listener is an address that the configuration gives a door.
type Listener struct {
	Door string
	At   netip.AddrPort
	TLS  bool // from the first octet
}

// Hop is a server that we pass mail on to.
type Hop struct {
	For     string // whose mail: "domain example.org", "route *"
	Network string // "tcp" or "unix"
	At      string
	TLS     bool // from the first octet
}

// Token is an authorization server that gives tokens for routes.
type Token struct {
	For   string // whose mail: "route *"
	At    string // its host
	Tries bool   // Ask asks for a token; else it only looks whether the server is there
	Ask   func(ctx context.Context) error
	Waits string // why the running server has no token; "": it has, or none runs
}

// Helper is a program that is asked about the content of messages.
type Helper struct {
	For    string // "rspamd", "milter NAME"
	At     string
	Defers bool // mail that it cannot see is deferred
	// Ask finds out whether it is there, without showing it any mail.
	Ask func(context.Context) error
}

// File is a file or folder of the server's.
type File struct {
	Path, What string
	Secret     bool // nobody else may read it
	OwnOnly    bool // not even the group
	Later      bool // it need not be there before the first start
	Socket     bool // of which only it is told whether others could replace it
}

// Key is a key that signs mail.
type Key struct {
	Domain, Selector string
	Name             string // of the record
	Algorithm, State string // as they are shown
	Text             string // of the record
	Zone             string // the record as a line of a zone file
}

// Options say what is looked at. Hostname, Data, Dial and Limits are required.
type Options struct {
	Now      time.Time
	Hostname mail.Domain
	Own      []netip.Addr // addresses that are ours
	// Hub: all mail leaves by a next hop, whose addresses others see, and not ours.
	Hub bool
	// Domains are ours, each once.
	Domains []mail.Domain
	// Resolver asks the DNS; nil: ResolverError says why there is none.
	Resolver      dnsx.Resolver
	ResolverError string
	Listeners     []Listener
	Behind        []Hop
	Tokens        []Token
	Provider      string                          // whose tokens sign our people in; "": nobody's
	AskProvider   func(ctx context.Context) error // whether it is there and has keys
	Helpers       []Helper
	Certificate   Certificate
	// Signs: mail is signed, with Keys, which Find looks up in the DNS. KeysFault says why
	// the keys are not known; "": they are.
	Signs     bool
	KeysFault string
	Keys      []Key
	Find      func(ctx context.Context, names []dkim.KeyName) map[dkim.KeyName]dkim.Found
	Data      string // folder
	// MinFree are the octets that stay free of its disk, Connections those of limits.
	MinFree     uint64
	Connections int
	Files       []File
	// Outbound is a domain whose mail exchanger's port is tried; "": none.
	Outbound string
	Port     uint16
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Server   doctor.ServerFacts
	Queue    doctor.QueueFacts
	Telling  doctor.TellingFacts
	Limits   Limits
}

// Gather looks. It fails for nothing: what it could not find out stands in the facts.
func Gather(ctx context.Context, o Options) doctor.Facts {
	f := doctor.Facts{
		Now: o.Now, Hostname: o.Hostname.ASCII(), Own: o.Own, Server: o.Server, Queue: o.Queue, Telling: o.Telling,
		Clock: gatherClock(), Disk: gatherDisk(o), Files: gatherFiles(o), Limits: gatherLimits(o),
	}
	var cert *x509.Certificate
	f.TLS, cert = gatherTLS(o)
	var looking sync.WaitGroup
	looking.Go(func() { f.Ports = gatherPorts(ctx, o) })
	looking.Go(func() { f.Behind = gatherBehind(ctx, o) })
	looking.Go(func() { f.Tokens = gatherTokens(ctx, o) })
	looking.Go(func() { f.Provider = gatherProvider(ctx, o) })
	looking.Go(func() { f.Helpers = gatherHelpers(ctx, o) })
	if o.Resolver == nil {
		f.Resolver.Error = o.ResolverError
	} else {
		l := look{o.Resolver, o.Limits}
		l.gatherDNS(ctx, o, &f)
		if f.Resolver.Error == "" && o.Signs {
			f.Others = examineKeys(ctx, o)
		}
		f.TLS.Lacks = lacks(o.Certificate, f.Domains, cert)
		if o.Outbound != "" {
			f.Outbound = l.gatherOutbound(ctx, o)
		}
	}
	looking.Wait()
	return f
}
