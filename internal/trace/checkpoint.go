package trace

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// ErrSignature reports a checkpoint that the log's key did not sign.
var ErrSignature = errors.New("trace: the checkpoint is not signed by this log's key")

// Key signs checkpoints and verifies them. The zero Key does neither.
type Key struct {
	signer   note.Signer
	verifier note.Verifier
	public   string
}

// NewKey makes a secret Ed25519 key for the log of that origin, as text for a
// file that only the server can read. rnd is crypto/rand.Reader in a server.
func NewKey(rnd io.Reader, origin string) (secret string, err error) {
	if err := checkOrigin(origin); err != nil {
		return "", err
	}
	secret, _, err = note.GenerateKey(rnd, origin)
	return secret, err
}

// ParseKey reads what NewKey wrote.
func ParseKey(secret string) (Key, error) {
	secret = strings.TrimSpace(secret)
	signer, err := note.NewSigner(secret)
	if err != nil {
		return Key{}, errors.New("trace: this is no signing key for a trace")
	}
	// "PRIVATE+KEY+name+hash+base64(algorithm, seed)": NewSigner has checked the
	// form, and that no name holds a plus.
	parts := strings.SplitN(secret, "+", 5)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return Key{}, errors.New("trace: this signing key is not an Ed25519 key")
	}
	pub := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	public, err := note.NewEd25519VerifierKey(signer.Name(), pub)
	if err != nil {
		return Key{}, err
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return Key{}, err
	}
	return Key{signer: signer, verifier: verifier, public: public}, nil
}

// Public is the verifier key as text: what an auditor needs to check checkpoints
// elsewhere.
func (k Key) Public() string { return k.public }

// Origin names the log that the key signs for.
func (k Key) Origin() string {
	if k.signer == nil {
		return ""
	}
	return k.signer.Name()
}

// checkOrigin admits what can stand in the first line of a checkpoint and in a
// key's name.
func checkOrigin(origin string) error {
	if origin == "" || len(origin) > fact.MaxName || !mail.IsPlain(origin) || strings.ContainsAny(origin, " +") {
		return errors.New("trace: the origin must be 1 to 256 printable ASCII characters without space and +")
	}
	return nil
}

// Checkpoint is the promise that the tree has that root at that size.
type Checkpoint struct {
	Origin string    `json:"origin"`
	Size   int64     `json:"size"`
	Root   tlog.Hash `json:"root"`
}

// text is the body of the note: C2SP tlog-checkpoint, origin, size and root, one
// a line.
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// Sign returns the checkpoint as a signed note.
func (k Key) Sign(c Checkpoint) ([]byte, error) {
	if k.signer == nil || c.Origin != k.Origin() {
		return nil, errors.New("trace: no key for the checkpoints of " + c.Origin)
	}
	return note.Sign(&note.Note{Text: c.text()}, k.signer)
}

// Open verifies a signed note and reads the checkpoint in it.
func (k Key) Open(signed []byte) (Checkpoint, error) {
	if k.verifier == nil {
		return Checkpoint{}, ErrSignature
	}
	n, err := note.Open(signed, note.VerifierList(k.verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w (%v)", ErrSignature, err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != k.Origin() {
		return Checkpoint{}, errors.New("trace: the checkpoint is of another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, errors.New("trace: the checkpoint has no size")
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, errors.New("trace: the checkpoint has no root")
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}
