package wire

// Limits bounds what one command may hold.
type Limits struct {
	// CommandOctets bounds a whole command, with the literals that are no messages.
	CommandOctets int
	// LiteralOctets bounds one literal that is no message.
	LiteralOctets int64
	// Literals is how many of them a command may have.
	Literals int
	// Nesting is how deep keys of a search may stand in each other.
	Nesting int
	// Keys is how many keys a search may have, with those within others.
	Keys int
	// Items is how many things a FETCH, STATUS or LIST may ask for, how many fields one of them may
	// name, and how many flags, capabilities or patterns a command may give.
	Items int
	// PatternOctets is how long all patterns of a LIST may be together: each is held to every name.
	PatternOctets int
	// Ranges is how many ranges all sets of a command may have together.
	Ranges int
}

// DefaultLimits returns the limits for somebody who has signed in. A program that names
// every message of a large folder by itself sends long sets.
func DefaultLimits() Limits {
	return Limits{
		CommandOctets: 1 << 20, LiteralOctets: 256 << 10, Literals: 100, Nesting: 50, Keys: 2000, Items: 500,
		PatternOctets: 4096, Ranges: 100000,
	}
}

// DefaultStrangerLimits returns the limits before anybody has signed in, which leave room for a
// name, a password or a token.
func DefaultStrangerLimits() Limits {
	return Limits{
		CommandOctets: 12 << 10, LiteralOctets: 4096, Literals: 10, Nesting: 5, Keys: 10, Items: 60,
		PatternOctets: 1024, Ranges: 10,
	}
}
