package hijack

// Mode says what follows from evidence. The zero Mode enforces.
type Mode uint8

const (
	Enforce Mode = iota
	Observe      // says what it would have done, and does nothing
	Off          // neither judges nor remembers
)

// Modes are all of them.
func Modes() []Mode { return []Mode{Enforce, Observe, Off} }

// String returns the word of the configuration.
func (m Mode) String() string {
	switch m {
	case Observe:
		return "observe"
	case Off:
		return "off"
	}
	return "enforce"
}
