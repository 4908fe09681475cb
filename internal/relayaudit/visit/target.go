package visit

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit/verdict"
)

// ErrTarget wraps what is wrong with a target as an auditor wrote it.
var ErrTarget = errors.New("not understood")

// Target is a server as an auditor names it: HOST, HOST:PORT or HOST:PORT/KIND.
type Target struct {
	Asked string
	Host  string     // a name; "" if IP is set
	IP    netip.Addr // zero if Host is set
	Doors []Door     // ports and what they are for
}

// Door is a port and what it is for.
type Door struct {
	Port uint16
	Kind verdict.Kind
}

// usual are the doors of a server of which no port was named.
var usual = [...]Door{{25, verdict.SMTP}, {587, verdict.Submission}, {465, verdict.Submissions}}

// ParseTarget reads a target. A port stands for what it is registered for, any other for the
// world's, unless a kind (smtp, submission, submissions) stands behind it.
func ParseTarget(s string) (Target, error) {
	t := Target{Asked: mail.Shown(s)}
	rest, kind, named := strings.Cut(s, "/")
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		host, port = strings.Trim(rest, "[]"), ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		t.IP = ip.Unmap()
	} else if d, err := mail.ParseHostname(strings.TrimSuffix(host, ".")); err == nil {
		t.Host = d.ASCII()
	} else {
		return Target{}, fmt.Errorf("%w: %q is neither a host name nor an address", ErrTarget, t.Asked)
	}
	if port == "" {
		if named {
			return Target{}, fmt.Errorf("%w: %q: a kind stands behind a port", ErrTarget, t.Asked)
		}
		t.Doors = usual[:]
		return t, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Target{}, fmt.Errorf("%w: %q: the port must be 1 to 65535", ErrTarget, t.Asked)
	}
	d := Door{uint16(n), verdict.SMTP}
	for _, u := range usual {
		if u.Port == d.Port {
			d.Kind = u.Kind
		}
	}
	if named {
		if d.Kind = kindOf(kind); d.Kind == 0 {
			return Target{}, fmt.Errorf("%w: %q: behind the port stands smtp, submission or submissions", ErrTarget, t.Asked)
		}
	}
	t.Doors = []Door{d}
	return t, nil
}

func kindOf(s string) verdict.Kind {
	for _, k := range []verdict.Kind{verdict.SMTP, verdict.Submission, verdict.Submissions} {
		if s == k.String() {
			return k
		}
	}
	return 0
}

// Endpoints returns the doors at addresses.
func (t Target) Endpoints(at []netip.Addr) (all []Endpoint) {
	for _, ip := range at {
		for _, d := range t.Doors {
			all = append(all, Endpoint{netip.AddrPortFrom(ip, d.Port), d.Kind})
		}
	}
	return all
}
