package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

// churn stores keys that name a blob each, and removes every third again, key first.
// It returns the keys that were acknowledged and stay.
func churn(t *testing.T, s store.Store, worker int, stop <-chan struct{}, acked func(key string)) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		name := fmt.Sprintf("b%d-%d", worker, i)
		w, err := s.Blobs().Create(name)
		if err == nil {
			_, err = w.Write([]byte("body of " + name))
		}
		if err == nil {
			err = w.Commit()
		}
		key := []byte("key-" + name)
		if err == nil {
			_, err = s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: key, Value: []byte(name)}}, Facts: [][]byte{key}}, store.Durable)
		}
		if err == nil && i%3 == 0 {
			_, err = s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: key, Delete: true}}}, store.Lazy)
			err = errors.Join(err, s.Blobs().Remove(name))
		} else if err == nil {
			acked(string(key))
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// A checkpoint taken under load holds everything acknowledged before, and each blob
// that its map names; the store goes on beside it.
func TestCheckpointUnderLoadIsWhole(t *testing.T) {
	o := options(t, vfs.Default)
	o.Dir = t.TempDir()
	s := open(t, o)
	stop, mu, acked := make(chan struct{}), sync.Mutex{}, map[string]bool{}
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			churn(t, s, worker, stop, func(key string) { mu.Lock(); acked[key] = true; mu.Unlock() })
		})
	}
	known := func() (keys []string) {
		mu.Lock()
		defer mu.Unlock()
		for k := range acked {
			keys = append(keys, k)
		}
		return keys
	}
	for round := range 3 {
		eventually(t, "some load", func() bool { return len(known()) > 20*(round+1) })
		before, head := known(), s.FactHead()
		dir := filepath.Join(t.TempDir(), "copy")
		if err := s.(store.Checkpointer).Checkpoint(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		checkCopy(t, dir, before, head)
	}
	close(stop)
	running.Wait()
	commit(t, s, "after")
}

func checkCopy(t *testing.T, dir string, keys []string, head uint64) {
	t.Helper()
	o := options(t, vfs.Default)
	o.Dir = dir
	c, err := pebble.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, k := range keys {
		if _, err := c.Get(t.Context(), []byte(k)); err != nil {
			t.Errorf("%s was acknowledged before: %v", k, err)
		}
	}
	if c.FactHead() < head {
		t.Errorf("the copy has %d facts, the store had %d", c.FactHead(), head)
	}
	n := 0
	err = c.Scan(t.Context(), store.Prefix([]byte("key-")), func(key, value []byte) (bool, error) {
		n++
		b, err := c.Blobs().Open(string(value))
		if err != nil {
			t.Errorf("%s names a blob that is missing: %v", key, err)
			return true, nil
		}
		text, err := io.ReadAll(b)
		if want := append([]byte("body of "), value...); err != nil || !bytes.Equal(text, want) {
			t.Errorf("%s: %q, %v", key, text, err)
		}
		return true, b.Close()
	})
	if err != nil || n < len(keys) {
		t.Errorf("%d keys, %v", n, err)
	}
}

// A store that cannot write copies nothing, and says so.
func TestCheckpointInTrouble(t *testing.T) {
	o := options(t, vfs.Default)
	o.Dir = t.TempDir()
	o.MinFree = 1 << 62
	s := open(t, o)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := s.(store.Checkpointer).Checkpoint(t.Context(), dir); !errors.Is(err, store.ErrLow) || !strings.Contains(err.Error(), "less than the reserve and") {
		t.Errorf("below the reserve: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.(store.Checkpointer).Checkpoint(t.Context(), dir); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
