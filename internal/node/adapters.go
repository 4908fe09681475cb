package node

import (
	"errors"
	"fmt"
	"io"

	"sallyport/internal/config"
	"sallyport/internal/gate"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/returnpath"
	"sallyport/internal/spool"
	"sallyport/internal/store/pebble"
	"sallyport/internal/trace"
)

// keys are the secrets that the server made for itself.
type keys struct {
	grant   gate.Key
	returns returnpath.Keys
	trace   trace.Key
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
	k.returns, err = returnpath.LoadKeys(cfg.KeysDir(), rnd)
	return k, err
}

func storeOptions(cfg config.Config, o Options, space *diskspace.Space) pebble.Options {
	return pebble.Options{FS: o.FS, Dir: cfg.StoreDir(), Logger: o.Logger, Space: space}
}
