package keyring

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// prefix begins the store key of a domain's keys; its ASCII name follows.
const prefix = string(store.SpaceSigning)

func storeKey(d mail.Domain) []byte { return []byte(prefix + d.ASCII()) }

// owned is a key with its secret.
type owned struct {
	Key
	signing dkim.SigningKey
	secret  []byte // PKCS #8
}

// stored is a key as the store keeps it.
type stored struct {
	Selector string    `json:"selector"`
	State    string    `json:"state"`
	Created  time.Time `json:"created"`
	Since    time.Time `json:"since"`
	Seen     time.Time `json:"seen,omitzero"`
	Lost     time.Time `json:"lost,omitzero"`
	Forced   bool      `json:"forced,omitempty"`
	Secret   []byte    `json:"secret"`
}

func encode(keys []owned) ([]byte, error) {
	out := make([]stored, len(keys))
	for i, k := range keys {
		out[i] = stored{k.Name.Selector, k.State.String(), k.Created, k.Since, k.Seen, k.Lost, k.Forced, k.secret}
	}
	return json.Marshal(out)
}

// decode reads the keys of a domain. What does not read is an error: a key that was
// forgotten silently would leave mail unsigned.
func decode(d mail.Domain, record []byte) ([]owned, error) {
	var in []stored
	if err := json.Unmarshal(record, &in); err != nil {
		return nil, fmt.Errorf("keyring: the keys of %s do not read: %w", d, err)
	}
	out := make([]owned, len(in))
	for i, s := range in {
		k, err := newOwned(dkim.KeyName{Selector: s.Selector, Domain: d}, s.Secret)
		if err != nil {
			return nil, err
		}
		for _, st := range []State{StateNew, StateActive, StateRetired} {
			if st.String() == s.State {
				k.State = st
			}
		}
		if k.State == StateUnknown {
			return nil, fmt.Errorf("keyring: the key %s is in an unknown state", k.Name)
		}
		k.Created, k.Since, k.Seen, k.Lost, k.Forced = s.Created, s.Since, s.Seen, s.Lost, s.Forced
		out[i] = k
	}
	return out, nil
}

// newOwned reads a secret key. The caller sets state and times.
func newOwned(n dkim.KeyName, secret []byte) (owned, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return owned{}, fmt.Errorf("keyring: the key %s does not read: %w", n, err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return owned{}, fmt.Errorf("keyring: the key %s cannot sign", n)
	}
	k := owned{secret: secret}
	if k.signing, err = dkim.NewSigningKey(n, signer); err != nil {
		return owned{}, err
	}
	k.Name, k.Algorithm = n, k.signing.Algorithm
	if k.Record, err = dkim.Record(signer.Public()); err != nil {
		return owned{}, err
	}
	public, err := dkim.ParseRecord(k.Record, dkim.DefaultLimits())
	k.Bits = public.Bits
	return k, err
}

// generate makes a new secret key.
func generate(a dkim.Algorithm, rsaBits int, rnd io.Reader) (secret []byte, err error) {
	var key crypto.Signer
	switch a {
	case dkim.RSASHA256:
		key, err = rsa.GenerateKey(rnd, rsaBits)
	case dkim.Ed25519SHA256:
		_, key, err = ed25519.GenerateKey(rnd)
	default:
		err = dkim.ErrKey
	}
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// ParseSecret reads a private key as other programs keep it: in PEM, as PKCS #8 or as PKCS #1 for
// RSA; a key for Ed25519 also as base64 alone, of its seed (dkimpy) or of the seed and the public
// key behind it (Rspamd).
func ParseSecret(text []byte) (secret []byte, err error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return parseBare(text)
	}
	if block.Type == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: the key does not read: %w", ErrInvalid, err)
		}
		return x509.MarshalPKCS8PrivateKey(key)
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		return nil, fmt.Errorf("%w: the key does not read: %w", ErrInvalid, err)
	}
	return block.Bytes, nil
}

// parseBare reads a key for Ed25519 that no PEM is around.
func parseBare(text []byte) (secret []byte, err error) {
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: no PEM block, and no key for Ed25519 in base64", ErrInvalid)
	}
	key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && !bytes.Equal(raw, key) {
		return nil, fmt.Errorf("%w: the key does not read: its public half is another's", ErrInvalid)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

var (
	// ErrNotFound says that there is no such key.
	ErrNotFound = errors.New("keyring: not found")
	// ErrInvalid says that a request makes no sense.
	ErrInvalid = errors.New("keyring: invalid")
)
