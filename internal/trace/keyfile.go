package trace

import (
	"fmt"
	"io"
	"path/filepath"

	"sallyport/internal/kit/keyfile"
)

// KeyFile is the name of the file of the key that signs checkpoints.
const KeyFile = "trace.key"

// OriginError is that a log was given another name than it has.
type OriginError struct{ text string }

// Error implements error.
func (e *OriginError) Error() string { return e.text }

// LoadKey reads the key that signs the checkpoints of the log origin from its file in dir,
// or makes it for a fresh store. A key of another log is an *OriginError.
func LoadKey(dir string, fresh bool, rnd io.Reader, origin string) (Key, error) {
	path := filepath.Join(dir, KeyFile)
	text, err := keyfile.Load(path, fresh, func() ([]byte, error) {
		s, err := NewKey(rnd, origin)
		return []byte(s + "\n"), err
	})
	if err != nil {
		return Key{}, err
	}
	k, err := ParseKey(string(text))
	if err != nil {
		return Key{}, keyfile.Damaged(path, err)
	}
	if k.Origin() != origin {
		return Key{}, &OriginError{fmt.Sprintf("trace.origin is %q, but the key in %s signs for %q; a log keeps its name", origin, path, k.Origin())}
	}
	return k, nil
}
