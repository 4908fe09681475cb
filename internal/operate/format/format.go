// Package format keeps the number of the format that a data folder is in, and
// brings an older folder forward.
//
// It promises that a folder which is newer than the program is refused before
// anything in it is touched; that the steps of a migration run in their order, each
// of them followed by a durable record, so that an interrupted migration goes on
// where it stopped; and that a folder without a record is the first release's,
// which had none.
package format

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sallyport/internal/kit/safefile"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Version numbers the formats of a data folder. Version 0 is that of the first
// release, which kept no record.
type Version uint32

// File is the name of the record in the data folder.
const File = "format"

// maxRecordOctets bounds the record: one line.
const maxRecordOctets = 512

// ErrNewer means that a newer program wrote the folder.
var ErrNewer = errors.New("the data folder is of a newer format")

// ErrDamaged means that there is a record, and it does not read.
var ErrDamaged = errors.New("the record of the data format does not read")

// Step brings a folder to the format To from the one before it. Do may be called
// again after it was interrupted anywhere, and must then come to the same end.
type Step struct {
	To   Version
	What string // what it does, for the log: "move aliases into the store"
	Do   func(ctx context.Context, s store.Store) error
}

// Steps are the way from the first release's format to this program's. A new format
// is a new step at the end.
func Steps() []Step {
	return []Step{
		// Format 1 is format 0 with the record itself.
		{To: 1, What: "record the format", Do: nothing},
		// From format 2 on the trace files new facts elsewhere, and remembers since which; what format 1 filed is read
		// where it stands until it is forgotten. An older program would not find the new.
		{To: 2, What: "file the trace beside what was written lately", Do: nothing},
	}
}

// nothing is what a step does whose new format holds the old one.
func nothing(context.Context, store.Store) error { return nil }

// Current is the format that this program writes.
func Current() Version { return last(Steps()) }

func last(steps []Step) Version {
	if len(steps) == 0 {
		return 0
	}
	return steps[len(steps)-1].To
}

// Record is what the folder says about itself.
type Record struct {
	Version Version
	Program string // the version of the program that wrote the record; "" where there is none
}

// Read returns the record of a data folder; a folder without one, or one that does
// not exist yet, is of version 0.
func Read(dir string) (Record, error) {
	f, err := os.Open(filepath.Join(dir, File))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	b := make([]byte, maxRecordOctets+1)
	n, err := f.Read(b)
	if n == 0 && err != nil {
		return Record{}, fmt.Errorf("%w: %s is empty", ErrDamaged, f.Name())
	}
	r, err := parse(string(b[:n]))
	if err != nil {
		return Record{}, fmt.Errorf("%w: %s: %w", ErrDamaged, f.Name(), err)
	}
	return r, nil
}

// head begins the only line of a record: "sallyport data format 1, written by v0.2.0".
const head = "sallyport data format "

// maxProgram bounds the name of a version.
const maxProgram = 200

func (r Record) text() string {
	return fmt.Sprintf("%s%d, written by %s\n", head, r.Version, mail.PlainLine(r.Program, maxProgram))
}

func parse(text string) (Record, error) {
	line, rest, ok := strings.Cut(text, "\n")
	if !ok || rest != "" {
		return Record{}, errors.New("it is not one line")
	}
	line, ok = strings.CutPrefix(line, head)
	if !ok {
		return Record{}, fmt.Errorf("it does not begin with %q", strings.TrimSpace(head))
	}
	number, program, _ := strings.Cut(line, ", written by ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return Record{}, fmt.Errorf("%q is no number", number)
	}
	return Record{Version(n), program}, nil
}

// Check reads the record of a folder and refuses one that is newer than the steps
// lead to. It changes nothing.
func Check(dir string, steps []Step) (Record, error) {
	r, err := Read(dir)
	if err != nil {
		return r, err
	}
	if known := last(steps); r.Version > known {
		by := ""
		if r.Program != "" {
			by = ", written by sallyport " + r.Program
		}
		return r, fmt.Errorf("%w: %s is of format %d%s, and this program knows formats up to %d; run that version or a later one, or restore a backup that this one made; nothing was changed",
			ErrNewer, dir, r.Version, by, known)
	}
	return r, nil
}

// Migrate runs the steps that lead on from the folder's format, and records each.
// The caller holds the folder's store open, so that nobody else is in it.
func Migrate(ctx context.Context, dir string, s store.Store, steps []Step, program string, log *slog.Logger) error {
	r, err := Check(dir, steps)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if step.To <= r.Version {
			continue
		}
		if err := step.Do(ctx, s); err != nil {
			return fmt.Errorf("bringing %s to data format %d (%s): %w", dir, step.To, step.What, err)
		}
		if err := safefile.Replace(filepath.Join(dir, File), []byte(Record{step.To, program}.text()), 0o600); err != nil {
			return err
		}
		log.Info("data format is newer now", "format", step.To, "what", step.What)
	}
	return nil
}
