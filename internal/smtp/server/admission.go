package server

import "sallyport/internal/door"

// Admission is a door.Admission, with who need not wait for the greeting. One may be shared
// by the listeners of a server. It is safe for use by many goroutines.
type Admission struct {
	*door.Admission
	waited waited // who need not wait for the greeting
}

// NewAdmission returns an Admission that counts its connections together with those of a.
func NewAdmission(a *door.Admission) *Admission {
	return &Admission{Admission: a, waited: newWaited()}
}
