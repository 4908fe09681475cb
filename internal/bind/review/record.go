package review

import (
	"encoding/json"
	"errors"
	"time"

	"sallyport/internal/bind"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// recordVersion is the version of findings that is written; no other is read.
const recordVersion = 1

// Finding is a name that an account used and does not own, at one place in its messages.
type Finding struct {
	Account mail.Address
	// Name is the address as a key, or, of what is not ours, "@" and the domain. "" stands
	// for all names that there was no room for.
	Name    string
	Where   bind.Where // Nowhere where Name is ""
	Taken   uint64     // messages that were taken all the same
	Refused uint64     // and those that were refused
	First   time.Time
	Last    time.Time
}

// stored is a finding as it is written.
type stored struct {
	Version int          `json:"v"`
	Account mail.Address `json:"account"`
	Name    string       `json:"name,omitempty"`
	Where   string       `json:"where,omitempty"`
	Taken   uint64       `json:"taken,omitempty"`
	Refused uint64       `json:"refused,omitempty"`
	First   time.Time    `json:"first"`
	Last    time.Time    `json:"last"`
}

// key is where a finding is kept. No key of an address has an octet of zero.
func (f Finding) key() []byte {
	return store.SpaceBinding.Key([]byte(f.Account.Key()), []byte{0}, []byte(f.Where.String()), []byte{0}, []byte(f.Name))
}

// encode writes a finding; of its fields none fails.
func (f Finding) encode() []byte {
	s := stored{recordVersion, f.Account, f.Name, f.Where.String(), f.Taken, f.Refused, f.First, f.Last}
	if f.Name == "" {
		s.Where = ""
	}
	value, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return value
}

// decode reads a finding back.
func decode(value []byte) (Finding, error) {
	var s stored
	if err := codec.Decode(value, &s); err != nil {
		return Finding{}, err
	}
	if err := codec.Version(s.Version, recordVersion); err != nil {
		return Finding{}, err
	}
	where, ok := bind.ParseWhere(s.Where)
	if ok == (s.Name == "") || s.Account.IsZero() {
		return Finding{}, errors.New("review: the finding names nobody, or no place")
	}
	return Finding{s.Account, s.Name, where, s.Taken, s.Refused, s.First, s.Last}, nil
}
