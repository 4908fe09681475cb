package pebble

import (
	"fmt"
	"slices"
	"strings"
)

// A database that was closed in order left its last log whole, and that log cannot say so itself: its trailer may
// come to the disk before what lies in front of it, when the power goes meanwhile. So it is noted, beside the guards,
// under the name of the log; what is swept with them goes with the log.

// noteEnd notes that the last log of a database that is closed was synced to its end. Where that fails, damage behind its
// last promise is taken for the end that a crash left.
func (m *mender) noteEnd() {
	names, err := m.names()
	if err != nil {
		return
	}
	logs := logsFrom(names, 0)
	if len(logs) == 0 {
		return
	}
	name := logName(logs[len(logs)-1])
	if file, err := m.fs.Stat(m.db(name)); err == nil && slices.Contains(names, name) {
		_ = m.write(m.guard(name), endNote(file.Size()))
	}
}

// isEnded reports whether a log was noted as whole.
func (m *mender) isEnded(number uint64) bool {
	name := logName(number)
	note, err := m.read(m.guard(name))
	if err != nil {
		return false
	}
	file, err := m.fs.Stat(m.db(name))
	// A log that is longer was written to after all; one that is shorter lost its end.
	return err == nil && strings.HasPrefix(string(note), endWord) && string(note) >= string(endNote(file.Size()))
}

// endWord begins the note of a log.
const endWord = "synced to its end, octets: "

// endNote is the note of a log of that many octets; longer logs have greater notes.
func endNote(octets int64) []byte { return fmt.Appendf(nil, "%s%020d\n", endWord, octets) }
