// Package keyfile keeps the keys that a server generates for itself, each in a file that nobody
// else can read.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/kit/safefile"
)

// MaxOctets bounds a key file: what is larger is none of ours.
const MaxOctets = 4 << 10

// mode is that of every key file: whoever reads one can forge what it is for.
const mode = 0o600

// Load reads a key. Where there is none it makes one, if it may: what depends on a lost
// key would look forged with another one. A file that others than its owner can read,
// or that is none, is an error that says what helps.
func Load(path string, mayMake bool, generate func() ([]byte, error)) ([]byte, error) {
	b, err := Read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if !mayMake {
		return nil, fmt.Errorf("%s is missing, but the store is not new: restore it from a backup of the data folder", path)
	}
	if b, err = generate(); err != nil {
		return nil, err
	}
	// It is durable before anything can depend on it.
	if err := safefile.MakeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return b, safefile.Replace(path, b, mode)
}

// Read reads a key and makes none: where there is none, the error is fs.ErrNotExist.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch m := info.Mode(); {
	case !m.IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case m.Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to others than its owner (mode %04o): if it was always so, consider it stolen; else: chmod 600 %s",
			path, m.Perm(), path)
	case info.Size() > MaxOctets:
		return nil, Damaged(path, errors.New("it is too large"))
	}
	return io.ReadAll(io.LimitReader(f, MaxOctets))
}

// Damaged says that a file holds no key, and why.
func Damaged(path string, why error) error {
	return fmt.Errorf("%s is no key of ours: restore it from a backup of the data folder: %w", path, why)
}

// Random returns n octets of a source of chance, crypto/rand.Reader in a server.
func Random(source io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(source, b)
	return b, err
}
