package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"sallyport/internal/store"
)

func createBlob(t *testing.T, s store.Store, name, content string) store.BlobWriter {
	t.Helper()
	w, err := s.Blobs().Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	return w
}

func wantBlob(t *testing.T, s store.Store, name, want string) {
	t.Helper()
	r, err := s.Blobs().Open(name)
	if err != nil {
		t.Errorf("blob %s: %v", name, err)
		return
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want || r.Size() != int64(len(want)) {
		t.Errorf("blob %s: %d octets, size %d, %v; want %d", name, len(got), r.Size(), err, len(want))
	}
}

func wantNoBlob(t *testing.T, s store.Store, name string) {
	t.Helper()
	if _, err := s.Blobs().Open(name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("blob %s: %v, want not found", name, err)
	}
}

func testBlobs(t *testing.T, s store.Store) {
	w := createBlob(t, s, "one", "first")
	part := make([]byte, 8)
	if n, err := w.ReadAt(part, 2); string(part[:n]) != "rst" || err != io.EOF {
		t.Errorf("a blob that is being written: %q, %v", part[:n], err)
	}
	wantNoBlob(t, s, "one")
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	_ = w.Abort()
	if err := createBlob(t, s, "two", "never").Abort(); err != nil {
		t.Fatal(err)
	}
	if names, err := s.Blobs().List(); err != nil || !slices.Equal(names, []string{"one"}) {
		t.Errorf("blobs %q, %v", names, err)
	}
	wantBlob(t, s, "one", "first")
	if err := createBlob(t, s, "one", "second").Commit(); err != nil {
		t.Fatal(err)
	}
	wantBlob(t, s, "one", "second")
}

func testBlobRemoval(t *testing.T, s store.Store) {
	if err := createBlob(t, s, "one", "content").Commit(); err != nil {
		t.Fatal(err)
	}
	r, err := s.Blobs().Open("one")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 2 {
		if err := s.Blobs().Remove("one"); err != nil {
			t.Fatal(err)
		}
	}
	part := make([]byte, 3)
	if _, err := r.ReadAt(part, 2); err != nil || string(part) != "nte" {
		t.Errorf("an open blob that is removed: %q, %v", part, err)
	}
	wantNoBlob(t, s, "one")
}

func testBlobNames(t *testing.T, s store.Store) {
	long := string(bytes.Repeat([]byte("a"), store.MaxBlobName))
	if err := createBlob(t, s, long, "content").Commit(); err != nil {
		t.Fatal(err)
	}
	wantBlob(t, s, long, "content")
	for _, name := range []string{"", "../up", "a/b", "A", ".", "a.part", "a b", "a\x00", long + "a"} {
		_, cerr := s.Blobs().Create(name)
		_, oerr := s.Blobs().Open(name)
		for what, err := range map[string]error{"create": cerr, "open": oerr, "remove": s.Blobs().Remove(name)} {
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s %q: %v, want invalid", what, name, err)
			}
		}
	}
}

func testBlobSizes(t *testing.T, s store.Store) {
	for _, n := range []int{0, 1, 4096, 1<<20 + 7} {
		name := fmt.Sprintf("b%d", n)
		want := bytes.Repeat([]byte("sallyport"), n/9+1)[:n]
		w, err := s.Blobs().Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for rest := want; len(rest) > 0; {
			k := min(len(rest), 60_000)
			if _, err := w.Write(rest[:k]); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		r, err := s.Blobs().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) || r.Size() != int64(n) {
			t.Errorf("blob of %d octets: %d came back, %v", n, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
