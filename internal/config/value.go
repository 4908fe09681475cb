package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

func itoa(n int) string { return strconv.Itoa(n) }

// text reads a string.
func (s *source) str(n *node) (string, bool) {
	if n.kind != unstable.String {
		s.fault(n.meant(), s.literal(n.meant()), "this must be text, and is "+article(n.kind), `write it in "quotes"`)
		return "", false
	}
	return n.text, true
}

// strs reads a list of strings; one string alone is no list, so that adding a
// second never changes what the first means.
func (s *source) strs(n *node) ([]*node, bool) {
	if n.kind != unstable.Array {
		s.fault(n.meant(), s.literal(n.meant()), "this must be a list, and is "+article(n.kind), `write ["…"], also for a single one`)
		return nil, false
	}
	ok := true
	for _, item := range n.items {
		_, isText := s.str(item)
		ok = ok && isText
	}
	return n.items, ok
}

// bounded reports whether v lies between the texts min and max as parse reads
// them, and says so where it does not.
func bounded[V int | int64 | float64 | time.Duration](s *source, n *node, v V, k Key, parse func(string) (V, error)) bool {
	lo, errLo := parse(k.Min)
	hi, errHi := parse(k.Max)
	if errLo == nil && errHi == nil && v >= lo && v <= hi {
		return true
	}
	s.fault(n.meant(), s.literal(n.meant()), k.Path+" is out of bounds",
		fmt.Sprintf("it may be %s to %s, and is %s where it is not given", k.Min, k.Max, orNothing(k.Default)))
	return false
}

// number reads a bounded number: a TOML number, or the text that parse reads.
func number[V int | int64 | float64 | time.Duration](s *source, n *node, k Key, parse func(string) (V, error)) (V, bool) {
	text, known := n.text, n.kind == unstable.String && k.Type.quoted() ||
		n.kind == unstable.Integer && k.Type.bare() || n.kind == unstable.Float && k.Type == TypeFactor
	if !known {
		s.fault(n.meant(), s.literal(n.meant()), "this must be "+k.Type.String()+", and is "+article(n.kind), k.Type.example())
		return 0, false
	}
	v, err := parse(text)
	if err != nil {
		s.fault(n.meant(), s.literal(n.meant()), "this is not "+k.Type.String()+": "+err.Error(), k.Type.example())
		return 0, false
	}
	return v, bounded(s, n, v, k, parse)
}

func parseCount(text string) (int, error) {
	v, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 0)
	if err != nil {
		return 0, errorText("it is too large")
	}
	return int(v), nil
}

func parseFactor(text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, errorText("it is no finite number")
	}
	return v, nil
}

// parseSize reads octets: digits and one of the units of sizeUnits.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "BKMGTibyteso ")
	v, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 64)
	if err != nil || v < 0 {
		return 0, errorText("it does not begin with a whole number")
	}
	unit := strings.TrimSpace(text[len(digits):])
	factor, ok := sizeUnit(unit)
	if !ok {
		return 0, errorText("its unit " + strconv.Quote(unit) + " is unknown")
	}
	if v > math.MaxInt64/factor {
		return 0, errorText("it is too large")
	}
	return v * factor, nil
}

// ParseSize reads a size as the configuration has it: "2GiB", "500MB".
func ParseSize(text string) (int64, error) { return parseSize(text) }

// sizeUnit returns the octets in a unit. The units of a thousand and of 1024 are
// both written out, so that no reader has to guess which one is meant.
func sizeUnit(unit string) (int64, bool) {
	switch unit {
	case "", "B":
		return 1, true
	case "KiB":
		return 1 << 10, true
	case "MiB":
		return 1 << 20, true
	case "GiB":
		return 1 << 30, true
	case "TiB":
		return 1 << 40, true
	case "KB":
		return 1e3, true
	case "MB":
		return 1e6, true
	case "GB":
		return 1e9, true
	case "TB":
		return 1e12, true
	}
	return 0, false
}

type errorText string

func (e errorText) Error() string { return string(e) }

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// article names a kind of TOML value in words.
func article(k unstable.Kind) string {
	switch k {
	case unstable.String:
		return "text"
	case unstable.Integer, unstable.Float:
		return "a number"
	case unstable.Bool:
		return "true or false"
	case unstable.Array:
		return "a list"
	case unstable.Table, unstable.InlineTable:
		return "a table"
	}
	return "a date or a time"
}
