package pebble

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sallyport/internal/store"
)

// A file of values is damaged that nobody reads but Pebble, as it writes it anew: a value, what says where values are, its
// footer. The process lives, what was hit is put right from its guard and named, nothing is lost, and then it is written anew.
func TestDamageThatWritingAnewMeets(t *testing.T) {
	for what, at := range map[string]func(v *valued, name string) int{
		"a value":    func(v *valued, name string) int { _, at := v.kept(name); return at + 100 },
		"the ends":   func(v *valued, name string) int { return len(v.text(name)) - footerOctets - 10 },
		"the footer": func(v *valued, name string) int { return len(v.text(name)) - 20 },
	} {
		t.Run(what, func(t *testing.T) {
			v := newValued(t)
			hit := v.files()
			for _, name := range hit {
				v.hit(name, at(v, name), 1)
			}
			v.thin()
			v.eventually("it is found", func() bool { v.sort(); return len(v.notes()) > 0 })
			if gone := v.missing(); len(gone) > 0 {
				t.Errorf("%d values are gone", len(gone))
			}
			for _, f := range v.notes() {
				if f.Lost != "" || f.Aside == "" || !slices.Contains(hit, v.mem.PathBase(f.File)) {
					t.Errorf("noted %+v", f)
				}
			}
			v.eventually("files are written anew", func() bool {
				v.sort()
				have := v.files()
				return slices.ContainsFunc(hit, func(name string) bool { return !slices.Contains(have, name) })
			})
			if gone := v.missing(); len(gone) > 0 {
				t.Errorf("%d values are gone then", len(gone))
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			for _, name := range v.files() {
				if err := v.mender().checkValues(name); err != nil {
					t.Errorf("in the end, %s: %v", name, err)
				}
			}
		})
	}
}

// Where it cannot be put right, it costs the values that lie where it was hit, named by their keys. Nothing is tried again and
// again, and everything goes on, over a restart too.
func TestDamageThatWritingAnewMeetsCosts(t *testing.T) {
	v := newValued(t)
	hit := v.files()
	for _, name := range hit {
		key, at := v.kept(name)
		v.lost = append(v.lost, key)
		v.hit(name, at+100, 1)
		v.unguard(name)
	}
	slices.Sort(v.lost)
	v.thin()
	v.eventually("it is found", func() bool { v.sort(); return len(v.notes()) > 0 })
	if gone := v.missing(); !slices.Equal(gone, v.lost) {
		t.Errorf("%q are gone, and %q were hit", gone, v.lost)
	}
	told := fmt.Sprint(v.notes())
	for _, k := range v.lost {
		if !strings.Contains(told, k) {
			t.Errorf("nobody is told that %s is gone: %s", k, told)
		}
	}
	v.eventually("nothing is tried any more", func() bool { v.sort(); return v.rests() })
	before := len(v.notes())
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v.open()
	g := v.current()
	v.eventually("nothing is tried any more after a restart", func() bool { v.sort(); return v.rests() })
	if gone := v.missing(); !slices.Equal(gone, v.lost) {
		t.Errorf("%q are gone after a restart", gone)
	}
	if v.current() != g || g.guard.hasFailed() {
		t.Error("the database was given up for what was cut out before")
	}
	for _, f := range v.notes()[before:] {
		if !strings.Contains(f.What, "not written anew") {
			t.Errorf("noted after a restart: %+v", f)
		}
	}
	v.apply(store.Mutation{Key: []byte("new"), Value: []byte("goes on")})
}

// The disk does not give a file that is to be written anew. The process lives and says so, the database stays as it is, that is not
// tried again at once, and nothing is lost.
func TestTheDiskDoesNotGiveWhatIsWrittenAnew(t *testing.T) {
	v := newValued(t)
	every := ".blob"
	g := v.current()
	v.broken.Store(&every)
	v.thin()
	v.eventually("it is told", func() bool { v.sort(); return len(v.notes()) > 0 })
	v.eventually("nothing is tried any more", v.rests)
	for _, f := range v.notes() {
		if !strings.Contains(f.What, "cannot be read") || !isValues(f.File) {
			t.Errorf("noted %+v", f)
		}
	}
	if v.current() != g || g.guard.hasFailed() {
		t.Error("the database was given up")
	}
	v.broken.Store(nil)
	if gone := v.missing(); len(gone) > 0 {
		t.Errorf("%d values are gone", len(gone))
	}
}

// The disk gives a file that is to be written anew, and a moment later it does not. The process lives, and the next database
// takes the place of that one.
func TestTheDiskChangesItsMindAsAFileIsWrittenAnew(t *testing.T) {
	v := newValued(t, func(o *Options) { o.CacheOctets = 1 }) // nothing that was read is remembered
	if gone := v.missing(); len(gone) > 0 {                   // but the footers
		t.Fatalf("%d values are gone", len(gone))
	}
	g := v.current()
	v.fickle.Store(2)
	v.thinned()
	go v.sort() // which waits for the work that never ends
	v.eventually("the next database is open", func() bool { now := v.current(); return now != nil && now != g })
	if v.fickle.Load() > 0 {
		t.Fatal("it was not tried")
	}
	if gone := v.missing(); len(gone) > 0 {
		t.Errorf("%d values are gone", len(gone))
	}
	v.apply(store.Mutation{Key: []byte("new"), Value: []byte("goes on")})
	all := v.notes()
	if len(all) != 1 || !strings.Contains(all[0].What, "cannot be read") {
		t.Errorf("noted %+v", all)
	}
}

// A file that does not read as its guard knows it was cut out before, or was damaged before it had a guard: it is told of once, and the
// database stays as it is. Where the guard knows better, the file is put right.
func TestAFileIsNotWrittenAnewAsItsGuardKnowsIt(t *testing.T) {
	v := newValued(t)
	name := v.files()[0]
	g := v.current()
	if err := v.mayRewrite(g.guard, name); err != nil {
		t.Fatal(err)
	}
	v.hit(name, 100, 1)
	m := v.mender()
	good := v.guardText(name)
	if err := m.guardAnew(name); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := v.mayRewrite(g.guard, name); !errors.Is(err, errValues) || g.guard.hasFailed() {
			t.Errorf("as the guard knows it: %v", err)
		}
	}
	if all := v.notes(); len(all) != 1 || !strings.Contains(all[0].What, "not written anew") {
		t.Errorf("noted %+v", all)
	}
	if err := m.write(m.guard(name), good); err != nil {
		t.Fatal(err)
	}
	if err := v.mayRewrite(g.guard, name); !errors.Is(err, errValues) || !g.guard.hasFailed() {
		t.Errorf("the guard knows better: %v", err)
	}
	if gone := v.missing(); len(gone) > 0 {
		t.Errorf("%d values are gone", len(gone))
	}
	if err := v.mayRewrite(g.guard, name); err != nil {
		t.Errorf("it was put right: %v", err)
	}
}

// After it has failed, no file is written anew for an hour.
func TestWritingAnewPauses(t *testing.T) {
	var r rewrites
	now := time.Unix(1e9, 0)
	if r.begin(7); r.end(nil, now) || r.garbage(now) != mostGarbage {
		t.Error("it pauses after a success")
	}
	if r.end(fmt.Errorf("x: %w", pebble.ErrCancelledCompaction), now) || r.garbage(now) != mostGarbage {
		t.Error("it pauses after something came between")
	}
	if r.begin(7); !r.end(errors.New("no"), now) || r.garbage(now) != 1 || r.garbage(now.Add(rewritePause-1)) != 1 {
		t.Error("it does not pause")
	}
	if r.garbage(now.Add(rewritePause)) != mostGarbage || r.input.Load() != 0 {
		t.Error("it pauses for ever")
	}
}
