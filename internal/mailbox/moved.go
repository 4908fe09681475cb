package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"sallyport/internal/kit/codec"
)

// Origin names a message where it came from, so that it comes from there once. It is a digest of
// whatever tells it from the others of its place.
type Origin [16]byte

// String returns 32 hexadecimal digits.
func (o Origin) String() string { return hex.EncodeToString(o[:]) }

// ParseOrigin reads what String wrote.
func ParseOrigin(s string) (o Origin, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(o) {
		return o, fmt.Errorf("%.40q is not the origin of a message", s)
	}
	return Origin(b), nil
}

// OriginOf digests what names a message where it came from.
func OriginOf(words ...string) (o Origin) {
	h := sha256.New()
	for _, w := range words {
		_, _ = fmt.Fprintf(h, "%d:%s", len(w), w) // a hash takes everything
	}
	copy(o[:], h.Sum(nil))
	return o
}

// Digest stands for the octets of a message, whatever its lines end in.
type Digest [16]byte

// DigestOf returns the digest of a message.
func DigestOf(message []byte) Digest {
	d := newDigester()
	_, _ = d.Write(message)
	return d.sum()
}

// digester digests a message without the CRs that stand before an LF.
type digester struct {
	h interface {
		io.Writer
		Sum([]byte) []byte
	}
	cr bool
}

func newDigester() *digester { return &digester{h: sha256.New()} }

// Write takes more of the message.
func (d *digester) Write(p []byte) (int, error) {
	rest := p
	if d.cr && len(rest) > 0 {
		if rest[0] != '\n' {
			_, _ = d.h.Write([]byte{'\r'})
		}
		d.cr = false
	}
	from := 0
	for i, c := range rest {
		if c != '\r' {
			continue
		}
		switch {
		case i+1 == len(rest):
			_, _ = d.h.Write(rest[from:i])
			from, d.cr = len(rest), true
		case rest[i+1] == '\n':
			_, _ = d.h.Write(rest[from:i])
			from = i + 1
		}
	}
	_, _ = d.h.Write(rest[from:])
	return len(p), nil
}

func (d *digester) sum() Digest {
	if d.cr {
		_, _ = d.h.Write([]byte{'\r'})
		d.cr = false
	}
	var out Digest
	copy(out[:], d.h.Sum(nil))
	return out
}

// Arrival is a message that moves in from elsewhere.
type Arrival struct {
	Origin  Origin
	Flags   Flags
	Date    time.Time // zero: now
	Size    int64     // of Content
	Content io.Reader
	// Known: the very same message came under another origin, of which Digest is known. Nothing
	// but that it came is noted, and Content is nil.
	Known  bool
	Digest Digest
}

// Arrived says what became of an Arrival.
type Arrived struct {
	Origin Origin
	UID    UID // 0: it was not added
	// There: it is there already, since it came before.
	There bool
	// Refused says why it cannot be had; "" if it can.
	Refused string
	// Dropped are keywords that it cannot bear here, since there are too many.
	Dropped int

	digest Digest
}

// MaxArrival is how many octets a message may have that moves in.
const MaxArrival = 256 << 20

// MoveIn makes messages part of the folder that came from elsewhere, each once: what came from the
// same source before is passed over, also if its reader has removed it since. Without a source, what
// is in the folder now is. next returns io.EOF
// behind the last. All that can be added are added, durably, or none; those that cannot are named
// in what is returned, which has one for each. One caller at a time moves anything into an
// account; others wait.
func (m *Mailbox) MoveIn(ctx context.Context, source string, next func() (Arrival, error)) ([]Arrived, error) {
	u := m.folder.user
	u.moving.Lock()
	defer u.moving.Unlock()
	var came []Came
	if source != "" {
		var err error
		if came, err = u.CameFrom(source); err != nil {
			return nil, err
		}
	}
	known := map[Origin]bool{}
	for _, c := range came {
		known[c.Origin] = true
	}
	if _, err := m.Refresh(ctx); err != nil {
		return nil, err
	}
	a := m.Begin()
	defer a.Abort()
	var all []Arrived
	for {
		n, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		became, err := a.arrive(ctx, n, known)
		if err != nil {
			return nil, told(err)
		}
		known[n.Origin] = known[n.Origin] || became.Refused == ""
		all = append(all, became)
	}
	if len(a.items) > 0 {
		uids, err := a.Commit(ctx)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if !all[i].There && all[i].Refused == "" {
				all[i].UID, uids = uids[0], uids[1:]
			}
		}
	}
	if source == "" {
		return all, nil
	}
	return all, told(u.noteArrived(source, m.name, known, came, all))
}

// arrive takes one message, or says why not.
func (a *Appending) arrive(ctx context.Context, n Arrival, known map[Origin]bool) (Arrived, error) {
	became := Arrived{Origin: n.Origin, digest: n.Digest}
	f := a.to.folder
	if n.Known || known[n.Origin] {
		became.There = true
		return became, n.discard()
	}
	if n.Size > MaxArrival {
		became.Refused = fmt.Sprintf("it has more than %d octets", int64(MaxArrival))
		return became, n.discard()
	}
	f.mu.Lock()
	name, there := n.file(f.root.hostname), false
	if e := f.book.keys[name]; e != nil {
		became.UID, there = e.uid, true
	}
	n.Flags, became.Dropped = f.bearable(n.Flags)
	f.mu.Unlock()
	digest := newDigester()
	if there { // the server was killed before it had noted this one
		became.There = true
		if _, err := io.Copy(digest, n.Content); err != nil {
			return became, err
		}
		became.digest = digest.sum()
		_, err := (&Mailbox{folder: f}).Store(ctx, []UID{became.UID}, Add, n.Flags, nil)
		return became, err
	}
	it := item{name: name, flags: n.Flags, date: n.Date}
	err := a.take(ctx, it, io.TeeReader(n.Content, digest), n.Size)
	became.digest = digest.sum()
	return became, err
}

func (n Arrival) discard() error {
	if n.Content == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, n.Content)
	return err
}

// file is how the file of a message that moves in is called: always the same, so that it is found
// although nobody noted that it came.
func (n Arrival) file(host string) string {
	return fmt.Sprintf("%d.I%s.%s", max(n.Date.Unix(), 0), n.Origin, host)
}

// bearable leaves out keywords beyond what a message or its folder may have. The folder's lock is
// held.
func (f *folder) bearable(flags Flags) (Flags, int) {
	words := flags.Keywords()
	kept := make([]string, 0, len(words))
	for _, w := range words {
		if len(kept) == f.root.bounds().Keywords || !IsKeyword(w) {
			continue
		}
		if spelt, err := f.spelt(NewFlags(0, w)); err == nil {
			kept = append(kept, spelt.Keywords()...)
		}
	}
	return NewFlags(flags.System, kept...), len(words) - len(kept)
}

// Came is a message that came from a source into a folder at some time.
type Came struct {
	Origin Origin
	Digest Digest
	Folder string // as it was called then
}

// cameFile is where it is noted what came from a source, in the index folder of the mailbox.
func cameFile(source string) string { return "came-" + OriginOf(source).String() }

// kindCame begins the record of messages that came into one folder.
const kindCame = 'I'

// CameFrom returns what came from a source, ever. Where a part of that is damaged, messages of
// that part are known by their files alone, and one that its reader moved may come again.
func (u *User) CameFrom(source string) ([]Came, error) {
	u.mu.Lock()
	dir, ended := u.dir, u.ended
	u.mu.Unlock()
	if ended != nil {
		return nil, ended
	}
	text, err := readFile(u.root.fs, filepath.Join(dir, indexFolder, cameFile(source)))
	if err != nil {
		return nil, told(err)
	}
	var all []Came
	damaged, _ := frames(text, func(record []byte) {
		r := codec.NewReader(record[1:])
		folder := r.Text()
		n := r.Number(uint64(r.Left()))
		var some []Came
		for range n {
			c := Came{Folder: folder}
			copy(c.Origin[:], r.Take(len(c.Origin)))
			copy(c.Digest[:], r.Take(len(c.Digest)))
			some = append(some, c)
		}
		if record[0] == kindCame && r.Done() {
			all = append(all, some...)
		}
	})
	if damaged > 0 {
		u.root.log.Warn("what moved in before is not all known any more",
			"file", filepath.Join(dir, indexFolder, cameFile(source)), "octets", damaged)
	}
	return all, nil
}

// noteArrived notes durably what came.
func (u *User) noteArrived(source, name string, known map[Origin]bool, came []Came, all []Arrived) error {
	noted := make(map[Origin]bool, len(came))
	for _, c := range came {
		noted[c.Origin] = true
	}
	var fresh []Arrived
	for _, a := range all {
		if a.Refused == "" && !noted[a.Origin] {
			fresh, noted[a.Origin] = append(fresh, a), true
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	record := appendFrame(nil, func(b []byte) []byte {
		b = codec.AppendText(append(b, kindCame), name)
		b = binary.AppendUvarint(b, uint64(len(fresh)))
		for _, a := range fresh {
			b = append(append(b, a.Origin[:]...), a.digest[:]...)
		}
		return b
	})
	u.mu.Lock()
	dir, ended := filepath.Join(u.dir, indexFolder), u.ended
	u.mu.Unlock()
	if ended != nil {
		return ended
	}
	if err := u.root.fs.MkdirAll(dir, mode); err != nil {
		return err
	}
	file, err := u.root.fs.Extend(filepath.Join(dir, cameFile(source)))
	if err != nil {
		return err
	}
	_, err = file.Write(record)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close(), u.root.fs.SyncDir(dir))
}
