package node

import (
	"fmt"
	"io"
	"path/filepath"

	"sallyport/internal/config"
	"sallyport/internal/gate"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/kit/secret"
	"sallyport/internal/returnpath"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
	"sallyport/internal/trace"
)

// Names of the keys that a server makes for itself, below DATA/keys.
const (
	grantKeyFile = "grant.key" // seals Grants in the queue
	traceKeyFile = "trace.key" // signs checkpoints of the trace
)

// keys are the secrets that the server made for itself.
type keys struct {
	grant   gate.Key
	returns returnpath.Keys
	trace   trace.Key
}

// loadKeys reads the keys, or makes them for a store that holds nothing yet.
func loadKeys(cfg config.Config, fresh bool, rnd io.Reader) (keys, error) {
	grantPath, tracePath := filepath.Join(cfg.KeysDir(), grantKeyFile), filepath.Join(cfg.KeysDir(), traceKeyFile)
	octets, err := keyfile.Load(grantPath, fresh, func() ([]byte, error) { return keyfile.Random(rnd, secret.Octets) })
	if err != nil {
		return keys{}, err
	}
	grant, err := gate.NewKey(octets)
	if err != nil {
		return keys{}, keyfile.Damaged(grantPath, err)
	}
	text, err := keyfile.Load(tracePath, fresh, func() ([]byte, error) {
		s, err := trace.NewKey(rnd, cfg.Trace.Origin)
		return []byte(s + "\n"), err
	})
	if err != nil {
		return keys{}, err
	}
	signing, err := trace.ParseKey(string(text))
	if err != nil {
		return keys{}, keyfile.Damaged(tracePath, err)
	}
	if signing.Origin() != cfg.Trace.Origin {
		return keys{}, fmt.Errorf("%s: trace.origin is %q, but the key in %s signs for %q; a log keeps its name",
			cfg.At("trace.origin"), cfg.Trace.Origin, tracePath, signing.Origin())
	}
	returns, err := loadReturnKeys(cfg, rnd)
	return keys{grant: grant, returns: returns, trace: signing}, err
}

func openStore(cfg config.Config, o Options, space *diskspace.Space) (store.Store, error) {
	return pebble.Open(storeOptions(cfg, o, space))
}

func storeOptions(cfg config.Config, o Options, space *diskspace.Space) pebble.Options {
	return pebble.Options{FS: o.FS, Dir: cfg.StoreDir(), Logger: o.Logger, Space: space}
}
