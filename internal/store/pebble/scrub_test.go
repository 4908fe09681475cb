package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/damage"
	"sallyport/internal/store"
)

// withManifest opens a store on the disk that has a manifest of some length, and is read through by nobody but the test.
func withManifest(t *testing.T, note damage.Note) (s *pebbleStore, manifest, copied string) {
	t.Helper()
	dir := t.TempDir()
	opened, err := Open(Options{Dir: dir, MemTableOctets: 256 << 10, Damage: note, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	s = opened.(*pebbleStore)
	for i := range 5 {
		apply(t, s, fmt.Sprintf("k%03d", i), strings.Repeat("v", 9000))
		if err := s.current().db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := filepath.Glob(filepath.Join(dir, dbDir, "MANIFEST-*"))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	manifest, copied = all[0], filepath.Join(dir, guardDir, filepath.Base(all[0]))
	for _, name := range []string{manifest, copied} {
		if info, err := os.Stat(name); err != nil || info.Size() < 100 {
			t.Fatal(name, info, err)
		}
	}
	return s, manifest, copied
}

func apply(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte(key), Value: []byte(value)}}}, store.Durable)
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

// spoil changes octets of a file in its place.
func spoil(t *testing.T, name string, at int64, with func(b byte) byte, n int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, n)
	if _, err := f.ReadAt(p, at); err != nil {
		t.Fatal(err)
	}
	for i := range p {
		p[i] = with(p[i])
	}
	if _, err := f.WriteAt(p, at); err != nil {
		t.Fatal(err)
	}
}

// What a database writes after it has failed reaches neither its manifest nor the copy, which would name tables that
// are not there: no later database could be opened.
func TestTheCopyFollowsNothingThatFailed(t *testing.T) {
	s, manifest, copied := withManifest(t, nil)
	apply(t, s, "last", strings.Repeat("v", 9000))
	g, err := s.enter()
	if err != nil {
		t.Fatal(err)
	}
	g.guard.fail(errors.New("the disk answers with an error"))
	_ = g.db.Flush() // as one that was under way
	before, err := os.Stat(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(copied); err != nil || after.Size() > before.Size() {
		t.Errorf("the copy has %d octets, the manifest %d: %v", after.Size(), before.Size(), err)
	}
	g.leave()
	apply(t, s, "after", "it")
	for _, key := range []string{"k000", "last", "after"} {
		if _, err := s.Get(context.Background(), []byte(key)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func flip(b byte) byte { return b ^ 4 }

// A store that runs finds what the disk did to its manifest or to the manifest's copy, and has both right again.
func TestTheManifestIsReadThrough(t *testing.T) {
	for _, of := range []string{"the manifest", "its copy"} {
		t.Run(of, func(t *testing.T) {
			found := make(chan damage.Found, 10)
			s, manifest, copied := withManifest(t, func(f damage.Found) { found <- f })
			s.scrubAll()
			if len(found) > 0 {
				t.Fatalf("a sound one: %+v", <-found)
			}
			hit := manifest
			if of == "its copy" {
				hit = copied
			}
			spoil(t, hit, 40, flip, 1)
			s.scrubAll()
			select {
			case f := <-found:
				if f.File != hit || f.Kind != damage.Log || f.Lost != "" {
					t.Errorf("noted %+v", f)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it was not found")
			}
			apply(t, s, "after", "it")
			s.scrubAll()
			if len(found) > 0 {
				t.Errorf("it was not put right: %+v", <-found)
			}
		})
	}
}

// Where manifest and copy are both gone in one place nothing can be put right, and the store that is open serves on.
func TestAManifestThatIsLostIsToldOf(t *testing.T) {
	found := make(chan damage.Found, 10)
	s, manifest, copied := withManifest(t, func(f damage.Found) { found <- f })
	spoil(t, manifest, 20, func(b byte) byte { return ^b }, 30)
	spoil(t, copied, 20, func(b byte) byte { return b + 99 }, 30)
	before := s.current()
	s.scrubAll()
	select {
	case f := <-found:
		if f.File != manifest || !strings.Contains(f.Lost, "let the queue empty") {
			t.Errorf("noted %+v", f)
		}
	default:
		t.Fatal("it was not found")
	}
	if s.current() != before || before.guard.hasFailed() {
		t.Fatal("the database was given up, which cannot be opened again")
	}
	apply(t, s, "after", "it")
}
