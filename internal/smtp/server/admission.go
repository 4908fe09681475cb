package server

import (
	"time"

	"sallyport/internal/door"
	"sallyport/internal/kit/workers"
)

// crewLinger is how long a goroutine on which a connection spoke is kept for another.
const crewLinger = 500 * time.Millisecond

// Admission is a door.Admission, with who need not wait for the greeting. One may be shared
// by the listeners of a server. It is safe for use by many goroutines.
type Admission struct {
	*door.Admission
	waited waited        // who need not wait for the greeting
	crew   *workers.Crew // on which connections speak
}

// NewAdmission returns an Admission that counts its connections together with those of a.
func NewAdmission(a *door.Admission) *Admission {
	return &Admission{Admission: a, waited: newWaited(), crew: workers.New(crewLinger)}
}
