package filter

import (
	"log/slog"
	"time"

	"sallyport/internal/filter/bounce"
	"sallyport/internal/filter/milter"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// RspamdOptions say how an Rspamd is asked.
type RspamdOptions struct {
	Network     string // "unix", "http" or "https"
	Address     string // path of a socket, or host and port
	Password    string // "": none
	Time        time.Duration
	Connections int
	Scope       Scope
	Spam        Spam
}

// Client returns a client that asks it; nothing is connected to yet.
func (o RspamdOptions) Client() *rspamd.Client {
	c := rspamd.Options{Password: o.Password, Limits: rspamd.DefaultLimits()}
	c.Limits.Time, c.Limits.Connections = o.Time, o.Connections
	if o.Network == "unix" {
		c.Socket = o.Address
	} else {
		c.URL = o.Network + "://" + o.Address
	}
	return rspamd.New(c)
}

// MilterOptions say how one milter is asked.
type MilterOptions struct {
	Name             string
	Network, Address string
	Time             time.Duration
	Connections      int
	Scope            Scope
	Fields           []string // header fields that it may add
}

// Client returns a client that asks it; nothing is connected to yet.
func (o MilterOptions) Client() *milter.Client {
	l := milter.DefaultLimits()
	l.Time, l.Connections = o.Time, o.Connections
	return milter.New(milter.Options{Network: o.Network, Address: o.Address, Limits: l})
}

// ChecksOptions are the programs that are to be asked.
type ChecksOptions struct {
	Hostname mail.Domain
	Rspamd   *RspamdOptions // nil: none
	Milters  []MilterOptions
	Bounces  bounce.Policy
	Header   message.Limits // of the header sections that milters make
	Named    Named          // nil: no client's name is known
	Logger   *slog.Logger
}

// Checks are the programs that are asked for an opinion about complete messages, as one
// configuration names them. A nil *Checks asks nobody.
type Checks struct {
	o       ChecksOptions
	client  *rspamd.Client
	rspamd  *Rspamd // nil: none
	milters []*Milter
}

// NewChecks prepares the checks; nothing is connected to yet.
func NewChecks(o ChecksOptions) *Checks {
	c := &Checks{o: o}
	if r := o.Rspamd; r != nil {
		c.client = r.Client()
		c.rspamd = NewRspamd(c.client, o.Hostname, r.Scope, r.Spam, o.Logger)
		c.rspamd.Named = o.Named
	}
	for _, m := range o.Milters {
		one := NewMilter(m.Client(), m.Name, o.Hostname, m.Scope, m.Fields, o.Header, o.Logger)
		one.Named = o.Named
		c.milters = append(c.milters, one)
	}
	return c
}

// Retire ends the idle connections; those of questions under way end with them.
func (c *Checks) Retire() {
	if c != nil && c.client != nil {
		c.client.Close()
	}
}

// Reserved are the header fields that no stranger may bring along, since readers take
// them for words of a check.
func (c *Checks) Reserved() []string {
	if c == nil || c.rspamd == nil {
		return nil
	}
	return SpamFields()
}

// Options returns what the checks were made with.
func (c *Checks) Options() ChecksOptions { return c.o }

// Bounces returns what becomes of bounces that are no answer to our mail; a nil *Checks
// refuses them.
func (c *Checks) Bounces() bounce.Policy {
	if c == nil {
		return bounce.Policy{}
	}
	return c.o.Bounces
}

// at returns the check at a place: Rspamd's, then those of the milters in their order.
func (c *Checks) at(place int) (intake.Inspector, bool) {
	switch {
	case c == nil:
	case place == 0 && c.rspamd != nil:
		return c.rspamd, true
	case place > 0 && place <= len(c.milters):
		return c.milters[place-1], true
	}
	return nil, false
}

// Inspectors returns the inspectors of an Rspamd and of at most milters milters, each of
// which is that of the checks in force when a message begins.
func Inspectors(milters int, inForce func() *Checks) []intake.Inspector {
	all := []intake.Inspector{placed{"rspamd", 0, inForce}}
	for i := range milters {
		all = append(all, placed{"milter", i + 1, inForce})
	}
	return all
}

// placed is the inspector at one place.
type placed struct {
	name    string // while nobody is there
	place   int
	inForce func() *Checks
}

// Name implements intake.Inspector.
func (p placed) Name() string {
	if i, ok := p.inForce().at(p.place); ok {
		return i.Name()
	}
	return p.name
}

// Begin implements intake.Inspector.
func (p placed) Begin(m intake.Message) intake.Look {
	if i, ok := p.inForce().at(p.place); ok {
		return i.Begin(m)
	}
	return nil
}
