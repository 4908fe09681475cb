package phrase

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestNew(t *testing.T) {
	got, err := New(bytes.NewReader([]byte{0, 1, 31, 32, 33, 255, 2, 3}), 8)
	if err != nil || got != "ab9ab9-cd" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := New(bytes.NewReader([]byte{1, 2}), 3); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("from too little chance: %v", err)
	}
}
