// Package damage keeps a list of the damage that was found on the disk, until a person has
// acknowledged it.
//
// It promises that what was noted is on disk before Note returns or is said not to be, that the same
// damage is noted once, and that the list is bounded: what is acknowledged makes room for what comes.
// The list is a file of its own, since the store may be what is damaged.
package damage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sallyport/internal/kit/safefile"
)

// Kind says what sort of file was damaged.
type Kind string

// The sorts of files.
const (
	Log        Kind = "log"        // of the store: its write-ahead log, or its manifest
	Table      Kind = "table"      // of the store
	Settings   Kind = "settings"   // of the store: how it was written
	Body       Kind = "body"       // of a message that waits
	Entry      Kind = "entry"      // of a message that waits: what is known of it
	Trace      Kind = "trace"      // the facts, or a checkpoint of them
	Index      Kind = "index"      // of a mailbox
	Unreadable Kind = "unreadable" // this list itself
)

// Found is one damage.
type Found struct {
	Kind Kind
	File string // what was damaged, for people
	What string // how, in words
	// Lost says what it cost, in words; "": nothing.
	Lost string
	// Aside is the file as it was found, untouched; "": it is where it was, or there is nothing to keep.
	Aside string
}

// Note is told of damage.
type Note func(Found)

// Noted is damage on the list.
type Noted struct {
	Number       int       `json:"number"`
	At           time.Time `json:"at"`
	Kind         Kind      `json:"kind"`
	File         string    `json:"file"`
	What         string    `json:"what"`
	Lost         string    `json:"lost,omitempty"`
	Aside        string    `json:"aside,omitempty"`
	Acknowledged time.Time `json:"acknowledged,omitzero"`
}

// Limits bounds a list.
type Limits struct {
	// Entries is how much is kept; the oldest that is acknowledged goes first. What comes while
	// nothing is acknowledged is counted and logged alone.
	Entries int
	// Text is the most octets of each text of an entry.
	Text int
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits { return Limits{Entries: 1000, Text: 2000} }

// List is what was found. Its methods may be called concurrently.
type List struct {
	path   string
	limits Limits
	now    func() time.Time

	mu   sync.Mutex
	all  []Noted
	next int
	more int // that found no room
}

// Open reads the list in a file; there need not be one, and its folder is made. A list that does
// not read is put aside, and that is the first entry of a new one.
func Open(path string, l Limits, now func() time.Time) (*List, error) {
	if err := safefile.MakeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	d := &List{path: path, limits: l, now: now, next: 1}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, &d.all); err != nil {
		d.all = nil
		aside := path + now().UTC().Format(".20060102T150405")
		if err := safefile.Replace(aside, text, 0o600); err != nil {
			return nil, err
		}
		return d, d.Note(Found{
			Kind: Unreadable, File: path, What: "the list of damage does not read: " + err.Error(),
			Lost: "what was on it", Aside: aside,
		})
	}
	for _, n := range d.all {
		d.next = max(d.next, n.Number+1)
	}
	return d, nil
}

// Note puts damage on the list, unless the same is there and not acknowledged.
func (d *List) Note(f Found) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := Noted{
		Number: d.next, At: d.now().UTC(), Kind: f.Kind, File: d.cut(f.File), What: d.cut(f.What),
		Lost: d.cut(f.Lost), Aside: d.cut(f.Aside),
	}
	same := func(o Noted) bool {
		return o.Acknowledged.IsZero() && o.Kind == n.Kind && o.File == n.File && o.What == n.What && o.Lost == n.Lost
	}
	if slices.ContainsFunc(d.all, same) {
		return nil
	}
	all := slices.Clone(d.all)
	if len(all) >= d.limits.Entries {
		i := slices.IndexFunc(all, func(o Noted) bool { return !o.Acknowledged.IsZero() })
		if i < 0 {
			d.more++
			return fmt.Errorf("the list of damage is full: %d are not acknowledged", len(all))
		}
		all = slices.Delete(all, i, i+1)
	}
	d.next++
	return d.keep(append(all, n))
}

func (d *List) cut(s string) string {
	if len(s) > d.limits.Text {
		return s[:d.limits.Text] + "…"
	}
	return s
}

// keep takes a new list, and writes it. What cannot be written counts all the same, until the next
// start.
func (d *List) keep(all []Noted) error {
	d.all = all
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return safefile.Replace(d.path, append(text, '\n'), 0o600)
}

// All returns the list, the oldest first, and how many more there was no room for.
func (d *List) All() (all []Noted, more int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.all), d.more
}

// Open returns what is not acknowledged, by kind, and altogether.
func (d *List) Open() (by map[Kind]int, count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	by = map[Kind]int{}
	for _, n := range d.all {
		if n.Acknowledged.IsZero() {
			by[n.Kind]++
			count++
		}
	}
	return by, count + d.more
}

// Acknowledge marks entries as known, all of them if no number is given, and returns those that were
// not yet.
func (d *List) Acknowledge(numbers ...int) (done []Noted, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range numbers {
		if !slices.ContainsFunc(d.all, func(o Noted) bool { return o.Number == n }) {
			return nil, fmt.Errorf("there is no damage %d", n)
		}
	}
	all := slices.Clone(d.all)
	for i := range all {
		if all[i].Acknowledged.IsZero() && (len(numbers) == 0 || slices.Contains(numbers, all[i].Number)) {
			all[i].Acknowledged = d.now().UTC()
			done = append(done, all[i])
		}
	}
	if len(numbers) == 0 {
		d.more = 0
	}
	if len(done) == 0 {
		return nil, nil
	}
	return done, d.keep(all)
}
