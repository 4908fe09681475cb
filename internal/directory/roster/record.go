package roster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

const (
	prefixAll   = string(store.SpaceRoster) + "entry/"
	keyRevision = string(store.SpaceRoster) + "revision"

	// recordVersion is the version of entries that is written; no other is read.
	recordVersion = 1
)

func (r Ref) storeKey() []byte { return []byte(prefixAll + r.Kind.String() + "/" + r.key) }

// refOf reads a key of the store back.
func refOf(storeKey []byte) (Ref, error) {
	kind, key, found := strings.Cut(strings.TrimPrefix(string(storeKey), prefixAll), "/")
	for _, k := range kinds() {
		if found && k.String() == kind {
			return Ref{k, key}, nil
		}
	}
	return Ref{}, fmt.Errorf("the roster holds an entry of the kind %s, which this release does not know", mail.Printable(kind, mail.WordShown))
}

// kinds are the kinds of entries.
func kinds() []directory.Kind {
	return []directory.Kind{directory.KindDomain, directory.KindAlias, directory.KindForward, directory.KindDelegate, directory.KindContact}
}

type storedDomain struct {
	Version    int          `json:"v"`
	Name       mail.Domain  `json:"domain"`
	Deliver    string       `json:"deliver"`
	Postmaster mail.Address `json:"postmaster,omitzero"`
	Added      time.Time    `json:"added"`
}

type storedAlias struct {
	Version  int            `json:"v"`
	Address  mail.Address   `json:"address,omitzero"`
	CatchAll mail.Domain    `json:"catch_all,omitzero"`
	Targets  []mail.Address `json:"targets"`
	From     string         `json:"from"`
	Added    time.Time      `json:"added"`
}

type storedForward struct {
	Version int            `json:"v"`
	Account mail.Address   `json:"account"`
	Targets []mail.Address `json:"targets"`
	Keep    bool           `json:"keep"`
	Added   time.Time      `json:"added"`
}

type storedDelegate struct {
	Version int          `json:"v"`
	Account mail.Address `json:"account"`
	Address mail.Address `json:"address"`
	Added   time.Time    `json:"added"`
}

type storedContact struct {
	Version int                       `json:"v"`
	Account mail.Address              `json:"account"`
	Address mail.Address              `json:"address,omitzero"`
	Former  []directory.FormerContact `json:"former,omitempty"`
	Added   time.Time                 `json:"added"`
}

func (d Domain) encode() ([]byte, error) {
	return json.Marshal(storedDomain{recordVersion, d.Name, d.Deliver, d.Postmaster, d.Added})
}

func (a Alias) encode() ([]byte, error) {
	return json.Marshal(storedAlias{recordVersion, a.Address, a.CatchAll, a.Targets, a.Posting.String(), a.Added})
}

func (f Forward) encode() ([]byte, error) {
	return json.Marshal(storedForward{recordVersion, f.Account, f.Targets, f.Keep, f.Added})
}

func (d Delegate) encode() ([]byte, error) {
	return json.Marshal(storedDelegate{recordVersion, d.Account, d.Address, d.Added})
}

func (c Contact) encode() ([]byte, error) {
	return json.Marshal(storedContact{recordVersion, c.Account, c.Address, c.Former, c.Added})
}

// decodeEntry reads the value under an entry's key. It refuses what it does not
// understand wholly, and what belongs under another key.
func decodeEntry(ref Ref, value []byte) (Entry, error) {
	e, version, err := decodeKind(ref.Kind, value)
	switch {
	case err != nil:
		return nil, err
	case codec.Version(version, recordVersion) != nil:
		return nil, codec.Version(version, recordVersion)
	case e.Ref() != ref:
		return nil, errors.New("its name is not the key's")
	}
	return e, nil
}

func decodeKind(k directory.Kind, value []byte) (Entry, int, error) {
	switch k {
	case directory.KindDomain:
		var s storedDomain
		err := codec.Decode(value, &s)
		return Domain{s.Name, s.Deliver, s.Postmaster, s.Added}, s.Version, err
	case directory.KindAlias:
		var s storedAlias
		if err := codec.Decode(value, &s); err != nil {
			return nil, 0, err
		}
		posting, err := directory.ParsePosting(s.From)
		return Alias{directory.Alias{Address: s.Address, CatchAll: s.CatchAll, Targets: s.Targets, Posting: posting}, s.Added}, s.Version, err
	case directory.KindForward:
		var s storedForward
		err := codec.Decode(value, &s)
		return Forward{directory.Forward{Account: s.Account, Targets: s.Targets, Keep: s.Keep}, s.Added}, s.Version, err
	case directory.KindDelegate:
		var s storedDelegate
		err := codec.Decode(value, &s)
		return Delegate{directory.Delegate{Account: s.Account, Address: s.Address}, s.Added}, s.Version, err
	case directory.KindContact:
		var s storedContact
		err := codec.Decode(value, &s)
		return Contact{directory.Contact{Account: s.Account, Address: s.Address, Former: s.Former}, s.Added}, s.Version, err
	}
	return nil, 0, errors.New("its kind is not known")
}
