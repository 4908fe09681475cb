package store_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"sallyport/internal/store"
)

// What every driver refuses, and what stands just inside the bounds.
func TestCheck(t *testing.T) {
	key := []byte("k")
	set := func(k, v []byte) store.Tx { return store.Tx{Mutations: []store.Mutation{{Key: k, Value: v}}} }
	longest := bytes.Repeat([]byte("k"), store.MaxKeyOctets)
	for name, row := range map[string]struct {
		tx store.Tx
		ok bool
	}{
		"nothing":                      {store.Tx{}, true},
		"the longest key":              {set(longest, nil), true},
		"a key beyond it":              {set(append(longest, 'k'), nil), false},
		"an empty key":                 {set(nil, nil), false},
		"a reserved key":               {set([]byte{store.ReservedPrefix, 1}, nil), false},
		"a reserved precondition":      {store.Tx{Preconditions: []store.Precondition{{Key: []byte{store.ReservedPrefix}, Absent: true}}}, false},
		"absence with a value":         {store.Tx{Preconditions: []store.Precondition{{Key: key, Value: key, Absent: true}}}, false},
		"a deletion with a value":      {store.Tx{Mutations: []store.Mutation{{Key: key, Value: key, Delete: true}}}, false},
		"an empty fact":                {store.Tx{Facts: [][]byte{{}}}, false},
		"as many octets as may be":     {set(key, make([]byte, store.MaxTxOctets-len(key))), true},
		"one octet more":               {set(key, make([]byte, store.MaxTxOctets)), false},
		"more parts than there may be": {store.Tx{Facts: make([][]byte, store.MaxTxParts+1)}, false},
	} {
		if err := row.tx.Check(); (err == nil) != row.ok || err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A blob's name becomes a file's: nothing in it may leave the folder.
func TestCheckBlobName(t *testing.T) {
	for _, good := range []string{"a", "06h0jx5s-fb_3", strings.Repeat("z", store.MaxBlobName)} {
		if err := store.CheckBlobName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "a.tmp", "A", "a\x00", "é", strings.Repeat("z", store.MaxBlobName+1)} {
		if err := store.CheckBlobName(bad); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPrefixEndIsTheFirstKeyBehind(t *testing.T) {
	for in, want := range map[string]string{"a": "b", "ab": "ac", "a\xff": "b", "\x00": "\x01"} {
		p := []byte(in)
		if got := store.PrefixEnd(p); string(got) != want || string(p) != in {
			t.Errorf("%q: %q, and the prefix is now %q", in, got, p)
		}
	}
	for _, last := range []string{"", "\xff", "\xff\xff"} {
		if got := store.PrefixEnd([]byte(last)); got != nil {
			t.Errorf("%q: %q; there is no key behind it", last, got)
		}
	}
}

// No range that users name reaches the facts.
func TestUserRangeHidesTheReserved(t *testing.T) {
	for _, from := range [][]byte{nil, {store.ReservedPrefix}, {store.ReservedPrefix, 9}} {
		if r := (store.Range{From: from}).UserRange(); bytes.Compare(r.From, []byte{store.ReservedPrefix + 1}) < 0 {
			t.Errorf("%q begins at %q", from, r.From)
		}
	}
	if r := (store.Range{From: []byte("s")}).UserRange(); string(r.From) != "s" {
		t.Errorf("a range of users' keys was moved to %q", r.From)
	}
}
