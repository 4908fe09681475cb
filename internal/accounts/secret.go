package accounts

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/scram"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"sallyport/internal/accounts/guessable"
	"sallyport/internal/mail"
)

const (
	saltOctets = 16 // of both salts; RFC 9106 §3.1 recommends 16
	hashOctets = 32
)

// secret is what proves a password without holding it: an argon2id hash for
// PLAIN and LOGIN, a verifier for SCRAM. The zero secret matches nothing.
type secret struct {
	Argon argonHash     `json:"argon2id"`
	Scram scramVerifier `json:"scram_sha_256"`
}

type argonHash struct {
	Memory uint32 `json:"m"` // KiB
	Passes uint32 `json:"t"`
	Lanes  uint8  `json:"p"`
	Salt   []byte `json:"salt"`
	Hash   []byte `json:"hash"`
}

// scramVerifier is what RFC 5802 §3 says a server stores.
type scramVerifier struct {
	Rounds    int    `json:"i"`
	Salt      []byte `json:"salt"`
	StoredKey []byte `json:"stored_key"`
	ServerKey []byte `json:"server_key"`
}

// newSecret derives both forms. typed is the password as it was typed, prepared
// is what preparePassword made of it.
//
// scramSalt is the salt of SCRAM, which an account keeps since its app passwords share it;
// nil: a new one.
func newSecret(rnd io.Reader, c cost, scramSalt []byte, typed, prepared string) (secret, error) {
	salts := make([]byte, 2*saltOctets)
	if _, err := io.ReadFull(rnd, salts); err != nil {
		return secret{}, err
	}
	if scramSalt != nil {
		copy(salts[saltOctets:], scramSalt)
	}
	a := argonHash{Memory: c.Memory, Passes: c.Passes, Lanes: c.Lanes, Salt: salts[:saltOctets:saltOctets]}
	a.Hash = a.derive(prepared)
	v, err := newVerifier(salts[saltOctets:], c.Rounds, typed, prepared)
	if err != nil {
		return secret{}, err
	}
	return secret{Argon: a, Scram: v}, nil
}

// newVerifier prepares the password as SCRAM clients do, with SASLprep (RFC 5802
// §2.2); where SASLprep knows no answer (characters later than Unicode 3.2) it
// takes the form of RFC 8265.
func newVerifier(salt []byte, rounds int, typed, prepared string) (scramVerifier, error) {
	c, err := scram.SHA256.NewClient("", typed, "")
	if err != nil {
		if c, err = scram.SHA256.NewClientUnprepped("", prepared, ""); err != nil {
			return scramVerifier{}, err
		}
	}
	stored, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: rounds})
	if err != nil {
		return scramVerifier{}, fmt.Errorf("accounts: deriving a SCRAM verifier: %w", err)
	}
	return scramVerifier{Rounds: rounds, Salt: salt, StoredKey: stored.StoredKey, ServerKey: stored.ServerKey}, nil
}

// derive is the costly step. The caller holds a slot of the hasher.
func (a argonHash) derive(prepared string) []byte {
	return argon2.IDKey([]byte(prepared), a.Salt, a.Passes, a.Memory, a.Lanes, hashOctets)
}

// matches takes as long for a wrong password as for the right one.
func (a argonHash) matches(prepared string) bool {
	return len(a.Hash) == hashOctets && subtle.ConstantTimeCompare(a.derive(prepared), a.Hash) == 1
}

// fits reports whether both can answer to the same first message.
func (v scramVerifier) fits(w scramVerifier) bool {
	return v.Rounds == w.Rounds && bytes.Equal(v.Salt, w.Salt)
}

// cost is what a new password of the account costs. While it has app passwords, the rounds
// of SCRAM stay as they are: the server names them before it knows which password comes.
func (r *record) cost(l *Limits) cost {
	c := l.cost()
	if r != nil && len(r.held) > 0 {
		c.Rounds = r.secret.Scram.Rounds
	}
	return c
}

// salt is that of the account's SCRAM verifiers; nil: there is none yet.
func (r *record) salt() []byte {
	if r == nil {
		return nil
	}
	return r.secret.Scram.Salt
}

func (v scramVerifier) credentials() scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Rounds},
		StoredKey:  v.StoredKey,
		ServerKey:  v.ServerKey,
	}
}

func (s secret) cost() cost {
	return cost{Memory: s.Argon.Memory, Passes: s.Argon.Passes, Lanes: s.Argon.Lanes, Rounds: s.Scram.Rounds}
}

// validate keeps a damaged or forged record from costing more than any sign-in
// may, and from matching where it holds nothing.
func (s secret) validate() error {
	if err := s.cost().validate(); err != nil {
		return err
	}
	for name, n := range map[string]int{
		"argon2id salt": len(s.Argon.Salt) - saltOctets, "argon2id hash": len(s.Argon.Hash) - hashOctets,
		"SCRAM salt": len(s.Scram.Salt) - saltOctets, "SCRAM stored key": len(s.Scram.StoredKey) - hashOctets,
		"SCRAM server key": len(s.Scram.ServerKey) - hashOctets,
	} {
		if n != 0 {
			return fmt.Errorf("the %s has the wrong length", name)
		}
	}
	return nil
}

// decoy feigns the secret of an account that does not exist: the same one each
// time for the same name and key, at the same cost, and matched by nothing that
// anybody can find. RFC 5802 §7 on telling users apart.
func decoy(key []byte, c cost, name string) secret {
	m := hmac.New(sha256.New, key)
	io.WriteString(m, name)
	seed := m.Sum(make([]byte, 0, sha256.Size+1))
	part := func(what byte, n int) []byte {
		sum := sha256.Sum256(append(seed, what))
		return sum[:n]
	}
	return secret{
		Argon: argonHash{
			Memory: c.Memory, Passes: c.Passes, Lanes: c.Lanes,
			Salt: part('a', saltOctets), Hash: part('b', hashOctets),
		},
		Scram: scramVerifier{
			Rounds: c.Rounds, Salt: part('c', saltOctets),
			StoredKey: part('d', hashOctets), ServerKey: part('e', hashOctets),
		},
	}
}

// preparePassword brings a password into the form that is hashed: the
// OpaqueString profile of RFC 8265 §4.2, which refuses control characters and
// NUL among them, and keeps letter case. It never returns an empty one.
func preparePassword(typed string, maxOctets int) (string, error) {
	if typed == "" {
		return "", errors.New("it is empty")
	}
	if len(typed) > maxOctets {
		return "", fmt.Errorf("it is longer than %d octets", maxOctets)
	}
	if !utf8.ValidString(typed) {
		return "", errors.New("it is not UTF-8")
	}
	p, err := precis.OpaqueString.String(typed)
	if err != nil {
		return "", errors.New("it holds a character that no password may hold")
	}
	if p == "" || len(p) > maxOctets {
		return "", fmt.Errorf("in normal form it is empty or longer than %d octets", maxOctets)
	}
	return p, nil
}

// newPassword applies the rules for a password that is being set, and returns it
// prepared.
func newPassword(a mail.Address, typed string, l Limits) (string, error) {
	p, err := preparePassword(typed, l.PasswordOctets)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrPassword, err)
	case utf8.RuneCountInString(p) < l.PasswordChars:
		return "", fmt.Errorf("%w: it is shorter than %d characters", ErrPassword, l.PasswordChars)
	case strings.EqualFold(p, a.String()) || strings.EqualFold(p, a.Local()):
		return "", fmt.Errorf("%w: it is the address itself", ErrPassword)
	}
	if why := guessable.Why(p, a.String(), a.Local(), a.Domain().ASCII()); why != "" {
		return "", fmt.Errorf("%w: %s", ErrPassword, why)
	}
	return p, nil
}
