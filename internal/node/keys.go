package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/gate"
)

// Names of the keys that a server makes for itself, below DATA/keys.
const (
	grantKeyFile = "grant.key" // seals Grants in the queue
	traceKeyFile = "trace.key" // signs checkpoints of the trace
)

// loadOrMakeKey reads a key of our own, or makes it when the data folder is new. A
// missing key beside an existing store is an error: a new one would make every
// queued Grant and every signed checkpoint look forged.
func loadOrMakeKey(path string, fresh bool, make func() ([]byte, error)) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return b, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !fresh {
		return nil, fmt.Errorf("%s is missing, but the store is not new; restore it from a backup of the data folder", path)
	}
	if b, err = make(); err != nil {
		return nil, err
	}
	return b, writeSynced(path, b)
}

func randomKey(rnd io.Reader) ([]byte, error) {
	b := make([]byte, gate.KeyOctets)
	_, err := io.ReadFull(rnd, b)
	return b, err
}

// writeSynced writes a file that only we may read and makes it durable before the
// first message could depend on it.
func writeSynced(path string, b []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// isFresh reports whether dir does not exist or is empty.
func isFresh(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return len(entries) == 0, err
}
