package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/damage"
	"sallyport/internal/store/pebble/chunks"
)

// The folders beside the database by which it outlives rot.
const (
	// asideDir takes files that were found damaged, as they were found.
	asideDir = "damaged"
	// guardDir has what puts the database's files right, and a second copy of its manifest.
	guardDir = "guards"
)

// mender looks at the files of a database before Pebble does, and puts them right: Pebble would take a
// manifest up to where it breaks off, and forget the tables that the rest of it names, and would take the last log
// up to its last block that reads.
type mender struct {
	fs   vfs.FS
	root string // of the store
	note damage.Note
	// lost counts what could not be put right.
	lost int
}

func (m *mender) db(name string) string    { return m.fs.PathJoin(m.root, dbDir, name) }
func (m *mender) guard(name string) string { return m.fs.PathJoin(m.root, guardDir, name) }

// prepare makes the folders.
func (m *mender) prepare() error {
	return errors.Join(makeDir(m.fs, m.fs.PathJoin(m.root, asideDir)), makeDir(m.fs, m.fs.PathJoin(m.root, guardDir)))
}

// names lists the files of the database; none for one that is not there yet.
func (m *mender) names() ([]string, error) {
	names, err := m.fs.List(m.fs.PathJoin(m.root, dbDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

// mendLogs looks at the manifest, at how the database was written, and at each log that will be read.
func (m *mender) mendLogs() error {
	names, err := m.names()
	if err != nil {
		return err
	}
	manifest := current(names)
	if manifest == "" {
		return m.without(names)
	}
	from, err := m.mendManifest(manifest)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "OPTIONS-") {
			if err := m.mendSettings(name); err != nil {
				return err
			}
		}
	}
	logs := logsFrom(names, from)
	for i, number := range logs {
		kind := chunks.Ended // Pebble syncs a log to its end before it begins the next one
		if i == len(logs)-1 && !m.isEnded(number) {
			kind = chunks.Newest
		}
		if err := m.mendLog(number, kind); err != nil {
			return err
		}
	}
	return nil
}

// marker begins the name of the file that says which manifest counts.
const marker = "marker.manifest."

// current returns the manifest that counts; "": there is none.
func current(names []string) (manifest string) {
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, marker); ok {
			_, manifest, _ = strings.Cut(rest, ".") // the names are in order
		}
	}
	return manifest
}

// without looks at a database without a marker, which Pebble takes for a new one: that is right only where nothing was
// written yet.
func (m *mender) without(names []string) error {
	for _, number := range logsFrom(names, 0) {
		text, err := m.read(m.db(logName(number)))
		if err != nil {
			return err
		}
		if len(chunks.Read(text, number, chunks.Newest).Records) > 0 {
			return errNoMarker
		}
	}
	if slices.ContainsFunc(names, isTable) {
		return errNoMarker
	}
	return nil
}

var errNoMarker = errors.New("the file " + marker + "* is missing, which says which manifest counts: restore a backup, or give the file back")

func logName(number uint64) string { return fmt.Sprintf("%06d.log", number) }

// logsFrom returns the numbers of the logs that will be read, in their order.
func logsFrom(names []string, from uint64) (all []uint64) {
	for _, name := range names {
		if base, ok := strings.CutSuffix(name, ".log"); ok {
			if n, err := strconv.ParseUint(base, 10, 64); err == nil && n >= from {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return all
}

// isTable reports whether a file is one that is written once: a table, or a file of values.
func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// mendManifest sees to it that the manifest and its copy are whole and the same, and returns the first
// log that is not in tables yet.
func (m *mender) mendManifest(name string) (from uint64, err error) {
	text, err := m.read(m.db(name))
	if err != nil {
		return 0, err
	}
	copied, err := m.read(m.guard(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	a, b := chunks.Read(text, 0, chunks.Manifest), chunks.Read(copied, 0, chunks.Manifest)
	best, how := better(a, b)
	if best.Lost() {
		return 0, fmt.Errorf("the manifest %s breaks off at octet %d, and what follows cannot be read: restore a backup; without the rest of the manifest, mail would be missing", m.db(name), best.Sound)
	}
	whole := best.Text[:best.Sound]
	if hit := len(a.Breaks) > 0 || best.Sound > a.Sound && written(text, whole, a.Sound); hit {
		aside, err := m.replace(m.db(name), whole)
		if err != nil {
			return 0, err
		}
		a = best
		m.note(damage.Found{Kind: damage.Log, File: m.db(name), What: how, Aside: aside})
	}
	if string(copied) != string(whole) {
		if len(b.Breaks) > 0 {
			m.note(damage.Found{Kind: damage.Log, File: m.guard(name), What: "the copy of the manifest was damaged, and was made anew"})
		}
		if err := m.write(m.guard(name), whole); err != nil {
			return 0, err
		}
	}
	return firstLog(a.Records), nil
}

// better returns the manifest that a database can be opened with, made of a manifest and its copy, and how it was
// come by. It may be lost in the same place of both.
func better(a, b chunks.Log) (best chunks.Log, how string) {
	best, how = a, "a bit of it had flipped, and was put right"
	switch {
	case len(b.Text) == 0:
		return best, how
	case b.Sound > a.Sound:
		best, how = b, "it did not read to its end, and its copy did"
	}
	if best.Lost() {
		if both := chunks.Read(overlaid(a, b), 0, chunks.Manifest); both.Sound > best.Sound {
			best, how = both, "parts of it did not read, and were taken from its copy"
		}
	}
	return best, how
}

// written reports whether something else than whole was written behind a place: what a crash leaves there
// is nothing, or zeros.
func written(text, whole []byte, at int) bool {
	for i := at; i < min(len(text), len(whole)); i++ {
		if text[i] != whole[i] && text[i] != 0 {
			return true
		}
	}
	return false
}

// overlaid is one log with what did not read of it taken from another.
func overlaid(a, b chunks.Log) []byte {
	text := append([]byte(nil), a.Text...)
	for _, gap := range a.Breaks {
		if !gap.Fixed && gap.To <= len(b.Text) {
			copy(text[gap.From:gap.To], b.Text[gap.From:gap.To])
		}
	}
	return text
}

// firstLog reads from the records of a manifest which log is the first that is not in tables.
func firstLog(records [][]byte) (from uint64) {
	for _, r := range records {
		if n, ok := logOf(r); ok {
			from = n
		}
	}
	return from
}

// mendLog looks at a log. One that breaks off before its end is put aside untouched, and a log of its
// whole records takes its place.
func (m *mender) mendLog(number uint64, kind chunks.Kind) error {
	path := m.db(logName(number))
	text, err := m.read(path)
	if err != nil {
		return err
	}
	l := chunks.Read(text, number, kind)
	if len(l.Breaks) == 0 {
		return nil
	}
	mended, f := l.Text, damage.Found{Kind: damage.Log, File: path, What: fmt.Sprintf("the bit of octet %d had flipped, and was put right", l.Breaks[0].From)}
	if l.Lost() {
		gaps, octets := 0, 0
		for _, b := range l.Breaks {
			if !b.Fixed {
				gaps, octets = gaps+1, octets+b.To-b.From
			}
		}
		if mended, err = salvaged(l.Records); err != nil {
			return err
		}
		m.lost++
		f.What = fmt.Sprintf("it breaks off in %d places, the first at octet %d; %d whole records before and behind were salvaged", gaps, firstGap(l), len(l.Records))
		f.Lost = lostBetween(l.Records, octets)
	}
	if f.Aside, err = m.replace(path, mended); err != nil {
		return err
	}
	m.note(f)
	return nil
}

func firstGap(l chunks.Log) int {
	for _, b := range l.Breaks {
		if !b.Fixed {
			return b.From
		}
	}
	return 0
}

// mendSettings looks at the file that says how the database was written. Without it Pebble takes the
// database as it is.
func (m *mender) mendSettings(name string) error {
	g, text, err := m.guarded(name)
	if g == nil || err != nil {
		return err
	}
	mended, bad, left := g.Mend(text)
	if len(bad) == 0 && len(text) == len(mended) {
		return nil
	}
	f := damage.Found{Kind: damage.Settings, File: m.db(name), What: "it is not as it was written, and was put right"}
	if len(left) > 0 {
		f.What = "it is not as it was written, and was taken away: the next start writes it anew"
		if f.Aside, err = m.setAside(m.db(name)); err == nil {
			err = errors.Join(m.fs.Remove(m.db(name)), syncDir(m.fs, m.fs.PathDir(m.db(name))))
		}
	} else {
		f.Aside, err = m.replace(m.db(name), mended)
	}
	if err != nil {
		return err
	}
	m.note(f)
	return nil
}

// read reads a file whole, into no more memory than it takes: a log has tens of MiB.
func (m *mender) read(path string) ([]byte, error) {
	f, err := m.fs.Open(path)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if info, err := f.Stat(); err == nil {
		text.Grow(int(info.Size()) + bytes.MinRead) // with room to find that it is at its end
	}
	_, err = text.ReadFrom(f)
	return text.Bytes(), errors.Join(err, f.Close())
}

// write makes a file durable; an older one of that name stays whole until it is.
func (m *mender) write(path string, text []byte) error {
	temporary := m.temporary(path)
	f, err := m.fs.Create(temporary, guardCategory)
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte(nil), text...))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := m.fs.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(m.fs, m.fs.PathDir(path))
}

// temporary is where a file is written before it gets its name.
func (m *mender) temporary(path string) string {
	return m.fs.PathJoin(m.root, guardDir, temporaryPrefix+m.fs.PathBase(path))
}

const temporaryPrefix = "new."

func isTemporary(name string) bool { return strings.HasPrefix(name, temporaryPrefix) }

// guardCategory names writes of guards in the statistics of the file system.
const guardCategory vfs.DiskWriteCategory = "sallyport-guard"

// replace puts a file aside untouched, and writes another in its place. There is one at any time.
func (m *mender) replace(path string, text []byte) (aside string, err error) {
	if aside, err = m.setAside(path); err != nil {
		return "", err
	}
	return aside, m.write(path, text)
}

// setAside gives a file a second name, under which it stays as it is.
func (m *mender) setAside(path string) (aside string, err error) {
	dir := m.fs.PathJoin(m.root, asideDir)
	base := m.fs.PathBase(path)
	aside = m.fs.PathJoin(dir, base)
	for i := 2; ; i++ {
		if _, err := m.fs.Stat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
		aside = m.fs.PathJoin(dir, fmt.Sprintf("%s.%d", base, i))
	}
	if err := vfs.LinkOrCopy(m.fs, path, aside); err != nil {
		return "", err
	}
	return aside, syncDir(m.fs, dir)
}
