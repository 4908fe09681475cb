package foldertest

import (
	"sync"
	"time"

	"sallyport/internal/budget/clock"
	"sallyport/internal/node/settings"
)

// Machine is one on which no time passes by itself, and whose clock somebody sets. All methods may
// be called concurrently.
type Machine struct {
	mu   sync.Mutex
	read clock.Reading
}

// NewMachine returns one that was switched on an hour ago. Its clock shows a year that is far from
// that of the test, so that whoever asks another clock is found out.
func NewMachine() *Machine {
	return &Machine{read: clock.Reading{Boot: "a", Since: time.Hour, Wall: time.Date(2041, 2, 3, 4, 5, 6, 0, time.UTC)}}
}

// World is what a server on the machine works with.
func (m *Machine) World(w settings.World) settings.World {
	w.Now, w.Clocks = m.Now, m.reading
	return w.Complete()
}

// Now is what its clock shows.
func (m *Machine) Now() time.Time { return m.reading().Wall }

func (m *Machine) reading() clock.Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.read
}

// Pass lets time pass, which its clock shows.
func (m *Machine) Pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read.Since, m.read.Wall = m.read.Since+d, m.read.Wall.Add(d)
}

// Set sets its clock by so much. Nothing passes.
func (m *Machine) Set(by time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read.Wall = m.read.Wall.Add(by)
}
