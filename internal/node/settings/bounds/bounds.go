// Package bounds translates the numbers of the configuration into the limits of the packages that
// they bound.
package bounds

import (
	"math"

	"sallyport/internal/access"
	"sallyport/internal/accounts"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/config"
	"sallyport/internal/dispatch"
	"sallyport/internal/intake"
	"sallyport/internal/sched"
	"sallyport/internal/screen"
	"sallyport/internal/screen/greylist"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
)

// Server returns the bounds of the doors.
func Server(cfg config.Config) server.Limits {
	c, l := cfg.Limits, server.DefaultLimits()
	l.Connections, l.ConnectionsPerNetwork = c.Connections, c.ConnectionsPerNetwork
	l.Handshakes, l.HandshakeTimeout = c.Handshakes, c.HandshakeTimeout
	l.GreetDelay, l.CommandTimeout, l.DataTimeout, l.MinDataRate = c.GreetDelay, c.CommandTimeout, c.DataTimeout, c.MinDataRate
	l.SessionDuration, l.ShutdownGrace = c.SessionTime, c.ShutdownGrace
	l.Transactions, l.Recipients, l.MessageOctets = c.Transactions, c.Recipients, c.MessageSize
	l.Errors, l.Unknown, l.Junk, l.AuthFailures = c.Errors, c.UnknownCommands, c.JunkCommands, c.AuthFailures
	l.ProxyTimeout = cfg.Proxy.Timeout
	return l
}

// Intake returns the bounds of what comes in.
func Intake(cfg config.Config) intake.Limits {
	l := intake.DefaultLimits()
	l.Header.HeaderOctets, l.Header.Fields, l.Header.Hops = int(cfg.Limits.HeaderSize), cfg.Limits.HeaderFields, cfg.Limits.Hops
	l.AskTime = cfg.Callout.Timeout
	l.Deliveries = spool.DefaultLimits().Recipients
	return l
}

// Access returns the bounds of those who read.
func Access(cfg config.Config) access.Limits {
	c, l := cfg.Limits, access.DefaultLimits()
	l.Door = Server(cfg).Limits
	l.Door.Connections, l.Door.ConnectionsPerNetwork = c.ReadingConnections, c.ReadingConnectionsPerNetwork
	l.IMAP.MessageOctets, l.IMAP.AuthFailures, l.IMAP.HandshakeTimeout = c.MessageSize, c.AuthFailures, c.HandshakeTimeout
	l.POP3.AuthFailures, l.POP3.HandshakeTimeout = c.AuthFailures, c.HandshakeTimeout
	return l
}

// SignIn returns the bounds of what one account may have.
func SignIn(cfg config.Config) signin.Limits {
	l := signin.DefaultLimits()
	l.SessionsPerAccount, l.ReadersPerAccount = cfg.Limits.SessionsPerAccount, cfg.Limits.ReadingSessionsPerAccount
	return l
}

// Inflow returns what networks may bring and mailboxes take. A message of the largest size has
// room in each.
func Inflow(cfg config.Config) inflow.Limits {
	l := cfg.Inflow
	l.Lines = inflow.DefaultLimits().Lines
	// A bucket gives half of it at once, and what intake adds to a header section counts.
	least := 2 * (cfg.Limits.MessageSize + int64(spool.DefaultLimits().PrefixOctets))
	for _, octets := range []*int64{&l.NetworkOctets, &l.ShareOctets, &l.MailboxOctets} {
		*octets = max(*octets, least)
	}
	return l
}

// Spool returns the bounds of the queue.
func Spool(cfg config.Config) spool.Limits {
	c, l := cfg.Limits, spool.DefaultLimits()
	l.InlineOctets = int(c.InlineSize)
	// What intake adds to a header section must not make a message too large.
	l.MessageOctets = c.MessageSize + int64(l.PrefixOctets)
	l.Entries, l.Octets, l.EntriesPerAccount = c.QueueMessages, c.QueueSize, c.QueueMessagesByAccount
	// Each session may hold the claim of a message that waits to be dispatched.
	l.Claims = c.ActiveMessages + c.Connections
	return l
}

// Dispatch returns the bounds of deliveries.
func Dispatch(cfg config.Config) dispatch.Limits {
	l := dispatch.DefaultLimits()
	l.Active, l.Workers = cfg.Limits.ActiveMessages, cfg.Limits.DeliveriesPerDomain
	// What intake takes, with the fields that it adds, reads here.
	h := Intake(cfg).Header
	h.HeaderOctets += spool.DefaultLimits().PrefixOctets
	h.Fields += intake.DefaultLimits().Header.Fields
	l.Header = h
	return l
}

// Accounts returns the bounds of sign-ins on a host with so many processors.
func Accounts(cfg config.Config, processors int) accounts.Limits {
	c, l := cfg.Auth, accounts.DefaultLimits()
	if l.HashAtOnce = c.Hashing; c.Hashing == 0 {
		l.HashAtOnce = accounts.HashesOn(processors)
	}
	l.HashQueue, l.HashWait = c.Waiting, c.WaitTime
	l.CacheEntries, l.CacheTTL = c.CacheEntries, c.CacheTTL
	l.HashMemory, l.HashPasses = clampUint32(c.ArgonMemory>>10), clampUint32(int64(c.ArgonRounds))
	l.ScramRounds = c.ScramRounds
	guesses := screen.AtMost(c.GuessesPerTime, c.GuessTime)
	l.Guesses.Account, l.Guesses.Known = guesses, guesses
	l.Guesses.Network = screen.AtMost(c.GuessesPerNetwork, c.GuessTime)
	l.Guesses.Shared = l.Guesses.Network
	l.Guesses.All = screen.AtMost(c.GuessesPerServer, c.GuessTime)
	l.WrongFor = c.WrongFor
	return l
}

func clampUint32(v int64) uint32 { return uint32(max(0, min(v, math.MaxUint32))) }

// Trace returns how long facts are kept, and how often they are signed.
func Trace(cfg config.Config) trace.Limits {
	l := trace.DefaultLimits()
	l.Keep, l.StrangersKeep, l.CheckpointEvery = cfg.Trace.Keep, cfg.Trace.KeepStrangers, cfg.Trace.CheckpointEvery
	return l
}

// Retry returns when a message is tried again.
func Retry(cfg config.Config) sched.Policy {
	p, r := sched.Default(), cfg.Retry
	p.First, p.Max, p.Factor, p.Jitter, p.Expire = r.First, r.Max, r.Factor, r.Jitter, r.Expire
	p.Warn = r.Warn
	return p
}

// Greylist says how long strangers are put off.
func Greylist(cfg config.Config) greylist.Limits {
	l := greylist.DefaultLimits()
	l.Wait = cfg.Screen.Greylist
	return l
}
