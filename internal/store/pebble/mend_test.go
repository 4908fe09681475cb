package pebble

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/damage"
)

// pieces is a disk that knows how much of a table was asked for at once.
type pieces struct {
	vfs.FS
	most int
}

type piecesFile struct {
	vfs.File
	fs *pieces
}

// Open implements vfs.FS.
func (p *pieces) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := p.FS.Open(name, opts...)
	if err != nil || !strings.HasPrefix(name, "data/db/") {
		return f, err
	}
	return piecesFile{f, p}, nil
}

// Read implements io.Reader.
func (f piecesFile) Read(b []byte) (int, error) {
	f.fs.most = max(f.fs.most, len(b))
	return f.File.Read(b)
}

func rewrite(t *testing.T, disk vfs.FS, name string, text []byte) {
	t.Helper()
	f, err := disk.Create(name, guardCategory)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Clone(text))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A table that is as it was written is not held in memory for that to be seen, however large it is. One that is not is put
// right, whatever is wrong with it.
func TestASoundTableIsReadInPieces(t *testing.T) {
	const name, path = "000007.sst", "data/db/000007.sst"
	for _, size := range []int{0, 1, 100_000, scrubOctets, 3 << 20, 3<<20 + 77} {
		disk := &pieces{FS: vfs.NewMem()}
		noted := 0
		m := &mender{fs: disk, root: "data", note: func(damage.Found) { noted++ }}
		if err := errors.Join(disk.MkdirAll("data/db", 0o700), m.prepare()); err != nil {
			t.Fatal(err)
		}
		rnd := rand.New(rand.NewPCG(uint64(size), 1))
		text := make([]byte, size)
		for i := range text {
			text[i] = byte(rnd.Uint32())
		}
		rewrite(t, disk, path, text)
		if state, err := m.mendTable(name); state != unguarded || err != nil {
			t.Fatalf("%d octets without a guard: %v, %v", size, state, err)
		}
		if err := m.guardAnew(name); err != nil {
			t.Fatal(err)
		}
		disk.most = 0
		if state, err := m.mendTable(name); state != sound || err != nil || noted > 0 {
			t.Fatalf("%d octets: %v, %v, noted %d", size, state, err, noted)
		}
		if disk.most > scrubOctets {
			t.Errorf("of %d octets %d were read at once", size, disk.most)
		}
		wrong := [][]byte{append(bytes.Clone(text), 'x'), append(bytes.Clone(text), make([]byte, 5000)...)}
		if size > 0 {
			flipped := bytes.Clone(text)
			flipped[rnd.IntN(size)] ^= 4
			wrong = append(wrong, flipped, text[:size-1])
		}
		for i, bad := range wrong {
			rewrite(t, disk, path, bad)
			state, err := m.mendTable(name)
			if got := contentOf(t, disk, path); state != mended || err != nil || noted != i+1 || got != string(text) {
				t.Fatalf("%d octets, wrong in way %d: %v, %v, noted %d, right %v", size, i, state, err, noted, got == string(text))
			}
		}
		if err := disk.Remove(path); err != nil {
			t.Fatal(err)
		}
		if state, err := m.mendTable(name); state != unguarded || err != nil {
			t.Fatalf("a file that is gone: %v, %v", state, err)
		}
	}
}
