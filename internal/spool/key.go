package spool

import (
	"io"
	"path/filepath"

	"sallyport/internal/gate"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/kit/secret"
)

// KeyFile is the name of the file of the key that seals the Grants of the queue.
const KeyFile = "grant.key"

// LoadKey reads the key that seals the Grants of the queue from its file in dir, or makes
// it, if the store is fresh and holds nothing that another one sealed.
func LoadKey(dir string, fresh bool, rnd io.Reader) (gate.Key, error) {
	path := filepath.Join(dir, KeyFile)
	octets, err := keyfile.Load(path, fresh, func() ([]byte, error) { return keyfile.Random(rnd, secret.Octets) })
	if err != nil {
		return gate.Key{}, err
	}
	k, err := gate.NewKey(octets)
	if err != nil {
		return gate.Key{}, keyfile.Damaged(path, err)
	}
	return k, nil
}
