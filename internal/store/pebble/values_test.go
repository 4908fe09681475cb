package pebble

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/store"
)

// No flipped bit of a file of values goes unnoticed, and no end that is missing.
func TestFilesOfValuesAreChecked(t *testing.T) {
	v := newValued(t)
	text := v.text(v.files()[0])
	if err := checkValues(bytes.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 400 + 8*footerOctets {
		bit := rnd.IntN(len(text) * 8)
		if i < 8*footerOctets {
			bit = len(text)*8 - 1 - i
		}
		text[bit/8] ^= 1 << (bit % 8)
		if err := checkValues(bytes.NewReader(text), int64(len(text))); !errors.Is(err, errValues) {
			t.Fatalf("bit %d of %d has flipped: %v", bit, len(text)*8, err)
		}
		text[bit/8] ^= 1 << (bit % 8)
	}
	for n := range 200 {
		short := text[:n*len(text)/200]
		if err := checkValues(bytes.NewReader(short), int64(len(short))); !errors.Is(err, errValues) {
			t.Fatalf("it is cut at %d: %v", len(short), err)
		}
	}
	if err := checkValues(bytes.NewReader(text[:100]), int64(len(text))); !errors.Is(err, errValues) {
		t.Errorf("it is shorter than it was: %v", err)
	}
	if err := checkValues(dead{}, int64(len(text))); !errors.Is(err, syscall.EIO) || errors.Is(err, errValues) {
		t.Errorf("the disk does not give it: %v", err)
	}
}

// dead is a disk that gives nothing.
type dead struct{}

// ReadAt implements io.ReaderAt.
func (dead) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// The footer of a file of values is damaged, and somebody asks for a value in it: he gets it, from the file that was put right
// from its guard, and that is named.
func TestAFooterIsDamagedThatAReaderNeeds(t *testing.T) {
	for what, ruin := range map[string]func(v *valued, name string){
		"a bit": func(v *valued, name string) { v.hit(name, len(v.text(name))-20, 1) },
		"cut":   func(v *valued, name string) { v.cut(name, len(v.text(name))-7) },
	} {
		t.Run(what, func(t *testing.T) {
			v := newValued(t)
			name := v.files()[0]
			ruin(v, name)
			if gone := v.missing(); len(gone) > 0 {
				t.Errorf("%d values are gone", len(gone))
			}
			all := v.notes()
			if len(all) != 1 || all[0].Lost != "" || all[0].Aside == "" || v.mem.PathBase(all[0].File) != name {
				t.Errorf("noted %+v", all)
			}
		})
	}
}

// The footer of a file of values cannot be put right. What the file had is lost, all of it, and nothing else.
func TestAFooterIsLost(t *testing.T) {
	for what, ruin := range map[string]func(v *valued, name string){
		"a bit, without a guard": func(v *valued, name string) { v.hit(name, len(v.text(name))-20, 1); v.unguard(name) },
		"all but three octets":   func(v *valued, name string) { v.cut(name, 3) },
	} {
		t.Run(what, func(t *testing.T) {
			v := newValued(t)
			name := v.files()[0]
			text := v.text(name)
			for _, k := range v.keys() {
				if bytes.Contains(text, v.values[k][:64]) {
					v.lost = append(v.lost, k)
				}
			}
			if len(v.lost) < 2 || len(v.lost) == len(v.values) {
				t.Fatalf("it has %d of %d values", len(v.lost), len(v.values))
			}
			ruin(v, name)
			if gone := v.missing(); !slices.Equal(gone, v.lost) {
				t.Errorf("%q are gone, and %q were in it", gone, v.lost)
			}
			if all := v.notes(); len(all) == 0 || !strings.Contains(all[len(all)-1].Lost, v.lost[1]) {
				t.Errorf("noted %+v", all)
			}
			v.apply(store.Mutation{Key: []byte("new"), Value: []byte("goes on")})
		})
	}
}

// A file of values is gone, and comes back: the process lives, says once what is the matter, and goes on.
func TestAFileOfValuesIsGone(t *testing.T) {
	v := newValued(t)
	name := v.files()[0]
	key, _ := v.kept(name)
	if err := v.mem.Rename("data/db/"+name, "data/away"); err != nil {
		t.Fatal(err)
	}
	g := v.current()
	for range 2 {
		if got, err := v.Get(t.Context(), []byte(key)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%d octets, %v", len(got), err)
		}
	}
	if all := v.notes(); len(all) != 1 || all[0].Lost == "" || v.mem.PathBase(all[0].File) != name || v.current() != g {
		t.Errorf("noted %+v", all)
	}
	v.apply(store.Mutation{Key: []byte("new"), Value: []byte("goes on")})
	if err := v.mem.Rename("data/away", "data/db/"+name); err != nil {
		t.Fatal(err)
	}
	if gone := v.missing(); len(gone) > 0 || len(v.notes()) != 1 {
		t.Errorf("%d values are gone, noted %+v", len(gone), v.notes())
	}
}

// A file of values is gone when the store opens, and Pebble works with what refers to it. The process lives, and says once what is
// the matter; what the file had is there when it is given back.
func TestAFileOfValuesIsGoneAtTheStart(t *testing.T) {
	v := newValued(t)
	name := v.files()[0]
	key, _ := v.kept(name)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.mem.Rename("data/db/"+name, "data/away"); err != nil {
		t.Fatal(err)
	}
	v.open()
	if got, err := v.Get(t.Context(), []byte(key)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%d octets, %v", len(got), err)
	}
	v.thin()
	v.eventually("nothing is tried any more", func() bool { v.sort(); return v.rests() })
	if all := v.notes(); len(all) != 1 || all[0].Lost == "" || v.mem.PathBase(all[0].File) != name {
		t.Errorf("noted %+v", all)
	}
	if err := v.mem.Rename("data/away", "data/db/"+name); err != nil {
		t.Fatal(err)
	}
	if gone := v.missing(); len(gone) > 0 {
		t.Errorf("%d values are gone", len(gone))
	}
}

// A guard whose file is gone goes too, when no table refers to the file; and it does not get another one's number.
func TestAGuardWithoutAFileGoes(t *testing.T) {
	v := newValued(t)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	m := v.mender()
	table := ""
	names, err := m.names()
	for _, name := range names {
		if number, is := strings.CutSuffix(name, ".sst"); is {
			table = number
		}
	}
	if table == "" || err != nil {
		t.Fatal(names, err)
	}
	beside := []string{m.guard("000999.blob"), m.guard(table + ".blob")}
	for _, name := range beside {
		if err := m.write(name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	v.opts.FS = v.mem // the other one says nothing of what is not there
	v.open()
	v.eventually("it is gone", func() bool {
		_, err := v.mem.Stat(beside[0])
		return errors.Is(err, fs.ErrNotExist)
	})
	if gone := v.missing(); len(gone) > 0 {
		t.Errorf("%d values are gone", len(gone))
	}
	if all := v.notes(); len(all) > 0 {
		t.Errorf("noted %+v", all)
	}
}

// The disk does not give a file of values when the store opens. Everything else is there, what is the matter is named, and when
// the disk gives it again, so is what it has.
func TestAFileOfValuesIsNotGivenAtTheStart(t *testing.T) {
	v := newValued(t)
	name := v.files()[0]
	key, _ := v.kept(name)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v.opts.CheckTime = DefaultOptions().CheckTime
	v.broken.Store(&name)
	v.open()
	if all := v.notes(); len(all) != 1 || !strings.Contains(all[0].What, "cannot be read") || v.mem.PathBase(all[0].File) != name {
		t.Errorf("noted %+v", all)
	}
	if got, err := v.Get(t.Context(), []byte(key)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%d octets, %v", len(got), err)
	}
	v.apply(store.Mutation{Key: []byte("new"), Value: []byte("goes on")})
	v.broken.Store(nil)
	if gone := v.missing(); len(gone) > 0 {
		t.Errorf("%d values are gone", len(gone))
	}
}

// What of one file does not read is cut out, while the disk does not give another: that one costs nothing.
func TestACutSparesWhatTheDiskDoesNotGive(t *testing.T) {
	v := newValued(t)
	name, other := v.files()[0], v.files()[1]
	key, at := v.kept(name)
	spared, _ := v.kept(other)
	v.hit(name, at+100, 1)
	v.unguard(name)
	v.broken.Store(&other)
	v.eventually("the key is gone", func() bool {
		_, err := v.Get(t.Context(), []byte(key))
		return errors.Is(err, store.ErrNotFound)
	})
	v.broken.Store(nil)
	if got, err := v.Get(t.Context(), []byte(spared)); err != nil || !bytes.Equal(got, v.values[spared]) {
		t.Errorf("%d octets, %v", len(got), err)
	}
	if gone := v.missing(); !slices.Equal(gone, []string{key}) {
		t.Errorf("%q are gone, and %s was hit", gone, key)
	}
}

// Only what Pebble's own work reads of a file that it writes anew is answered by nothing.
func TestOthersReadWhileAFileIsWrittenAnew(t *testing.T) {
	v := newValued(t)
	name := v.files()[0]
	key, at := v.kept(name)
	g := v.current()
	f, err := g.guard.Open("data/db/"+name, vfs.RandomReadsOption)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	number, err := strconv.ParseUint(strings.TrimSuffix(name, ".blob"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	g.guard.rewrites.begin(number)
	p := make([]byte, 64)
	if n, err := f.ReadAt(p, int64(at)); n != len(p) || err != nil || !bytes.Equal(p, v.values[key][:64]) {
		t.Errorf("%d octets, %v", n, err)
	}
	if !f.(*valuesFile).isRewritten() || byRewriter() || v.current() != g {
		t.Error("it is taken for Pebble's own work")
	}
	g.guard.rewrites.end(nil, v.began)
}
