package accounts

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

const (
	prefixAll      = string(store.SpaceAccounts)
	prefixAccount  = prefixAll + "account/"
	prefixNetworks = prefixAll + "networks/"
	prefixUsed     = prefixAll + "used/"
	prefixMove     = prefixAll + "move/"
	keyRevision    = prefixAll + "revision"
	keyDecoy       = prefixAll + "decoy"

	// recordVersion is the version of accounts and networks that is written; no
	// other is read.
	recordVersion = 1
)

func accountKey(key string) []byte  { return []byte(prefixAccount + key) }
func networksKey(key string) []byte { return []byte(prefixNetworks + key) }
func usedKey(key string) []byte     { return []byte(prefixUsed + key) }

// record is an account with what proves it. Records are never changed.
type record struct {
	Account
	secret secret
	held   []held // beside the password
	// former are the SCRAM stored keys of the passwords before this one, the latest first, by
	// which a device with an old password is told from somebody who guesses. They open nothing.
	former [][]byte
	// aliases are further addresses that its directory says it has.
	aliases []mail.Address
	names   []FormerName // the latest last
	tokens  deadTokens   // which access tokens open nothing
}

// formerPasswords is how many passwords of an account are known as former ones.
const formerPasswords = 2

// formerly is what former will be once the password is another one.
func (r *record) formerly() [][]byte {
	if r.PasswordRevoked {
		return r.former
	}
	all := append([][]byte{r.secret.Scram.StoredKey}, r.former...)
	return all[:min(len(all), formerPasswords)]
}

type storedAccount struct {
	Version int `json:"v"`
	Account
	Secret secret       `json:"secret"`
	Held   []held       `json:"credentials,omitempty"`
	Former [][]byte     `json:"former_stored_keys,omitempty"`
	Names  []FormerName `json:"former_names,omitempty"`

	Aliases []mail.Address `json:"aliases,omitempty"`
	Tokens  deadTokens     `json:"dead_tokens,omitzero"`
}

func (r *record) encode() ([]byte, error) {
	return json.Marshal(storedAccount{
		Version: recordVersion, Account: r.Account, Secret: r.secret, Held: r.held, Former: r.former,
		Aliases: r.aliases, Names: r.names, Tokens: r.tokens,
	})
}

// decodeRecord reads the value under an account's key. It refuses what it does
// not understand wholly, and what belongs under another key.
func decodeRecord(key string, value []byte) (*record, error) {
	var s storedAccount
	if err := codec.Decode(value, &s); err != nil {
		return nil, err
	}
	if err := codec.Version(s.Version, recordVersion); err != nil {
		return nil, err
	}
	if s.Address.IsZero() || s.Address.Key() != key {
		return nil, errors.New("the address is not the key's")
	}
	if s.Standing != StandingActive && s.Standing != StandingFrozen || s.Role == RoleUnknown || s.Revision == 0 {
		return nil, errors.New("it has no standing, role or revision")
	}
	if err := (Sending{s.Role, s.RecipientsHour, s.RecipientsDay}).Validate(); err != nil {
		return nil, err
	}
	if s.QuotaOctets < 0 || s.QuotaMessages < 0 {
		return nil, errors.New("its quota is below nothing")
	}
	if s.Source.Directory == "" && (s.Source != Source{AlsoIn: s.Source.AlsoIn} || len(s.Aliases) > 0) {
		return nil, errors.New("it comes from no directory, and has what only a directory gives")
	}
	if err := s.Secret.validate(); err != nil {
		return nil, err
	}
	for _, h := range s.Held {
		if err := h.validate(); err != nil {
			return nil, err
		}
	}
	for _, k := range s.Former {
		if len(k) != hashOctets {
			return nil, errors.New("the stored key of a former password has the wrong length")
		}
	}
	if s.SignIn == PolicyUnknown { // written before there were policies
		s.SignIn = PolicyAny
	}
	return &record{Account: s.Account, secret: s.Secret, held: s.Held, former: s.Former, aliases: s.Aliases, names: s.Names, tokens: s.Tokens}, nil
}

// unreadable stands for a record that cannot be read: the address exists, so that
// mail for it is not refused for ever, but it may not act.
func unreadable(key string) (*record, error) {
	a, err := mail.ParseAddress(key, mail.UTF8)
	if err != nil {
		return nil, err
	}
	return &record{Account: Account{Address: a, FrozenReason: "its record cannot be read"}}, nil
}

// knownNetwork is a network from which an account signed in.
type knownNetwork struct {
	Network netip.Prefix `json:"network"`
	Last    time.Time    `json:"last"`
}

type storedNetworks struct {
	Version  int            `json:"v"`
	Networks []knownNetwork `json:"networks"` // the latest first
}

func encodeNetworks(n []knownNetwork) ([]byte, error) {
	return json.Marshal(storedNetworks{Version: recordVersion, Networks: n})
}

func decodeNetworks(value []byte) ([]knownNetwork, error) {
	var s storedNetworks
	if err := codec.Decode(value, &s); err != nil {
		return nil, err
	}
	if err := codec.Version(s.Version, recordVersion); err != nil {
		return nil, err
	}
	return s.Networks, nil
}

func keyOf(storeKey []byte, prefix string) string {
	return strings.TrimPrefix(string(storeKey), prefix)
}
