package operate

import (
	"time"

	"sallyport/internal/operate/call"
)

// Database is why the database takes nothing at present. That ends by itself when the disk is well again.
type Database struct {
	Since time.Time `json:"since"`
	Cause string    `json:"cause"` // what the disk answered first
	// Full says that it is open, and waits for space; else it failed, and is opened anew.
	Full  bool      `json:"full,omitempty"`
	Tries int       `json:"tries,omitempty"` // in vain
	Last  string    `json:"last,omitempty"`  // what came of the latest of them
	Next  time.Time `json:"next,omitzero"`
}

// Missing is a part of what was asked for that could not be told.
type Missing struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// database tells why the database takes nothing; nil: it does.
func (op *Operator) database() *Database {
	if op.o.Database == nil {
		return nil
	}
	return op.o.Database()
}

// lacks notes that something could not be told.
func (s *Status) lacks(what string, err error) {
	if err != nil {
		s.Missing = append(s.Missing, Missing{what, call.Words(err)})
	}
}
