package returnpath

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"sallyport/internal/kit/keyfile"
	"sallyport/internal/kit/secret"
	"sallyport/internal/returnpath/prvs"
	"sallyport/internal/returnpath/srs"
)

// The files of the keys, and of the Note that says since when the second signs.
const (
	forwardKeyFile = "forward.key"
	returnKeyFile  = "return-path.key"
	noteFile       = "return-path.since"
)

// NoteIn returns the Note of a folder of keys.
func NoteIn(dir string) Note { return Note(filepath.Join(dir, noteFile)) }

// LoadKeys reads the keys from their files in dir, or makes them. Unlike the other keys
// they may be made at any time: a lost one only makes the return paths that are out in the
// world look forged.
func LoadKeys(dir string, rnd io.Reader) (k Keys, err error) {
	random := func() ([]byte, error) { return keyfile.Random(rnd, secret.Octets) }
	path := filepath.Join(dir, forwardKeyFile)
	octets, err := keyfile.Load(path, true, random)
	if err != nil {
		return k, err
	}
	if k.Forward, err = srs.NewKey(octets); err != nil {
		return k, keyfile.Damaged(path, err)
	}
	path = filepath.Join(dir, returnKeyFile)
	octets, err = keyfile.Load(path, true, func() ([]byte, error) {
		// What was signed until now was signed with a key that is gone.
		if err := NoteIn(dir).End(); err != nil {
			return nil, err
		}
		return random()
	})
	if err != nil {
		return k, err
	}
	if k.Signed, err = prvs.NewKey(octets); err != nil {
		return k, keyfile.Damaged(path, err)
	}
	return k, nil
}

// ReadKeys reads the keys from their files in dir, and makes none: of a form whose key is
// missing nothing was ever made here, and nothing is accepted.
func ReadKeys(dir string) (k Keys, err error) {
	for name, take := range map[string]func([]byte) error{
		forwardKeyFile: func(octets []byte) (err error) { k.Forward, err = srs.NewKey(octets); return err },
		returnKeyFile:  func(octets []byte) (err error) { k.Signed, err = prvs.NewKey(octets); return err },
	} {
		path := filepath.Join(dir, name)
		octets, err := keyfile.Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Keys{}, err
		}
		if err := take(octets); err != nil {
			return Keys{}, keyfile.Damaged(path, err)
		}
	}
	return k, nil
}
