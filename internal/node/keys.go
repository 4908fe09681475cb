package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/gate"
	"sallyport/internal/kit/safefile"
)

// Names of the keys that a server makes for itself, below DATA/keys.
const (
	grantKeyFile = "grant.key" // seals Grants in the queue
	traceKeyFile = "trace.key" // signs checkpoints of the trace
)

// maxKeyOctets bounds a key file: what is larger is none of ours.
const maxKeyOctets = 4 << 10

// loadOrMakeKey reads a key of our own, or makes it for a store that holds nothing
// yet. A missing key beside any other store is an error: a new one would make
// every queued Grant and every signed checkpoint look forged.
func loadOrMakeKey(path string, fresh bool, generate func() ([]byte, error)) ([]byte, error) {
	b, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if !fresh {
		return nil, fmt.Errorf("%s is missing, but the store is not new: restore it from a backup of the data folder", path)
	}
	if b, err = generate(); err != nil {
		return nil, err
	}
	return b, writeKey(path, b)
}

// readKey reads a file that nobody but its owner may have access to: whoever reads
// one of these keys can forge Grants or the trace.
func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case mode.Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to others than its owner (mode %04o): if it was always so, consider it stolen; else: chmod 600 %s", path, mode.Perm(), path)
	case info.Size() > maxKeyOctets:
		return nil, damagedKey(path, errors.New("it is too large"))
	}
	return io.ReadAll(io.LimitReader(f, maxKeyOctets))
}

func damagedKey(path string, why error) error {
	return fmt.Errorf("%s is no key of ours: restore it from a backup of the data folder: %w", path, why)
}

func randomKey(rnd io.Reader) ([]byte, error) {
	b := make([]byte, gate.KeyOctets)
	_, err := io.ReadFull(rnd, b)
	return b, err
}

// writeKey writes a file that only we may read, and makes it durable before the first
// message could depend on it.
func writeKey(path string, b []byte) error {
	if err := safefile.MakeDir(filepath.Dir(path)); err != nil {
		return err
	}
	return safefile.Replace(path, b, 0o600)
}
