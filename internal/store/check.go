package store

import "fmt"

// Check reports what makes tx invalid, as an ErrInvalid. Drivers call it before
// anything else, so that all of them refuse the same.
func (tx Tx) Check() error {
	if n := len(tx.Preconditions) + len(tx.Mutations) + len(tx.Facts); n > MaxTxParts {
		return fmt.Errorf("%w: %d parts, more than %d", ErrInvalid, n, MaxTxParts)
	}
	for _, p := range tx.Preconditions {
		if err := checkKey(p.Key); err != nil {
			return err
		}
		if p.Absent && p.Value != nil {
			return fmt.Errorf("%w: a precondition names both a value and absence", ErrInvalid)
		}
	}
	for _, m := range tx.Mutations {
		if err := checkKey(m.Key); err != nil {
			return err
		}
		if m.Delete && m.Value != nil {
			return fmt.Errorf("%w: a mutation both sets and deletes", ErrInvalid)
		}
	}
	for _, f := range tx.Facts {
		if len(f) == 0 {
			return fmt.Errorf("%w: an empty fact", ErrInvalid)
		}
	}
	if n := tx.Octets(); n > MaxTxOctets {
		return fmt.Errorf("%w: %d octets, more than %d", ErrInvalid, n, MaxTxOctets)
	}
	return nil
}

// Octets returns how much tx carries: keys, values and facts.
func (tx Tx) Octets() int {
	n := 0
	for _, p := range tx.Preconditions {
		n += len(p.Key) + len(p.Value)
	}
	for _, m := range tx.Mutations {
		n += len(m.Key) + len(m.Value)
	}
	for _, f := range tx.Facts {
		n += len(f)
	}
	return n
}

func checkKey(k []byte) error {
	switch {
	case len(k) == 0:
		return fmt.Errorf("%w: an empty key", ErrInvalid)
	case len(k) > MaxKeyOctets:
		return fmt.Errorf("%w: a key of %d octets, longer than %d", ErrInvalid, len(k), MaxKeyOctets)
	case k[0] == ReservedPrefix:
		return fmt.Errorf("%w: a key with the reserved prefix", ErrInvalid)
	}
	return nil
}

// CheckBlobName reports what makes name no blob name, as an ErrInvalid.
func CheckBlobName(name string) error {
	if name == "" || len(name) > MaxBlobName {
		return fmt.Errorf("%w: a blob name of %d octets", ErrInvalid, len(name))
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return fmt.Errorf("%w: blob name %q", ErrInvalid, name)
		}
	}
	return nil
}

// MaxBlobName bounds the name of a blob, in octets.
const MaxBlobName = 64

// UserRange cuts r to the keys that users of the store may see. Drivers call it
// in Scan.
func (r Range) UserRange() Range {
	if len(r.From) == 0 || r.From[0] == ReservedPrefix {
		r.From = []byte{ReservedPrefix + 1}
	}
	return r
}
