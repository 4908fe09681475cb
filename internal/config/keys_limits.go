package config

import "time"

func limitKeys() []entry[Limits] {
	all := connectionLimits()
	all = append(all, sessionLimits()...)
	all = append(all, readingLimits()...)
	all = append(all, messageLimits()...)
	return append(all, queueLimits()...)
}

func connectionLimits() []entry[Limits] {
	return []entry[Limits]{
		count("limits.connections", "4096", "1", "100000",
			"Connections at once, over all listeners that take mail. New ones on mx are turned away "+
				"when three quarters are taken, so that strangers leave room for our own people; the last "+
				"eighth is for those who have signed in. Where there is no room, a silent connection of the "+
				"most crowded network goes for a new one: first one that has sent no MAIL, then one of "+
				"which no message was taken, also in the middle of a message that stands still or comes "+
				"slower than limits.min_data_rate. Where memory is short, nobody comes unless one goes.",
			func(l *Limits) *int { return &l.Connections }),
		count("limits.connections_per_network", "128", "1", "100000",
			"Connections at once from one network: an IPv4 /24 or an IPv6 /64. An IPv4 /20 or IPv6 /56 "+
				"may have twice as many, an IPv4 /16 or IPv6 /48 four times. This host itself is not "+
				"counted.",
			func(l *Limits) *int { return &l.ConnectionsPerNetwork }),
		count("limits.handshakes", "512", "1", "10000",
			"TLS handshakes at once, and as many again from addresses from which somebody of ours "+
				"signed in within a day and still may; when more than half of them are under way, each has "+
				"only 5 seconds, and when all are, the oldest is given up for a new one.",
			func(l *Limits) *int { return &l.Handshakes }),
		duration("limits.handshake_time", "30s", "1s", "5m", "The longest TLS handshake.",
			func(l *Limits) *time.Duration { return &l.HandshakeTimeout }),
		duration("limits.greet_delay", "10ms", "0s", "30s",
			"Silence before the banner on the mx door: who speaks before it is refused. An address of "+
				"which a message was taken within the last hour does not wait.",
			func(l *Limits) *time.Duration { return &l.GreetDelay }),
		duration("limits.shutdown_grace", "20s", "1s", "10m", "How long data in progress may take to finish at shutdown.",
			func(l *Limits) *time.Duration { return &l.ShutdownGrace }),
	}
}

func sessionLimits() []entry[Limits] {
	return []entry[Limits]{
		duration("limits.command_timeout", "5m", "1s", "1h",
			"How long to wait for a command, to its last octet, and for all responses of one sign-in "+
				"together. RFC 5321 §4.5.3.2.7 asks for 5 minutes.",
			func(l *Limits) *time.Duration { return &l.CommandTimeout }),
		duration("limits.data_timeout", "3m", "1s", "1h",
			"How long to wait for the next octet of a message. RFC 5321 §4.5.3.2.5 asks for 3 minutes.",
			func(l *Limits) *time.Duration { return &l.DataTimeout }),
		size("limits.min_data_rate", "256", "0", "1MiB",
			"Octets a second that message data must reach on average, after a minute of waiting for "+
				"them, the pauses between BDAT commands included; 0: any.",
			func(l *Limits) *int64 { return &l.MinDataRate }),
		duration("limits.session_time", "2h", "1m", "2d",
			"The longest session. What is under way then ends with 421, a message in its middle too, "+
				"and its client sends it again.",
			func(l *Limits) *time.Duration { return &l.SessionTime }),
		count("limits.transactions", "10000", "1", "1000000", "Messages in one session. Told to the client (RFC 9422).",
			func(l *Limits) *int { return &l.Transactions }),
		count("limits.recipients", "1000", "100", "2000",
			"Recipients of one message. RFC 5321 §4.5.3.1.8 asks for at least 100. Told to the client "+
				"(RFC 9422).",
			func(l *Limits) *int { return &l.Recipients }),
		count("limits.errors", "20", "1", "1000", "Refused commands in one session.",
			func(l *Limits) *int { return &l.Errors }),
		count("limits.unknown_commands", "10", "1", "1000", "Unknown commands in one session.",
			func(l *Limits) *int { return &l.UnknownCommands }),
		count("limits.junk_commands", "100", "10", "10000",
			"Commands that move no mail (NOOP, RSET, VRFY, HELP, chunks of a few octets) without a "+
				"message between them.",
			func(l *Limits) *int { return &l.JunkCommands }),
		count("limits.auth_failures", "3", "1", "20", "Sign-ins that fail, or are put off, in one session.",
			func(l *Limits) *int { return &l.AuthFailures }),
		count("limits.sessions_per_account", "32", "1", "10000", "Sessions at once that are signed in as one account to send.",
			func(l *Limits) *int { return &l.SessionsPerAccount }),
	}
}

func readingLimits() []entry[Limits] {
	return []entry[Limits]{
		count("limits.reading_connections", "4096", "1", "100000",
			"Connections at once to imap, imaps, pop3 and pop3s together. They are counted apart from "+
				"those that bring mail, so that neither keeps the other out; the last eighth is for those "+
				"who have signed in, and where there is no room, one that nobody signed in to goes for a "+
				"new one.",
			func(l *Limits) *int { return &l.ReadingConnections }),
		count("limits.reading_connections_per_network", "1024", "1", "100000",
			"The same from one network: an IPv4 /24 or an IPv6 /64, with wider ones as for "+
				"limits.connections_per_network. A mail program holds several connections open all day, and "+
				"an office has one address.",
			func(l *Limits) *int { return &l.ReadingConnectionsPerNetwork }),
		count("limits.reading_sessions_per_account", "64", "1", "10000", "Sessions at once in which one account reads, over all devices.",
			func(l *Limits) *int { return &l.ReadingSessionsPerAccount }),
	}
}

func messageLimits() []entry[Limits] {
	return []entry[Limits]{
		size("limits.message_size", "50MiB", "64KiB", "2GiB", "The largest message. Told to the client (RFC 1870).",
			func(l *Limits) *int64 { return &l.MessageSize }),
		size("limits.header_size", "1MiB", "16KiB", "16MiB", "The largest header section of a message.",
			func(l *Limits) *int64 { return &l.HeaderSize }),
		count("limits.header_fields", "1000", "50", "100000", "The most fields in the header section of a message.",
			func(l *Limits) *int { return &l.HeaderFields }),
		count("limits.hops", "50", "10", "200", "Received fields beyond which a message counts as looping. RFC 5321 §6.3.",
			func(l *Limits) *int { return &l.Hops }),
		count("limits.alias_targets", "1000", "1", "2000", "Mailboxes that one address may expand to.",
			func(l *Limits) *int { return &l.AliasTargets }),
		count("limits.alias_depth", "10", "1", "100", "Aliases that may follow each other.",
			func(l *Limits) *int { return &l.AliasDepth }),
	}
}

func queueLimits() []entry[Limits] {
	return []entry[Limits]{
		count("limits.queue_messages", "2000000", "1", "100000000", "Messages in the queue; further ones are told to come back (452).",
			func(l *Limits) *int { return &l.QueueMessages }),
		size("limits.queue_size", "64GiB", "1MiB", "100TiB", "Octets in the queue.",
			func(l *Limits) *int64 { return &l.QueueSize }),
		count("limits.queue_messages_per_account", "50000", "1", "100000000", "Messages of one account in the queue.",
			func(l *Limits) *int { return &l.QueueMessagesByAccount }),
		size("limits.inline_size", "128KiB", "1KiB", "1MiB",
			"Up to this size a message is kept in the store itself, beyond it in a file of its own.",
			func(l *Limits) *int64 { return &l.InlineSize }),
		size("limits.min_free", "128MiB", "1MiB", "1TiB",
			"Disk space that mail never takes: below it mail is answered with 452, and neither put into "+
				"mailboxes nor forwarded until there is room. What ends an attempt, freezes an account or "+
				"stands in the trace may use it.",
			func(l *Limits) *int64 { return &l.MinFree }),
		size("limits.unjudged_memory", "256MiB", "16MiB", "1TiB",
			"Memory for mail that is not judged yet, over all connections: header sections, bodies, "+
				"recipients, buffers. Beyond three quarters, or an eighth for those of one network (an IPv4 "+
				"/24 or IPv6 /48), strangers are told to come back (452 4.3.1); the rest is kept for people "+
				"who signed in. This host has no part of its own, nor has whom screen.list exempts.",
			func(l *Limits) *int64 { return &l.UnjudgedMemory }),
		size("limits.memory", "0B", "0B", "16TiB",
			"Memory that the server tries to stay within: it collects garbage more often, and tells "+
				"strangers to come back when eight tenths of it are alive, and everybody when nine tenths "+
				"are. 0B: nine tenths of what the control group allows, else half of what the host has. "+
				"GOMEMLIMIT in the environment outranks it.",
			func(l *Limits) *int64 { return &l.Memory }),
		count("limits.active_messages", "10000", "1", "100000", "Messages that are in memory for delivery at once.",
			func(l *Limits) *int { return &l.ActiveMessages }),
		count("limits.deliveries_per_domain", "20", "1", "10000", "Delivery attempts at once to one destination.",
			func(l *Limits) *int { return &l.DeliveriesPerDomain }),
	}
}
