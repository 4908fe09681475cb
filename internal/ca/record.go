package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/kit/codec"
	"sallyport/internal/store"
)

const (
	prefix          = string(store.SpaceCA)
	prefixAuthority = prefix + "authority/"
	prefixIssued    = prefix + "issued/"
	prefixList      = prefix + "list/"

	// recordVersion is the version of records that is written; no other is read.
	recordVersion = 1
	// maxSerial is the longest serial number that is read, in octets. RFC 5280 §4.1.2.2
	maxSerial = 20
)

func authorityKey(number int) []byte { return fmt.Appendf(nil, "%s%06d", prefixAuthority, number) }
func listKey(number int) []byte      { return fmt.Appendf(nil, "%s%06d", prefixList, number) }

func issuedPrefix(number int) []byte { return fmt.Appendf(nil, "%s%06d/", prefixIssued, number) }

func issuedKey(number int, serial *big.Int) []byte {
	return append(issuedPrefix(number), serial.Text(16)...)
}

// Authority is one that the server was or is: the newest signs, older ones are known as long
// as what they signed is.
type Authority struct {
	Number      int
	Certificate *x509.Certificate
	Made        time.Time
	// Distrusted is since when its key is known to be somebody else's; zero: it is not.
	Distrusted time.Time
}

type storedAuthority struct {
	Version     int       `json:"v"`
	Certificate []byte    `json:"certificate"` // DER
	Made        time.Time `json:"made"`
	Distrusted  time.Time `json:"distrusted,omitzero"`
}

func encodeAuthority(a Authority) ([]byte, error) {
	return json.Marshal(storedAuthority{recordVersion, a.Certificate.Raw, a.Made, a.Distrusted})
}

func decodeAuthority(key, value []byte) (Authority, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(string(key), prefixAuthority))
	if err != nil || number < 1 {
		return Authority{}, errors.New("ca: an authority has no number")
	}
	var s storedAuthority
	if err := codec.Decode(value, &s); err != nil {
		return Authority{}, err
	}
	if err := codec.Version(s.Version, recordVersion); err != nil {
		return Authority{}, err
	}
	c, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		return Authority{}, err
	}
	return Authority{number, c, s.Made, s.Distrusted}, nil
}

// Loss says what became of the enrolment of a certificate's key. The zero Loss is none.
type Loss string

const (
	LossNone    Loss = ""
	LossRevoked Loss = "revoked" // no account has the key any more
	LossEnded   Loss = "ended"   // its enrolment has ended
	LossFrozen  Loss = "frozen"  // its account may not act for now
)

// lossOf is the loss of a key that is worth so much.
func lossOf(h accounts.Holding) Loss {
	switch h {
	case accounts.HoldingGood:
		return LossNone
	case accounts.HoldingFrozen:
		return LossFrozen
	case accounts.HoldingEnded:
		return LossEnded
	}
	return LossRevoked
}

// Issued is a certificate that an authority signed. Lists of others go by it; who signs in
// here is decided by the enrolment alone.
type Issued struct {
	Authority int
	Serial    *big.Int
	Account   string
	Device    string
	SPKI      [sha256.Size]byte // of the SubjectPublicKeyInfo
	NotAfter  time.Time
	Loss      Loss
	Lost      time.Time // when the loss was noticed
}

// reason is why it stands in a revocation list. RFC 5280 §5.3.1
func (i Issued) reason() (code int, listed bool) {
	switch i.Loss {
	case LossNone:
		return 0, false
	case LossFrozen:
		return 6, true // certificateHold
	case LossEnded:
		return 5, true // cessationOfOperation
	}
	return 0, true
}

// seen returns it as it is when its key is worth h, and whether that is news. What was
// revoked once stays so: another enrolment of the same key does not bring it back.
func (i Issued) seen(h accounts.Holding, now time.Time) (Issued, bool) {
	loss := lossOf(h)
	if loss == i.Loss || i.Loss == LossRevoked {
		return i, false
	}
	i.Loss, i.Lost = loss, now
	if loss == LossNone {
		i.Lost = time.Time{}
	}
	return i, true
}

type storedIssued struct {
	Version  int       `json:"v"`
	Account  string    `json:"account"`
	Device   string    `json:"device"`
	SPKI     []byte    `json:"spki_sha256"`
	NotAfter time.Time `json:"not_after"`
	Loss     Loss      `json:"loss,omitempty"`
	Lost     time.Time `json:"lost,omitzero"`
}

func encodeIssued(i Issued) ([]byte, error) {
	return json.Marshal(storedIssued{recordVersion, i.Account, i.Device, i.SPKI[:], i.NotAfter, i.Loss, i.Lost})
}

func decodeIssued(key, value []byte) (i Issued, err error) {
	number, serial, ok := strings.Cut(strings.TrimPrefix(string(key), prefixIssued), "/")
	if i.Authority, err = strconv.Atoi(number); err != nil || !ok || i.Authority < 1 || len(serial) > 2*maxSerial {
		return i, errors.New("ca: a certificate has no authority or serial number")
	}
	if i.Serial, ok = new(big.Int).SetString(serial, 16); !ok || i.Serial.Sign() <= 0 || i.Serial.Text(16) != serial {
		return i, errors.New("ca: a certificate has no serial number")
	}
	var s storedIssued
	if err := codec.Decode(value, &s); err != nil {
		return i, err
	}
	if err := codec.Version(s.Version, recordVersion); err != nil {
		return i, err
	}
	if len(s.SPKI) != sha256.Size {
		return i, errors.New("ca: the digest of a public key has the wrong length")
	}
	switch s.Loss {
	case LossNone, LossRevoked, LossEnded, LossFrozen:
	default: // what is not understood is listed
		s.Loss = LossRevoked
	}
	copy(i.SPKI[:], s.SPKI)
	i.Account, i.Device, i.NotAfter, i.Loss, i.Lost = s.Account, s.Device, s.NotAfter, s.Loss, s.Lost
	return i, nil
}
