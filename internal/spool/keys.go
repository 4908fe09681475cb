package spool

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// What the keys of the spool begin with: the table in doc.go.
const (
	spaceEntry      = store.SpaceEntries
	spaceBody       = store.SpaceBodies
	spaceFile       = store.SpaceFiles
	spaceDue        = store.SpaceDue
	spaceHeld       = store.SpaceHeld
	spaceParked     = store.SpaceParked
	spaceAccount    = store.SpaceHolds
	spaceQuarantine = store.SpaceQuarantine
	spaceOpenings   = store.SpaceOpenings
)

// place is the index in which an entry stands. The zero value is none.
type place uint8

const (
	placeNone place = iota
	placeDue
	placeHeld
	placeParked
)

func key(space store.Space, parts ...[]byte) []byte { return space.Key(parts...) }

func entryKey(id mail.ID) []byte      { return key(spaceEntry, id.Bytes()) }
func bodyKey(id mail.ID) []byte       { return key(spaceBody, id.Bytes()) }
func fileKey(name string) []byte      { return key(spaceFile, []byte(name)) }
func quarantineKey(id mail.ID) []byte { return key(spaceQuarantine, id.Bytes()) }
func accountKey(a mail.Address) []byte {
	return key(spaceAccount, []byte(a.Key()))
}

// indexKey is the key under which e stands in its index.
func indexKey(e *Entry) []byte {
	switch e.place {
	case placeHeld:
		return key(spaceHeld, e.ID.Bytes())
	case placeParked:
		return parkedKey(e.Account.Key(), e.ID)
	}
	return dueKey(e.NextTry, e.ID)
}

// dueKey orders by time; a time before 1970 or beyond int64 does not occur, since
// times come from the clock and bounded waits.
func dueKey(at time.Time, id mail.ID) []byte {
	var t [8]byte
	binary.BigEndian.PutUint64(t[:], uint64(max(at.UnixNano(), 0)))
	return key(spaceDue, t[:], id.Bytes())
}

// parkedKey holds the account's key as text, which has no NUL in it.
func parkedKey(account string, id mail.ID) []byte {
	return key(spaceParked, []byte(account), []byte{0}, id.Bytes())
}

func parkedRange(account string) store.Range {
	return store.Prefix(key(spaceParked, []byte(account), []byte{0}))
}

func spaceRange(space store.Space) store.Range { return space.All() }

// dueRange covers what is due at now.
func dueRange(now time.Time) store.Range {
	r := spaceRange(spaceDue)
	if t := uint64(max(now.UnixNano(), 0)); t < math.MaxUint64 {
		r.To = key(spaceDue, binary.BigEndian.AppendUint64(nil, t+1))
	}
	return r
}

const idOctets = 15

// keyID reads the ID at the end of a key, and the time of a schedule key.
func keyID(k []byte) (mail.ID, bool) {
	if len(k) < 2+idOctets {
		return mail.ID{}, false
	}
	id, err := mail.IDFromBytes(k[len(k)-idOctets:])
	return id, err == nil && !id.IsZero()
}

func keyTime(k []byte) time.Time {
	if len(k) != 2+8+idOctets {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(k[2:10]))).UTC()
}

// keyAccount reads the account of a parked key or of an account key.
func keyAccount(k []byte) string {
	if spaceParked.Has(k) {
		if i := bytes.IndexByte(k, 0); i >= 2 {
			return string(k[2:i])
		}
		return ""
	}
	return string(k[2:])
}
