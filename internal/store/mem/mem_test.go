package mem_test

import (
	"testing"

	"sallyport/internal/store"
	"sallyport/internal/store/conformance"
	"sallyport/internal/store/mem"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) store.Store {
		s := mem.New()
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}
