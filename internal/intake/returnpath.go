package intake

import (
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath"
)

// read asks what the form of a recipient says. The address that it returns is never zero.
func (t *transaction) read(a mail.Address) (r returnpath.Reading) {
	if t.s.in.ReturnPaths != nil {
		r = t.s.in.ReturnPaths(t.dir, a, t.door == gate.DoorMX && t.draft.Ownership == gate.OwnershipNull)
	}
	if r.Address.IsZero() {
		r.Address = a
	}
	return r
}

// class tells what a recipient is. A return path of ours is none of the directory's
// names, and must not be taken by a detail or a catch-all.
func (t *transaction) class(r returnpath.Reading) directory.Class {
	if r.Decides() {
		return r.Class
	}
	return t.dir.ClassifyFor(t.s.account().Address, r.Address)
}

// readEvidence is what was found, as the trace tells it.
func readEvidence(r returnpath.Reading) []fact.Pair {
	if r.Note == "" {
		return nil
	}
	return []fact.Pair{{Name: "signed return path", Value: r.Note}}
}
