package dnsx

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Server is a recursive server to ask.
type Server struct {
	Addr netip.AddrPort
	// Validating says that the administrator knows it to validate with DNSSEC, so
	// that its AD bit is believed. RFC 6840 §5.8 asks for a path that nobody can
	// write to: it must have a loopback address.
	Validating bool
	// Assumed says that nobody named it: it is where a server would be if this host had
	// one. That it does not answer is no want of ours then.
	Assumed bool
}

// Options says whom to ask and how hard. The zero Options are refused.
type Options struct {
	Servers []Server // in the order of preference
	Limits  Limits
	Now     func() time.Time
}

// Limits bounds what a question may cost and what is remembered.
type Limits struct {
	Servers    int           // that are configured, the most
	Query      time.Duration // to wait for one answer of one server
	Total      time.Duration // to wait for all answers to one question
	Rounds     int           // how often each server is asked
	Rest       time.Duration // a server that did not answer is asked last for so long
	Concurrent int           // questions on their way at once; more wait
	Strangers  int           // of them for all messages of strangers together, so that our own deliveries go on
	Network    int           // of them for messages from one network: a /24 of IPv4, a /48 of IPv6
	Message    int           // of them for one message
	Wait       time.Duration // for room, the longest; then the message is deferred
	Waiting    int           // questions that wait at once; more are refused, and their messages deferred

	NetworkWaiting int           // of them for messages from one network
	Sound          time.Duration // an answer so lately shows that our servers answer; else they are asked for the root when a question fails, as after an answer that took longer
	Open           time.Duration // for so long a way out of our servers counts that was found: names that are made up are answered
	Shut           time.Duration // for so long counts that none was found
	Strays         int           // datagrams that are no answer to our question, before TCP is tried instead
	UDPOctets      int           // of an answer over UDP, as EDNS0 announces. RFC 6891 §6.2.5
	TCPOctets      int           // of an answer over TCP
	Records        int           // in all sections of an answer
	Aliases        int           // CNAME records from the name asked for to the last

	CacheEntries int           // answers remembered
	CacheOctets  int           // their size together, roughly
	MinTTL       time.Duration // what says that it may not be kept is kept for so long
	MaxTTL       time.Duration // no answer is kept longer
	MaxNegative  time.Duration // the same for ErrNoName and ErrNoData. RFC 2308 §5
	FailureTTL   time.Duration // how long a failure is remembered at first. RFC 9520 §3.2: at least 1 s
	FailureMax   time.Duration // how long at most, after failures in a row. RFC 9520 §3.2: no more than 5 min
	Failing      int           // names and zones whose failures are remembered
	ZoneFailures int           // names that fail, one after the other, until their zone itself is asked whether it answers
	Suspects     int           // zones that are asked so for one name that fails
}

// DefaultLimits returns the bounds of a resolver that nobody configured.
func DefaultLimits() Limits {
	return Limits{
		Servers: 4, Query: 4 * time.Second, Total: 20 * time.Second, Rounds: 2, Rest: 30 * time.Second,
		Concurrent: 256, Strangers: 192, Network: 32, Message: 16, Wait: 8 * time.Second, Waiting: 2048,
		NetworkWaiting: 128, Sound: time.Second, Open: 30 * time.Second, Shut: 5 * time.Second,
		Strays: 16, UDPOctets: 1232, TCPOctets: 32 << 10, Records: 256, Aliases: 8,
		CacheEntries: 10_000, CacheOctets: 8 << 20,
		MinTTL: 5 * time.Second, MaxTTL: time.Hour, MaxNegative: 10 * time.Minute,
		FailureTTL: 5 * time.Second, FailureMax: 5 * time.Minute, Failing: 10_000, ZoneFailures: 3,
		Suspects: 3,
	}
}

// minUDPOctets is what every DNS server may send over UDP. RFC 1035 §2.3.4.
const minUDPOctets = 512

const (
	// mostUDPOctets is the largest answer over UDP that may be announced: larger ones come in
	// fragments, which others can forge. RFC 6891 §6.2.5.
	mostUDPOctets = 4096
	// mostTCPOctets is the largest message over TCP: two octets say how long it is. RFC 1035 §4.2.2.
	mostTCPOctets = 65535
)

func (o Options) check() error {
	l := o.Limits
	counts := min(l.Servers, l.Rounds, l.Concurrent, l.Strays, l.Records, l.Aliases, l.CacheEntries, l.CacheOctets,
		l.Strangers, l.Network, l.Message, l.Waiting, l.NetworkWaiting, l.Failing, l.ZoneFailures, l.Suspects)
	times := min(l.Query, l.Total, l.Rest, l.Wait, l.MinTTL, l.MaxNegative, l.FailureTTL, l.Sound, l.Open, l.Shut)
	switch {
	case o.Now == nil:
		return errors.New("dnsx: a clock is needed")
	case counts < 1 || times <= 0 || l.MaxTTL < l.MinTTL || l.MaxNegative < l.MinTTL || l.FailureMax < l.FailureTTL:
		return errors.New("dnsx: every limit must be positive, and no longest time below the shortest")
	case l.UDPOctets < minUDPOctets || l.UDPOctets > mostUDPOctets || l.TCPOctets < l.UDPOctets || l.TCPOctets > mostTCPOctets:
		return errors.New("dnsx: answers need 512 to 4096 octets over UDP, and no fewer over TCP")
	case len(o.Servers) == 0 || len(o.Servers) > l.Servers:
		return fmt.Errorf("dnsx: 1 to %d servers are needed", l.Servers)
	}
	return checkServers(o.Servers)
}

// checkServers also refuses a mixture: when the validating server is slow, or made
// slow, another would answer in its place without validation.
func checkServers(servers []Server) error {
	for _, s := range servers {
		switch {
		case !s.Addr.IsValid() || s.Addr.Port() == 0 || s.Addr.Addr().IsUnspecified() || s.Addr.Addr().IsMulticast():
			return fmt.Errorf("dnsx: %s is no address of a server", s.Addr)
		case s.Validating && !s.Addr.Addr().Unmap().IsLoopback():
			return fmt.Errorf("dnsx: %s is trusted to validate, but is not reached over loopback", s.Addr)
		case s.Validating != servers[0].Validating:
			return errors.New("dnsx: either all servers validate, or none")
		}
	}
	return nil
}

// resolvConf is where the system names its recursive servers.
const resolvConf = "/etc/resolv.conf"

// System returns a Client of the servers, or of the system's where there are none.
// validating: they check DNSSEC; only the administrator knows whether they do.
func System(servers []netip.AddrPort, validating bool, now func() time.Time) (*Client, error) {
	o, err := systemOptions(servers, validating, now)
	if err != nil {
		return nil, err
	}
	return NewClient(o)
}

func systemOptions(servers []netip.AddrPort, validating bool, now func() time.Time) (Options, error) {
	o := Options{Limits: DefaultLimits(), Now: now}
	for _, at := range servers {
		o.Servers = append(o.Servers, Server{Addr: at})
	}
	if len(o.Servers) == 0 {
		var err error
		if o.Servers, err = readServers(resolvConf, o.Limits.Servers); err != nil {
			return o, err
		}
	}
	for i := range o.Servers {
		o.Servers[i].Validating = validating
	}
	return o, nil
}
