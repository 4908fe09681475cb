package config

import (
	"net/netip"
	"time"

	"sallyport/internal/mail"
)

func serverKeys() []entry[Config] {
	return []entry[Config]{
		parsed(Key{Path: "hostname", Type: TypeHost, Required: true, Example: "mx.example.org",
			Restart: "banner, Received fields and mailbox files of a running server bear one name",
			Doc: "The name of this server, as the banner, EHLO and the Received fields give it; the DNS " +
				"should lead from it to this host and back."},
			parseHost, func(c *Config) *mail.Domain { return &c.Hostname }),
		parsed(Key{Path: "data", Type: TypePath, Required: true, Example: "/var/lib/sallyport", Min: "1", Max: "4096",
			Restart: "the queue stays where it was opened",
			Doc: "The folder that holds the queue, the accounts, the trace and the mailboxes. It is made " +
				"where it is missing, with mode 0700, and only one server may use it at a time."},
			parsePath, func(c *Config) *string { return &c.Data }),
		parsed(Key{Path: "postmaster", Type: TypeAddress,
			Doc: "The address of ours that receives mail for postmaster and abuse of the domains that name " +
				"none themselves. Without it, each domain's postmaster is a mailbox of its own. RFC 5321 " +
				"§4.5.1."},
			parseMailbox, func(c *Config) *mail.Address { return &c.Postmaster }),
		parsed(Key{Path: "notice", Type: TypeText, Max: "200",
			Doc: "Text for strangers, in one line of printable ASCII, such as \"no unauthorised use\": it " +
				"stands in the banner, and behind the refusals that strangers get for want of a right " +
				"(relaying denied, signing in required, a sender of ours on port 25)."},
			parseNotice, func(c *Config) *string { return &c.Notice }),
		parsed(Key{Path: "detail", Type: TypeChoice, Default: "+",
			Doc: `The character that parts a detail from a mailbox name: with "+", mail for alice+lists goes ` +
				`to alice. One of "+", "-", "=" or "off".`},
			parseDetail, func(c *Config) *byte { return &c.Detail }),
		list(Key{Path: "literals", Type: TypeIPs,
			Doc: "Addresses of this host whose literals (postmaster@[192.0.2.1]) name it. Only postmaster is " +
				"ever accepted there. Listening addresses count without being listed, but for 0.0.0.0 and " +
				"[::], which name none."},
			parseIP, func(c *Config) *[]netip.Addr { return &c.Literals }),
	}
}

func listenKeys() []entry[Config] {
	door := func(path, doc string, field func(*Config) *[]netip.AddrPort) entry[Config] {
		return list(Key{Path: path, Type: TypeListen, Doc: doc}, parseListen, field)
	}
	return []entry[Config]{
		door("listen.mx",
			"Where the world delivers mail for our own domains; never relays, and never offers AUTH. "+
				"Usually port 25. An address opens its own family alone: 0.0.0.0 all of IPv4, [::] all of "+
				"IPv6.",
			func(c *Config) *[]netip.AddrPort { return &c.Listen.MX }),
		door("listen.submission",
			"Where our own people hand in mail, with STARTTLS and then AUTH (RFC 6409). Usually port "+
				"587; needs a certificate.",
			func(c *Config) *[]netip.AddrPort { return &c.Listen.Submission }),
		door("listen.submissions", "The same with TLS from the first octet (RFC 8314). Usually port 465; needs a certificate.",
			func(c *Config) *[]netip.AddrPort { return &c.Listen.Submissions }),
		door("listen.imap",
			"Where our own people read their mailboxes by IMAP (RFC 9051, 3501), with STARTTLS and then "+
				"sign-in. Usually port 143; needs a certificate. Without one of imap, imaps, pop3 and pop3s "+
				"nobody reads mail through this server.",
			func(c *Config) *[]netip.AddrPort { return &c.Listen.IMAP }),
		door("listen.imaps",
			"The same with TLS from the first octet (RFC 8314), which programs should be told to use. "+
				"Usually port 993; needs a certificate.",
			func(c *Config) *[]netip.AddrPort { return &c.Listen.IMAPS }),
		door("listen.pop3",
			"Where our own people fetch their mail by POP3 (RFC 1939), with STLS and then sign-in. "+
				"Usually port 110; needs a certificate.",
			func(c *Config) *[]netip.AddrPort { return &c.Listen.POP3 }),
		door("listen.pop3s", "The same with TLS from the first octet (RFC 8314). Usually port 995; needs a certificate.",
			func(c *Config) *[]netip.AddrPort { return &c.Listen.POP3S }),
	}
}

func tlsKeys() []entry[Config] {
	return []entry[Config]{
		parsed(Key{Path: "tls.cert", Type: TypePath, Min: "1", Max: "4096",
			Doc: "The certificate chain, PEM, own certificate first."},
			parsePath, func(c *Config) *string { return &c.TLS.Cert }),
		parsed(Key{Path: "tls.key", Type: TypePath, Min: "1", Max: "4096",
			Doc: "The certificate's private key, PEM. Nobody but its owner and its group may have access (mode 0600 or 0640)."},
			parsePath, func(c *Config) *string { return &c.TLS.Key }),
	}
}

func mxKeys() []entry[Config] {
	return []entry[Config]{
		parsed(Key{Path: "mx.delivery", Type: TypeChoice, Default: "on",
			Doc: `Whether mail for a domain without a route goes to the domain's mail exchangers, as the DNS ` +
				`names them (RFC 5321 §5): "on", or "off", and then such mail waits for a route.`},
			parseSwitch, func(c *Config) *bool { return &c.MX.Delivery }),
		list(Key{Path: "mx.dns", Type: TypeListen,
			Doc: "The recursive name servers to ask, at most four. Without it: those of /etc/resolv.conf. " +
				"Where neither names one, this host is taken to have no DNS: mail from outside comes in " +
				"with its sender not known (temperror), and mail for others waits."},
			parseServer, func(c *Config) *[]netip.AddrPort { return &c.MX.DNS }),
		list(Key{Path: "mx.private", Type: TypeNetworks,
			Doc: "Networks that mail exchangers may lie in although they are not public, for an inner " +
				"network with a DNS of its own. Our own addresses are never dialled, whatever stands here."},
			parseNetwork, func(c *Config) *[]netip.Prefix { return &c.MX.Private }),
	}
}

func retryKeys() []entry[Config] {
	return []entry[Config]{
		duration("retry.first", "5m", "1s", "1d", "From the first attempt to the second.",
			func(c *Config) *time.Duration { return &c.Retry.First }),
		duration("retry.max", "2h", "1s", "2d", "The longest pause between two attempts; not shorter than retry.first.",
			func(c *Config) *time.Duration { return &c.Retry.Max }),
		factor("retry.factor", "2", "1", "10", "By how much each pause is longer than the one before.",
			func(c *Config) *float64 { return &c.Retry.Factor }),
		factor("retry.jitter", "0.2", "0", "0.9",
			"The share of a pause that is left to chance, so that messages that failed together are not "+
				"tried again together.",
			func(c *Config) *float64 { return &c.Retry.Jitter }),
		duration("retry.expire", "5d", "1m", "4w",
			"How long a message is tried before it goes back to its sender. RFC 5321 §4.5.4.1 asks for "+
				"4 to 5 days.",
			func(c *Config) *time.Duration { return &c.Retry.Expire }),
		duration("retry.warn", "4h", "0s", "4w",
			"How long a message waits before its sender is told, once, that it still does (RFC 3464: "+
				"delayed); 0s: never. Only our own people are told, and whoever asked not to be (RFC 3461: "+
				"NOTIFY) is not.",
			func(c *Config) *time.Duration { return &c.Retry.Warn }),
	}
}

func maildirKeys() []entry[Config] {
	return []entry[Config]{
		parsed(Key{Path: "maildir.root", Type: TypePath, Min: "1", Max: "4096",
			Restart: "the mailboxes must not be moved while mail is delivered into them",
			Doc: "The folder of the mailboxes: one folder for each domain, one for each mailbox in it. " +
				"Without it: mail below the data folder."},
			parsePath, func(c *Config) *string { return &c.Maildir.Root }),
	}
}

func traceKeys() []entry[Config] {
	return []entry[Config]{
		parsed(Key{Path: "trace.origin", Type: TypeText, Max: "200",
			Restart: "a log keeps its name",
			Doc: "The name that the signed checkpoints of the trace bear, without spaces. Without it: the " +
				"hostname followed by /sallyport. A log keeps its name: with a data folder that was begun " +
				"under another one, the server does not start."},
			parseOrigin, func(c *Config) *string { return &c.Trace.Origin }),
		duration("trace.keep", "400d", "1d", "3650d", "How long facts about accepted mail and accounts are kept.",
			func(c *Config) *time.Duration { return &c.Trace.Keep }),
		duration("trace.keep_strangers", "30d", "1h", "3650d",
			"How long facts about refused strangers are kept. They have a class of their own, so that a "+
				"flood of them displaces nothing else.",
			func(c *Config) *time.Duration { return &c.Trace.KeepStrangers }),
		duration("trace.checkpoint_every", "5s", "1s", "1h", "How often a trace that has grown is signed and exported.",
			func(c *Config) *time.Duration { return &c.Trace.CheckpointEvery }),
	}
}

func authKeys() []entry[Config] {
	return []entry[Config]{
		list(Key{Path: "auth.mechanisms", Type: TypeWords, Doc: "The SASL mechanisms to offer, always under TLS only: EXTERNAL (to those alone whose " +
			"certificate is good for an account), SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN, " +
			"OAUTHBEARER and XOAUTH2 (these two where there is [oidc]). Without it: all but " +
			"SCRAM-SHA-256-PLUS. SCRAM-SHA-256-PLUS binds the sign-in to its TLS connection, and a " +
			"client that could bind and says that it was not offered is refused then as one whose " +
			"connection is relayed; programs built on GNU SASL, as mutt of Debian, cannot sign in where " +
			"it is offered."},
			parseMechanism, func(c *Config) *[]string { return &c.Auth.Mechanisms }),
		duration("auth.cache_ttl", "5m", "1s", "1h",
			"How long a password once verified is remembered, under a key that lives in memory alone; a "+
				"changed password or a freeze forgets it at once.",
			func(c *Config) *time.Duration { return &c.Auth.CacheTTL }),
		count("auth.cache_entries", "16384", "1", "1000000", "The most passwords remembered so.",
			func(c *Config) *int { return &c.Auth.CacheEntries }),
		count("auth.hashing", "0", "0", "256",
			"Password hashes computed at once, each in a place beside those for everything else "+
				"(GOMAXPROCS, unless the environment says it); 0: half the processors, at least one.",
			func(c *Config) *int { return &c.Auth.Hashing }),
		count("auth.waiting", "64", "1", "10000", "Sign-ins that may wait for hashing; more are told to come back (454).",
			func(c *Config) *int { return &c.Auth.Waiting }),
		duration("auth.wait_time", "10s", "100ms", "1m", "How long one waits for hashing before it is told to come back.",
			func(c *Config) *time.Duration { return &c.Auth.WaitTime }),
		count("auth.guesses", "10", "1", "1000",
			"Wrong passwords that are judged for one account in auth.guess_time: different ones, from "+
				"all networks that it did not sign in from of late; and as many from each network that it "+
				"did. Beyond them a sign-in is told to try again later (454), except with an app password "+
				"or a certificate. A network that has not tried of late has two tries beside this, of which "+
				"one account has at most eight in an hour.",
			func(c *Config) *int { return &c.Auth.GuessesPerTime }),
		count("auth.network_guesses", "60", "1", "100000",
			"Wrong passwords that are judged from one network (a /24, or a /56 of IPv6) in "+
				"auth.guess_time, at all accounts that did not sign in from there of late, and as many at "+
				"those that did. A /48 of IPv6 has twice as many, a /32 of it and a /16 of IPv4 eight "+
				"times. More helps where many new people share one address.",
			func(c *Config) *int { return &c.Auth.GuessesPerNetwork }),
		count("auth.total_guesses", "2000", "1", "10000000",
			"Wrong passwords that are judged for all accounts together in auth.guess_time, from "+
				"networks that are new to them.",
			func(c *Config) *int { return &c.Auth.GuessesPerServer }),
		duration("auth.guess_time", "10m", "1m", "1d",
			"The time in which auth.guesses, auth.network_guesses and auth.total_guesses are allowed.",
			func(c *Config) *time.Duration { return &c.Auth.GuessTime }),
		duration("auth.wrong_for", "1d", "1m", "30d",
			"How long a wrong password is remembered, under a key that lives in memory alone: who tries "+
				"the same again guesses nothing, and locks nobody out.",
			func(c *Config) *time.Duration { return &c.Auth.WrongFor }),
		count("auth.scram_rounds", "15000", "4096", "1000000", "PBKDF2 iterations of the SCRAM verifiers of new passwords. RFC 7677 §4. "+
			"Programs that sign in by Cyrus SASL, as Postfix does, refuse more than 65536.",
			func(c *Config) *int { return &c.Auth.ScramRounds }),
		size("auth.argon_memory", "19MiB", "8MiB", "1GiB", "Memory of argon2id for new passwords. RFC 9106 §4.",
			func(c *Config) *int64 { return &c.Auth.ArgonMemory }),
		count("auth.argon_rounds", "2", "1", "64", "Passes of argon2id for new passwords.",
			func(c *Config) *int { return &c.Auth.ArgonRounds }),
	}
}
