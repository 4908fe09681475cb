package node

import (
	"context"
	"math"

	"sallyport/internal/accounts"
	"sallyport/internal/config"
	"sallyport/internal/dispatch"
	"sallyport/internal/intake"
	"sallyport/internal/kit/memory"
	"sallyport/internal/sched"
	"sallyport/internal/screen"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
)

// The functions of this file hand each package its bounds: what the configuration
// names, and the package's own defaults for the rest.

// buildLimits checks the bounds of what lives longer than a configuration, and
// adjusts them. The bounds of the doors are in their own configurations.
func (n *Node) buildLimits(_ context.Context, next, _ *generation) error {
	cfg := next.cfg
	if err := retryPolicy(cfg).Validate(); err != nil {
		return err
	}
	next.then = append(next.then, func() {
		n.memory.Adjust(cfg.Limits.UnjudgedMemory)
		n.log.Debug("memory limit", "octets", memory.Limit(cfg.Limits.Memory))
		n.disks.Reserve(cfg.Limits.Free())
		n.intake.Adjust(intakeLimits(cfg), cfg.Notice)
		n.dispatch.Adjust(retryPolicy(cfg), dispatchLimits(cfg))
		// What was checked does not fail; if it does, the former bounds stay.
		for _, err := range []error{
			n.spool.Adjust(retryPolicy(cfg), spoolLimits(cfg)),
			n.identity.Adjust(identityLimits(cfg), cfg.Auth.Mechanisms),
			n.trace.Adjust(traceLimits(cfg)),
		} {
			if err != nil {
				n.log.Error("bounds not adjusted", "err", err)
			}
		}
	})
	return nil
}

func serverLimits(cfg config.Config) server.Limits {
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

func intakeLimits(cfg config.Config) intake.Limits {
	l := intake.DefaultLimits()
	l.Header.HeaderOctets, l.Header.Fields, l.Header.Hops = int(cfg.Limits.HeaderSize), cfg.Limits.HeaderFields, cfg.Limits.Hops
	l.AskTime = cfg.Callout.Timeout
	l.SessionsPerAccount = cfg.Limits.SessionsPerAccount
	l.Deliveries = spool.DefaultLimits().Recipients
	return l
}

func spoolLimits(cfg config.Config) spool.Limits {
	c, l := cfg.Limits, spool.DefaultLimits()
	l.InlineOctets = int(c.InlineSize)
	// What intake adds to a header section must not make a message too large.
	l.MessageOctets = c.MessageSize + int64(l.PrefixOctets)
	l.Entries, l.Octets, l.EntriesPerAccount = c.QueueMessages, c.QueueSize, c.QueueMessagesByAccount
	// Each session may hold the claim of a message that waits to be dispatched.
	l.Claims = c.ActiveMessages + c.Connections
	return l
}

func dispatchLimits(cfg config.Config) dispatch.Limits {
	l := dispatch.DefaultLimits()
	l.Active, l.Workers = cfg.Limits.ActiveMessages, cfg.Limits.DeliveriesPerDomain
	// What intake takes, with the fields that it adds, reads here.
	h := intakeLimits(cfg).Header
	h.HeaderOctets += spool.DefaultLimits().PrefixOctets
	h.Fields += l.Header.Fields
	l.Header = h
	return l
}

func identityLimits(cfg config.Config) accounts.Limits {
	c, l := cfg.Auth, accounts.DefaultLimits()
	if c.Hashing > 0 {
		l.HashAtOnce = c.Hashing
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

func traceLimits(cfg config.Config) trace.Limits {
	l := trace.DefaultLimits()
	l.Keep, l.StrangersKeep, l.CheckpointEvery = cfg.Trace.Keep, cfg.Trace.KeepStrangers, cfg.Trace.CheckpointEvery
	return l
}

func retryPolicy(cfg config.Config) sched.Policy {
	p, r := sched.Default(), cfg.Retry
	p.First, p.Max, p.Factor, p.Jitter, p.Expire = r.First, r.Max, r.Factor, r.Jitter, r.Expire
	p.Warn = r.Warn
	return p
}
