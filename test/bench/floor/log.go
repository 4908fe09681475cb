package main

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// prefix is how many octets in front of a message tell its length, in the log.
const prefix = 4

// Bounds of one write: the octets, and the messages, of which Linux takes 1024 at once.
const (
	groupOctets   = 1 << 20
	groupMessages = 512
)

// entry is a message, behind room for its length, and where the one who waits for it hears
// that it is on the disk.
type entry struct {
	octets []byte
	done   chan error
}

// group is one log, synced for as many messages at once as wait.
type group struct {
	f       *os.File
	rooms   rooms
	entries chan entry
	ended   chan struct{}
}

// create empties the log and makes its name durable.
func create(path string) (*group, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	g := &group{f: f, entries: make(chan entry, groupMessages), ended: make(chan struct{})}
	go g.commit()
	return g, nil
}

// keep returns when the message, which begins behind the prefix, is on the disk.
func (g *group) keep(octets []byte, done chan error) error {
	binary.BigEndian.PutUint32(octets, uint32(len(octets)-prefix))
	g.entries <- entry{octets, done}
	return <-done
}

// commit writes and syncs what waits, until the log is closed. After one failed write or
// sync nothing is promised any more: what the file holds is unknown then.
func (g *group) commit() {
	defer close(g.ended)
	var (
		offset  int64
		failed  error
		waiting []entry
		pieces  [][]byte
	)
	for e := range g.entries {
		waiting, pieces = append(waiting[:0], e), append(pieces[:0], e.octets)
		sum := len(e.octets)
	gather:
		for sum < groupOctets && len(waiting) < groupMessages {
			select {
			case e, open := <-g.entries:
				if !open {
					break gather
				}
				waiting, pieces, sum = append(waiting, e), append(pieces, e.octets), sum+len(e.octets)
			default:
				break gather
			}
		}
		if failed == nil {
			failed = write(int(g.f.Fd()), pieces, offset)
			offset += int64(sum)
		}
		for _, e := range waiting {
			e.done <- failed
		}
	}
}

// write puts the pieces behind each other and syncs them.
func write(fd int, pieces [][]byte, offset int64) error {
	want := 0
	for _, p := range pieces {
		want += len(p)
	}
	n, err := unix.Pwritev(fd, pieces, offset)
	if err == nil && n != want {
		err = unix.EIO
	}
	if err != nil {
		return err
	}
	return unix.Fdatasync(fd)
}

// close ends the log when all that was given to it is written; nobody may keep afterwards.
func (g *group) close() error {
	close(g.entries)
	<-g.ended
	return g.f.Close()
}
