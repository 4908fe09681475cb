package storetest

import (
	"errors"
	"io"
	"strings"
	"testing"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// course does whatever Stumbling counts, each once, until something fails, and names what.
func course(t *testing.T, s *Stumbling) (failed string, err error) {
	t.Helper()
	if _, err := s.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: []byte("k"), Value: []byte("v")}}}, store.Durable); err != nil {
		return "apply", err
	}
	if _, err := s.Get(t.Context(), []byte("k")); err != nil {
		return "get", err
	}
	if err := s.Scan(t.Context(), store.Prefix([]byte("k")), func(_, _ []byte) (bool, error) { return true, nil }); err != nil {
		return "scan", err
	}
	w, err := s.Blobs().Create("b")
	if err != nil {
		return "create", err
	}
	defer func() { _ = w.Abort() }()
	if _, err := w.Write([]byte("text")); err != nil {
		return "write", err
	}
	if err := w.Commit(); err != nil {
		return "commit", err
	}
	if _, err := s.Blobs().List(); err != nil {
		return "list", err
	}
	r, err := s.Blobs().Open("b")
	if err != nil {
		return "open", err
	}
	b := make([]byte, 4)
	if _, err := r.Read(b); err != nil && err != io.EOF {
		return "read", errors.Join(err, r.Close())
	}
	return "close", r.Close()
}

// Each operation fails in its turn with the error that was asked for, once, and what fails has not happened.
func TestEachOperationFailsOnce(t *testing.T) {
	failure := errors.New("a failure")
	var order []string
	for at := 1; ; at++ {
		under := mem.New()
		s := Stumble(under, at, failure)
		if what, err := course(t, s); err != nil || s.Fired() {
			t.Fatalf("it stumbled over %s before it was armed: %v", what, err)
		}
		if err := under.Blobs().Remove("b"); err != nil {
			t.Fatal(err)
		}
		s.Arm(true)
		what, err := course(t, s)
		if !s.Fired() {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			break
		}
		order = append(order, what)
		if !errors.Is(err, failure) {
			t.Errorf("%s: %v", what, err)
		}
		names, err := under.Blobs().List()
		if before := at <= 6; err != nil || before != (len(names) == 0) { // the sixth commits
			t.Errorf("after %s: files %q, %v", what, names, err)
		}
		if what, err := course(t, s); err != nil {
			t.Errorf("the second time: %s: %v", what, err)
		}
		s.Arm(false)
	}
	if got := strings.Join(order, " "); got != "apply get scan create write commit list open read close" {
		t.Errorf("failed: %s", got)
	}
}
