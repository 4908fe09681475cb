package moving

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/mailbox"
)

// Target is the mailbox that mail comes into.
type Target interface {
	// Came calls fn for each message that came from a place, ever.
	Came(ctx context.Context, identity string, fn func(mailbox.Came)) error
	// Add adds messages, all of them that can be added or, after an error, none.
	Add(ctx context.Context, b Batch) ([]mailbox.Arrived, error)
}

// Batch is messages that come into a folder at once.
type Batch struct {
	Identity  string // of the place
	Folder    string
	Use       mailbox.Use
	Subscribe bool
	Messages  []Incoming
}

// Incoming is a message of a batch.
type Incoming struct {
	Message
	// Known: the very same came before under another origin: it has a digest and no octets.
	Known  bool
	Digest mailbox.Digest
}

// The bounds of a batch.
const (
	batchMessages = 200     // messages that are moved in at once
	batchOctets   = 8 << 20 // octets of those messages
)

// Tally says what became of a folder.
type Tally struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Found were in the folder, of which came before: There, came now: Moved; and those that did
	// not come.
	Found      int   `json:"found"`
	There      int   `json:"there,omitempty"`
	Moved      int   `json:"moved,omitempty"`
	Octets     int64 `json:"octets,omitempty"` // of those moved
	Unreadable int   `json:"unreadable,omitempty"`
	Refused    int   `json:"refused,omitempty"`
	Keywords   int   `json:"keywords_dropped,omitempty"`
	// Left says why nothing of the folder was looked at, and Fault what ended it early.
	Left  string `json:"left,omitempty"`
	Fault string `json:"fault,omitempty"`
}

// Whole reports whether everything of the folder came.
func (t Tally) Whole() bool { return t.Unreadable+t.Refused == 0 && t.Fault == "" }

// Options say how an import is done.
type Options struct {
	DryRun bool
	// Tell is told after each message; nil: nobody asks.
	Tell func()
	// Say is told of each message that did not come, and of what is odd.
	Say func(text string)
}

// Import brings the folders of a plan from a place to a target, and calls done after each. A
// folder that cannot be read is told in its tally, and the next follows; an error is the target's,
// and what came before it is told all the same.
func Import(ctx context.Context, p Place, t Target, steps []Step, o Options, done func(Tally) error) error {
	came := map[mailbox.Origin]mailbox.Came{}
	if err := t.Came(ctx, p.Identity(), func(c mailbox.Came) { came[c.Origin] = c }); err != nil {
		return err
	}
	for _, s := range steps {
		tally := Tally{From: s.From.Name, To: s.To, Left: s.Left}
		var lost error
		if s.Left == "" {
			f := &folderImport{ctx: ctx, target: t, step: s, identity: p.Identity(), o: o, came: came, tally: &tally}
			err := p.Read(ctx, s.From.Name, f)
			if err == nil && f.failed == nil {
				f.failed = f.end()
			}
			switch {
			case f.failed != nil:
				return errors.Join(done(tally), fmt.Errorf("%s: %w", s.From.Name, f.failed))
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				tally.Fault = err.Error()
				if errors.Is(err, ErrLost) {
					lost = err
				}
				if err := f.flush(); err != nil { // what was read before counts
					return fmt.Errorf("%s: %w", s.From.Name, err)
				}
			}
		}
		if err := done(tally); err != nil {
			return err
		}
		if lost != nil {
			return lost
		}
	}
	return nil
}

// folderImport takes what is read of one folder.
type folderImport struct {
	ctx      context.Context
	target   Target
	step     Step
	identity string
	o        Options
	came     map[mailbox.Origin]mailbox.Came
	stale    map[mailbox.Digest]int // came here under an origin that the place does not know any more
	tally    *Tally
	batch    []Incoming
	octets   int64
	sent     bool
	failed   error // of the target
}

// Listed finds what came under an origin that is no more: the place named its messages anew.
func (f *folderImport) Listed(all []mailbox.Origin) {
	is := make(map[mailbox.Origin]bool, len(all))
	fresh := false
	for _, o := range all {
		is[o] = true
		_, known := f.came[o]
		fresh = fresh || !known
	}
	f.stale = map[mailbox.Digest]int{}
	if !fresh {
		return
	}
	for o, c := range f.came {
		if c.Folder == f.step.To && !is[o] {
			f.stale[c.Digest]++
		}
	}
}

// Wanted reports whether a message did not come before.
func (f *folderImport) Wanted(o mailbox.Origin) bool {
	if _, known := f.came[o]; !known {
		return true
	}
	f.tally.Found++
	f.tally.There++
	f.tell()
	return false
}

func (f *folderImport) tell() {
	if f.o.Tell != nil {
		f.o.Tell()
	}
}

// Message takes a message.
func (f *folderImport) Message(m Message) error {
	f.tally.Found++
	f.tell()
	in := Incoming{Message: m}
	if len(f.stale) > 0 {
		if d := mailbox.DigestOf(m.Octets); f.stale[d] > 0 {
			f.stale[d]--
			in.Known, in.Digest, in.Octets = true, d, nil
		}
	}
	if f.o.DryRun {
		if in.Known {
			f.tally.There++
			return nil
		}
		f.tally.Moved++
		f.tally.Octets += int64(len(in.Octets))
		return nil
	}
	if len(f.batch) > 0 && f.octets+int64(len(in.Octets)) > batchOctets || len(f.batch) == batchMessages {
		if f.failed = f.flush(); f.failed != nil {
			return f.failed
		}
	}
	f.batch = append(f.batch, in)
	f.octets += int64(len(in.Octets))
	return nil
}

// Unreadable counts and names a message.
func (f *folderImport) Unreadable(name string, err error) error {
	f.tally.Found++
	f.tally.Unreadable++
	f.tell()
	f.Remark(name, "cannot be read: "+err.Error())
	return nil
}

// Remark names a message.
func (f *folderImport) Remark(name, what string) {
	if f.o.Say != nil {
		f.o.Say(f.step.From.Name + ": " + name + ": " + what)
	}
}

// end sends what is left, and makes a folder that has nothing in it.
func (f *folderImport) end() error {
	if f.sent && len(f.batch) == 0 || f.o.DryRun {
		return nil
	}
	return f.send()
}

func (f *folderImport) flush() error {
	if len(f.batch) == 0 {
		return nil
	}
	return f.send()
}

func (f *folderImport) send() error {
	became, err := f.target.Add(f.ctx, Batch{
		Identity: f.identity, Folder: f.step.To, Use: f.step.Use, Subscribe: f.step.From.Subscribed, Messages: f.batch,
	})
	if err != nil {
		return err
	}
	if len(became) != len(f.batch) {
		return fmt.Errorf("of %d messages the server tells what became of %d", len(f.batch), len(became))
	}
	for i, b := range became {
		m := f.batch[i]
		f.tally.Keywords += b.Dropped
		switch {
		case b.Refused != "":
			f.tally.Refused++
			f.Remark(m.Name, "was refused: "+b.Refused)
			continue
		case b.There:
			f.tally.There++
		default:
			f.tally.Moved++
			f.tally.Octets += int64(len(m.Octets))
		}
		f.came[b.Origin] = mailbox.Came{Origin: b.Origin, Digest: m.Digest, Folder: f.step.To}
	}
	f.batch, f.octets, f.sent = f.batch[:0], 0, true
	return nil
}
