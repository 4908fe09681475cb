package cuts

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// loss is what a power cut does to what was not synced.
type loss string

const (
	lossAll       loss = "dropped"   // all of it is gone
	lossReordered loss = "reordered" // of blocks and names some are there, whatever came first
	lossTorn      loss = "torn"      // of each file a part is there, which ends in the middle of a write
	lossNone      loss = "kept"
)

func losses() []loss { return []loss{lossAll, lossReordered, lossTorn, lossNone} }

// remains is what may be left of a disk at one moment.
type remains struct {
	synced, mixed, all *vfs.MemFS
}

// cut takes the remains of a disk that no operation changes meanwhile.
func cut(mem *vfs.MemFS, rng *rand.Rand) remains {
	return remains{
		synced: mem.CrashClone(vfs.CrashCloneCfg{}),
		mixed:  mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}),
		all:    mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}),
	}
}

// after returns the disk that a kind of loss leaves, which is the caller's alone.
func (r remains) after(l loss, rng *rand.Rand) (*vfs.MemFS, error) {
	from := map[loss]*vfs.MemFS{lossAll: r.synced, lossReordered: r.mixed, lossTorn: r.synced, lossNone: r.all}[l]
	left := from.CrashClone(vfs.CrashCloneCfg{}) // of a disk that was cut, on which all is synced
	if l == lossTorn {
		return left, tear(left, r.all, "/", rng)
	}
	return left, nil
}

// tear gives left, on which is what was synced, a part of what else is on all: of a file that both
// have, as far as some octet of what is new; of a name that only all has, everything or nothing, since what
// of it was synced cannot be told from the two.
func tear(left, all *vfs.MemFS, dir string, rng *rand.Rand) error {
	names, err := all.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		path := all.PathJoin(dir, name)
		info, err := all.Stat(path)
		if err != nil {
			return err
		}
		_, err = left.Stat(path)
		switch known := err == nil; {
		case !known && rng.IntN(2) == 0:
			err = nil
		case !known:
			err = give(left, all, path)
		case info.IsDir():
			err = tear(left, all, path, rng)
		default:
			err = tearFile(left, all, path, rng)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// give copies a file or a folder.
func give(left, all *vfs.MemFS, path string) error {
	info, err := all.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		b, err := content(all, path)
		if err != nil {
			return err
		}
		return put(left, path, b)
	}
	names, err := all.List(path)
	if err := errors.Join(err, left.MkdirAll(path, 0o755)); err != nil {
		return err
	}
	for _, name := range names {
		if err := give(left, all, all.PathJoin(path, name)); err != nil {
			return err
		}
	}
	return nil
}

func tearFile(left, all *vfs.MemFS, path string, rng *rand.Rand) error {
	was, err := content(left, path)
	if err != nil {
		return err
	}
	is, err := content(all, path)
	if err != nil {
		return err
	}
	same := 0
	for same < len(was) && same < len(is) && was[same] == is[same] {
		same++
	}
	if same == len(is) {
		return nil // nothing is new
	}
	until := same + rng.IntN(len(is)-same+1)
	torn := append([]byte(nil), is[:until]...)
	if len(was) > until {
		torn = append(torn, was[until:]...) // what was overwritten
	}
	return put(left, path, torn)
}

func content(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func put(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
