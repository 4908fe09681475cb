package main

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

// startFloor starts the program that does no more than a receiver must.
func startFloor(ctx context.Context, p place) (*instance, error) {
	doors, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	log := filepath.Join(p.dir, "floor.log")
	c, err := spawn(floor, filepath.Join(p.dir, "output"), exec.Command(p.o.floor, "-addr", doors[0], "-log", log))
	if err != nil {
		return nil, err
	}
	i := &instance{
		name: floor, roots: []int{c.pid()}, mx: doors[0], stop: c.stop, enlist: trusted,
		queued: func(context.Context) (int, error) { return records(log) },
	}
	return i, c.serves(ctx, i.mx)
}

// records counts the messages of the floor's log: each has its length in front.
func records(log string) (n int, err error) {
	f, err := os.Open(log)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var length [4]byte
	at := int64(0)
	for ; at < info.Size(); n++ {
		if _, err := f.ReadAt(length[:], at); err != nil {
			return 0, err
		}
		at += int64(len(length)) + int64(binary.BigEndian.Uint32(length[:]))
	}
	if at != info.Size() {
		return 0, errors.New("the floor's log breaks off")
	}
	return n, nil
}
