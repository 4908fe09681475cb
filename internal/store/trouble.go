package store

import "time"

// Trouble is why a store takes nothing at present. It ends by itself when the disk is well again.
type Trouble struct {
	Since time.Time
	Cause string // what the disk answered first
	// Full says that the database is open, and waits for space; else it failed, and is opened anew.
	Full bool
	// Tries is how often it was opened anew in vain, Last what came of the latest try, and Next when the
	// next one is.
	Tries int
	Last  string
	Next  time.Time
}

// Ailing is a Store that can say why it takes nothing.
type Ailing interface {
	// Trouble returns why the store takes nothing at present; false: it does.
	Trouble() (Trouble, bool)
}
