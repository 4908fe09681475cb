package fact

import "time"

// Started says that the server began to serve.
type Started struct {
	At        time.Time
	Rule      string
	Version   string // the program and its version
	Listeners []Pair // door and address of each
}

// Fact returns the record.
func (e Started) Fact() Fact {
	return Fact{At: e.At, Kind: KindStart, Rule: e.Rule, Text: e.Version, Evidence: e.Listeners}
}

// Stopped says that the server ended in order.
type Stopped struct {
	At        time.Time
	Rule      string
	Version   string
	Listeners []Pair // that it had
}

// Fact returns the record.
func (e Stopped) Fact() Fact {
	return Fact{At: e.At, Kind: KindStop, Rule: e.Rule, Text: e.Version, Evidence: e.Listeners}
}

// Reloaded says that the configuration or a certificate was read again, or was not.
type Reloaded struct {
	At       time.Time
	Rule     string // whether it is in force
	Text     string // the same in words
	Evidence []Pair // changed keys, faults, who wanted it
}

// Fact returns the record.
func (e Reloaded) Fact() Fact {
	return Fact{At: e.At, Kind: KindReload, Rule: e.Rule, Text: e.Text, Evidence: e.Evidence}
}

// Recovered says what was found in the queue when the server opened it.
type Recovered struct {
	At      time.Time
	Rule    string
	Entries int    // messages in the queue
	Found   []Pair // how many of them in which state
}

// Fact returns the record.
func (e Recovered) Fact() Fact {
	return Fact{At: e.At, Kind: KindRecover, Rule: e.Rule, Count: e.Entries, Evidence: e.Found}
}

// Connections under which copies are found: sallyport trace backup.
const (
	connBackup  = "backup"
	connRestore = "restore"
)

// BackedUp says that somebody began to copy everything, keys too.
type BackedUp struct {
	At       time.Time
	Rule     string
	What     string // "of everything"
	Evidence []Pair // by whom
}

// Fact returns the record.
func (e BackedUp) Fact() Fact {
	return Fact{At: e.At, Kind: KindBackup, Rule: e.Rule, Conn: connBackup, Text: e.What, Evidence: e.Evidence}
}

// Restored says that the log goes on in data that came out of a backup.
type Restored struct {
	At       time.Time
	Rule     string
	From     string // which backup
	Evidence []Pair // by whom, and its manifest
}

// Fact returns the record.
func (e Restored) Fact() Fact {
	return Fact{At: e.At, Kind: KindRestore, Rule: e.Rule, Conn: connRestore, Text: e.From, Evidence: e.Evidence}
}

func readLife(f Fact) (Event, bool) {
	switch f.Kind {
	case KindStart:
		return Started{f.At, f.Rule, f.Text, f.Evidence}, true
	case KindStop:
		return Stopped{f.At, f.Rule, f.Text, f.Evidence}, true
	case KindReload:
		return Reloaded{f.At, f.Rule, f.Text, f.Evidence}, true
	case KindRecover:
		return Recovered{f.At, f.Rule, f.Count, f.Evidence}, true
	case KindBackup:
		return BackedUp{f.At, f.Rule, f.Text, f.Evidence}, true
	case KindRestore:
		return Restored{f.At, f.Rule, f.Text, f.Evidence}, true
	}
	return nil, false
}
