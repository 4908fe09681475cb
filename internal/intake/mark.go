package intake

import (
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// Mark is what the form of a recipient says, beside what the directory knows of it. The
// zero Mark says nothing.
type Mark struct {
	// Address is whom a signed return path stands for, who takes the mail in its place;
	// zero: the recipient as it was written.
	Address mail.Address
	// Refused is what the recipient is instead of what the directory says;
	// DestinationUnknown: nothing.
	Refused gate.Destination
	// Note is what was found, for the trace; "": nothing.
	Note string
}

// mark asks what the form of a recipient says. What is a forward's return path is
// nothing else.
func (t *transaction) mark(a mail.Address) Mark {
	if t.s.in.Marks == nil {
		return Mark{Address: a}
	}
	if t.s.in.Returns != nil {
		if _, ok := t.s.in.Returns(t.dir, a); ok {
			return Mark{Address: a}
		}
	}
	m := t.s.in.Marks(t.dir, a, t.facts.Door == gate.DoorMX && t.facts.Ownership == gate.OwnershipNull)
	if m.Address.IsZero() {
		m.Address = a
	}
	return m
}

// class tells what a marked recipient is.
func (t *transaction) class(m Mark) directory.Class {
	if m.Refused != gate.DestinationUnknown {
		return directory.Class{Destination: m.Refused}
	}
	return t.classify(m.Address)
}

// evidence is what was found, as the trace tells it.
func (m Mark) evidence() []fact.Pair {
	if m.Note == "" {
		return nil
	}
	return []fact.Pair{{Name: "signed return path", Value: m.Note}}
}
