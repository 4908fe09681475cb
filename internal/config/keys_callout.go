package config

import "time"

// Callout bounds the questions to servers behind us about their recipients.
type Callout struct {
	Timeout     time.Duration // for which one RCPT waits
	PositiveTTL time.Duration // for which a yes is taken without asking again
	Grace       time.Duration // for which it is taken beyond that while nobody can be asked
	NegativeTTL time.Duration // for which a no is taken
	Entries     int           // answers of each kind that are remembered
	Connections int           // to one server at once
	Rate        int           // questions to one server in a second
	Waiting     int           // RCPT that wait for one server at once
}

func calloutKeys() []entry[Callout] {
	return []entry[Callout]{
		duration("callout.timeout", "20s", "1s", "2m",
			"How long a RCPT waits for the answer of the server behind; then the sender is told to try "+
				"again (451).",
			func(c *Callout) *time.Duration { return &c.Timeout }),
		duration("callout.positive_ttl", "1h", "1s", "7d",
			"How long a recipient that the server behind took is accepted without asking again.",
			func(c *Callout) *time.Duration { return &c.PositiveTTL }),
		duration("callout.grace", "1d", "0s", "30d",
			"How long beyond callout.positive_ttl such a recipient is still accepted while the server "+
				"behind cannot be asked, so that mail to those who are known goes on during its "+
				"maintenance; 0s: not at all.",
			func(c *Callout) *time.Duration { return &c.Grace }),
		duration("callout.negative_ttl", "5m", "1s", "1d",
			"How long a recipient that the server behind refused is refused without asking again.",
			func(c *Callout) *time.Duration { return &c.NegativeTTL }),
		count("callout.entries", "50000", "100", "10000000",
			"The most recipients remembered as taken, and again as refused; a flood of unknown ones "+
				"displaces no known one.",
			func(c *Callout) *int { return &c.Entries }),
		count("callout.connections", "4", "1", "100", "The most connections with questions to one server behind at once.",
			func(c *Callout) *int { return &c.Connections }),
		count("callout.rate", "100", "1", "100000",
			"The most questions to one server behind in a second; beyond them the sender is told to try "+
				"again. While half of it is used, one network of clients (a /24, or a /48 of IPv6) has a "+
				"quarter of it, and all networks whose guesses were mostly wrong have a quarter together, "+
				"so that invented names take no question from honest ones.",
			func(c *Callout) *int { return &c.Rate }),
		count("callout.waiting", "200", "1", "100000",
			"The most recipients that wait for the answer of one server behind at once; more are told "+
				"to try again. While half of it is used, one network of clients has a quarter of it.",
			func(c *Callout) *int { return &c.Waiting }),
	}
}
