package memstore_test

import (
	"testing"

	"sallyport/internal/store"
	"sallyport/internal/store/memstore"
	"sallyport/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s := memstore.New()
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}
