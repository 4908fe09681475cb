package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Decode reads a JSON value, and refuses fields that into has not and whatever follows
// the value: a record of a later release is not understood by half.
func Decode(value []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows the record")
	}
	return nil
}

// Version refuses any version of a record but the one that is known.
func Version(have, known int) error {
	if have != known {
		return fmt.Errorf("version %d is not known", have)
	}
	return nil
}

// EncodeRevision writes the number of a change, in decimal.
func EncodeRevision(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }

// DecodeRevision reads what EncodeRevision wrote.
func DecodeRevision(value []byte) (uint64, error) { return strconv.ParseUint(string(value), 10, 64) }
