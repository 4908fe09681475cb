package datafolder

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

// keys are the secrets that the server made for itself.
type keys struct {
	grant   gate.Key
	returns returnpath.Keys
	trace   trace.Key
	hijack  hijack.Key
}

// loadKeys reads the keys, or makes them for a store that holds nothing yet.
func loadKeys(cfg config.Config, fresh bool, rnd io.Reader) (k keys, err error) {
	if k.grant, err = spool.LoadKey(cfg.KeysDir(), fresh, rnd); err != nil {
		return k, err
	}
	k.trace, err = trace.LoadKey(cfg.KeysDir(), fresh, rnd, cfg.Trace.Origin)
	if other := (*trace.OriginError)(nil); errors.As(err, &other) {
		err = fmt.Errorf("%s: %w", cfg.At("trace.origin"), err)
	}
	if err != nil {
		return k, err
	}
	if k.hijack, err = loadHijackKey(cfg, rnd); err != nil {
		return k, err
	}
	k.returns, err = returnpath.LoadKeys(cfg.KeysDir(), rnd)
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
