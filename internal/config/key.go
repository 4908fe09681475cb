package config

import (
	"strconv"
	"time"

	"sallyport/internal/kit/timespan"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Type is the type of a key's value. The zero Type is none.
type Type uint8

const (
	TypeNone      Type = iota
	TypeCount          // a whole number
	TypeSize           // octets: 4096 or "50MiB"
	TypeDuration       // "90s", "1h30m", "5d"
	TypeFactor         // a number with a fraction
	TypeText           // printable ASCII
	TypeHost           // a host name
	TypeAddress        // a mail address
	TypeAddresses      // a list of mail addresses
	TypePath           // a file or folder, relative to the configuration file
	TypeListen         // a list of IP:port
	TypeIPs            // a list of IP addresses
	TypeNetworks       // a list of networks
	TypeChoice         // one of the words that its documentation lists
	TypeWords          // a list of words that its documentation lists
	TypeURL            // smtp://host:port or smtps://host:port
	TypeURLs           // a list of such
	TypeDelivery       // maildir, or a URL of a server behind us
	TypeSocket         // a UNIX socket that the server makes, relative to the configuration file
)

// String returns the type in words, with its article.
func (t Type) String() string {
	switch t {
	case TypeCount:
		return "a whole number"
	case TypeSize:
		return "a size"
	case TypeDuration:
		return "a duration"
	case TypeFactor:
		return "a number"
	case TypeText:
		return "a text"
	case TypeHost:
		return "a host name"
	case TypeAddress:
		return "an address"
	case TypeAddresses:
		return "a list of addresses"
	case TypePath:
		return "a path"
	case TypeListen:
		return "a list of IP:port"
	case TypeIPs:
		return "a list of IP addresses"
	case TypeNetworks:
		return "a list of networks"
	case TypeChoice:
		return "a word"
	case TypeWords:
		return "a list of words"
	case TypeSocket:
		return "a socket"
	case TypeURL:
		return "a URL"
	case TypeURLs:
		return "a list of URLs"
	case TypeDelivery:
		return "a way of delivery"
	}
	return "nothing"
}

// quoted and bare say whether a number of this type may stand as text, and as a
// TOML integer. A duration needs its unit, so it never stands bare.
func (t Type) quoted() bool { return t == TypeSize || t == TypeDuration }
func (t Type) bare() bool   { return t == TypeSize || t == TypeCount || t == TypeFactor }

func (t Type) example() string {
	switch t {
	case TypeCount:
		return "write it as 100, without quotes"
	case TypeSize:
		return `write it as "50MiB" or 4096; the units are B, KB, KiB, MB, MiB, GB, GiB, TB, TiB`
	case TypeDuration:
		return `write it as "90s", "10m", "1h30m" or "5d"`
	case TypeFactor:
		return "write it as 1.5, without quotes"
	}
	return ""
}

// Key documents one key. In Path, NAME stands for a quoted name:
// "route.NAME.to".
type Key struct {
	Path     string
	Type     Type
	Default  string // as it would be written; "": nothing
	Min, Max string // bounds of a number or size; a text's length
	Required bool   // wherever its table stands; then it has an Example
	Example  string // as it would be written
	Doc      string // what it means, in sentences
	// Restart says why a change takes effect at the next start alone; "": a reload
	// takes it in.
	Restart string
}

// entry joins a key and the code that reads it into a T.
type entry[T any] struct {
	Key
	read func(s *source, k Key, n *node, into *T)
}

// block reads the table n into a T: defaults first, then what stands there. A
// table that is missing altogether (nil) leaves the defaults. Tables named in
// inner are left to the caller.
func block[T any](s *source, n *node, entries []entry[T], into *T, inner ...string) {
	known := append([]string(nil), inner...)
	for _, e := range entries {
		known = append(known, lastName(e.Path))
	}
	for _, e := range entries {
		name := lastName(e.Path)
		if e.Default != "" {
			e.read(s, e.Key, defaultNode(e.Key), into)
		}
		if n == nil {
			continue
		}
		v, ok := n.children[name]
		switch {
		case ok:
			e.read(s, e.Key, v, into)
		case e.Required && !s.misspelt(n, known, name):
			s.fault(n.key, join(n.path, name), "this key is missing", "add "+name+" = "+e.example())
		}
	}
	if n != nil {
		s.unknown(n, known)
	}
}

// example is an example of a required key's value, as it would be written.
func (k Key) example() string {
	if k.Type == TypeURLs || k.Type == TypeWords {
		return "[" + strconv.Quote(k.Example) + "]"
	}
	return strconv.Quote(k.Example)
}

// defaultNode is a key's default as if it had been written.
func defaultNode(k Key) *node {
	n := &node{path: k.Path, kind: unstable.String, text: k.Default}
	if k.Type.bare() && k.Type != TypeSize {
		n.kind = unstable.Integer
	}
	return n
}

func count[T any](path, def, lo, hi, doc string, field func(*T) *int) entry[T] {
	return entry[T]{Key{Path: path, Type: TypeCount, Default: def, Min: lo, Max: hi, Doc: doc},
		func(s *source, k Key, n *node, into *T) { set(field(into))(number(s, n, k, parseCount)) }}
}

func size[T any](path, def, lo, hi, doc string, field func(*T) *int64) entry[T] {
	return entry[T]{Key{Path: path, Type: TypeSize, Default: def, Min: lo, Max: hi, Doc: doc},
		func(s *source, k Key, n *node, into *T) { set(field(into))(number(s, n, k, parseSize)) }}
}

func duration[T any](path, def, lo, hi, doc string, field func(*T) *time.Duration) entry[T] {
	return entry[T]{Key{Path: path, Type: TypeDuration, Default: def, Min: lo, Max: hi, Doc: doc},
		func(s *source, k Key, n *node, into *T) { set(field(into))(number(s, n, k, timespan.Parse)) }}
}

func factor[T any](path, def, lo, hi, doc string, field func(*T) *float64) entry[T] {
	return entry[T]{Key{Path: path, Type: TypeFactor, Default: def, Min: lo, Max: hi, Doc: doc},
		func(s *source, k Key, n *node, into *T) { set(field(into))(number(s, n, k, parseFactor)) }}
}

// set returns a function that stores a value where it is good.
func set[V any](into *V) func(V, bool) {
	return func(v V, ok bool) {
		if ok {
			*into = v
		}
	}
}

// parsed is a key whose text one function reads, with the fault in words.
func parsed[T, V any](k Key, parse func(text string) (v V, message, hint string), field func(*T) *V) entry[T] {
	return entry[T]{k, func(s *source, k Key, n *node, into *T) {
		text, ok := s.str(n)
		if !ok {
			return
		}
		v, message, hint := parse(text)
		if message != "" {
			s.fault(n.meant(), s.literal(n.meant()), message, hint)
			return
		}
		*field(into) = v
	}}
}

// list is a key whose value is a list of texts that one function reads.
func list[T, V any](k Key, parse func(text string) (v V, message, hint string), field func(*T) *[]V) entry[T] {
	return entry[T]{k, func(s *source, k Key, n *node, into *T) {
		items, ok := s.strs(n)
		if !ok {
			return
		}
		for _, item := range items {
			v, message, hint := parse(item.text)
			if message != "" {
				s.fault(item.meant(), s.literal(item.meant()), message, hint)
				continue
			}
			*field(into) = append(*field(into), v)
		}
	}}
}
