package returnpath

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport/internal/kit/safefile"
)

// Note is the path of the file that says since when senders are signed with the key that
// stands beside it, without a break. It is no secret.
type Note string

// maxNoteOctets bounds the note: what is larger is none of ours.
const maxNoteOctets = 4 << 10

// Read returns since when senders are signed; the zero time: they are not.
func (n Note) Read() (time.Time, error) {
	f, err := os.Open(string(n))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxNoteOctets))
	if err = errors.Join(err, f.Close()); err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(b)))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s does not say since when return paths are signed: remove it, and they are signed for 14 days anew before anything is refused: %w", string(n), err)
	}
	return at.UTC(), nil
}

// Begin notes for good that signing begins.
func (n Note) Begin(at time.Time) error {
	if err := safefile.MakeDir(filepath.Dir(string(n))); err != nil {
		return err
	}
	return safefile.Replace(string(n), []byte(at.UTC().Format(time.RFC3339)+"\n"), 0o600)
}

// End notes for good that nothing is signed, or that what was signed was signed with
// another key.
func (n Note) End() error { return safefile.Remove(string(n)) }

// State is what one configuration asks of Paths, ready to be put in force.
type State struct {
	paths *Paths
	rules Rules
	began bool
}

// Build makes the rules ready: it notes durably when signing begins, before anything is
// signed. Nothing is in force before Adopt.
func (p *Paths) Build(r Rules) (*State, error) {
	s := &State{paths: p, rules: r}
	if r.Mode == ModeOff {
		return s, nil
	}
	since, err := p.o.Note.Read()
	if err != nil {
		return nil, err
	}
	if since.IsZero() {
		since, s.began = p.o.Now().UTC().Truncate(time.Second), true
		if err := p.o.Note.Begin(since); err != nil {
			s.Abandon()
			return nil, err
		}
	}
	s.rules.Since = since
	return s, nil
}

// Adopt puts the rules in force. That signing has ended is noted now; where that fails,
// unsigned bounces may be refused too early when signing begins again, and the log says it.
func (s *State) Adopt() {
	s.paths.rules.Store(&s.rules)
	if s.rules.Mode != ModeOff {
		return
	}
	if err := s.paths.o.Note.End(); err != nil {
		s.paths.o.Logger.Error("that return paths are not signed any more could not be noted", "err", err)
	}
}

// Abandon takes back what Build did, for a State that is not adopted.
func (s *State) Abandon() {
	if s.began {
		_ = s.paths.o.Note.End() // nothing was signed since
	}
}
