package screen

import (
	"net/netip"
	"time"

	"sallyport/internal/mail"
)

// ConnectLimits bounds how fast new connections may come.
type ConnectLimits struct {
	Network  Rate // new connections of one network
	Networks int  // networks remembered
}

// DefaultConnectLimits stops only floods: 10,000 connections at once and 1,000 a
// second from one network are far beyond any mail server's honest peer.
func DefaultConnectLimits() ConnectLimits {
	return ConnectLimits{Network: Rate{Burst: 10_000, Every: time.Millisecond}, Networks: 65_536}
}

// Connects remembers which networks opened connections of late. It is not safe
// for concurrent use.
type Connects struct {
	limits   ConnectLimits
	networks *Table[netip.Prefix]
}

// NewConnects starts with no memory.
func NewConnects(l ConnectLimits) *Connects {
	return &Connects{limits: l, networks: NewTable[netip.Prefix](l.Network, l.Networks)}
}

// Arrive counts one new connection and decides whether it may stay.
func (c *Connects) Arrive(from netip.Addr, now time.Time) Verdict {
	n := Network(from)
	if c.networks.Take(n, now) {
		return pass()
	}
	// RFC 5321 §3.8: 421 closes the channel.
	reply := mail.R(421, "4.7.0", "too many connections from your network, try again later")
	return refuse(RuleConnectRate, c.limits.Network, c.networks.Wait(n, now), "network "+n.String(), reply)
}
