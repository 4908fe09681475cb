// Package keys reads the keys that the server generated for itself, and generates them for a new
// data folder.
package keys

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"sallyport/internal/config"
	"sallyport/internal/gate"
	"sallyport/internal/hijack"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/returnpath"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
)

// Keys are the secrets that the server made for itself.
type Keys struct {
	Grant   gate.Key
	Returns returnpath.Keys
	Trace   trace.Key
	Hijack  Hijack
}

// Hijack is the key of the fingerprints of correspondents.
type Hijack = hijack.Key

// Load reads the keys, or makes them for a store that holds nothing yet.
func Load(cfg config.Config, fresh bool, rnd io.Reader) (k Keys, err error) {
	if k.Grant, err = spool.LoadKey(cfg.KeysDir(), fresh, rnd); err != nil {
		return k, err
	}
	k.Trace, err = trace.LoadKey(cfg.KeysDir(), fresh, rnd, cfg.Trace.Origin)
	if other := (*trace.OriginError)(nil); errors.As(err, &other) {
		err = fmt.Errorf("%s: %w", cfg.At("trace.origin"), err)
	}
	if err != nil {
		return k, err
	}
	if k.Hijack, err = loadHijackKey(cfg, rnd); err != nil {
		return k, err
	}
	k.Returns, err = returnpath.LoadKeys(cfg.KeysDir(), rnd)
	return k, err
}

// hijackKeyFile is the key of the fingerprints of correspondents, below DATA/keys. When it
// is lost, nobody is known any more.
const hijackKeyFile = "hijack.key"

func loadHijackKey(cfg config.Config, rnd io.Reader) (hijack.Key, error) {
	path := filepath.Join(cfg.KeysDir(), hijackKeyFile)
	octets, err := keyfile.Load(path, true, func() ([]byte, error) { return keyfile.Random(rnd, hijack.KeyOctets) })
	if err != nil {
		return hijack.Key{}, err
	}
	k, err := hijack.NewKey(octets)
	if err != nil {
		return k, keyfile.Damaged(path, err)
	}
	return k, nil
}
