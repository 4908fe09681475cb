package acme

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"

	"sallyport/internal/store"
)

// prefix begins every key of this package.
const prefix = string(store.SpaceACME)

// storage is certmagic's Storage over the store: "/" parts folders, which are only
// implied by the keys beneath them.
type storage struct {
	store store.Store
	locks *locks
}

// locks are held by name. The store has one process, and so have they.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when let go
}

var _ certmagic.Storage = storage{}

func newStorage(st store.Store) storage {
	return storage{store: st, locks: &locks{held: map[string]chan struct{}{}}}
}

// Store puts a value durably.
func (s storage) Store(ctx context.Context, key string, value []byte) error {
	_, err := s.store.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: storeKey(key), Value: value}}}, store.Durable)
	return err
}

// Load returns a value, or fs.ErrNotExist.
func (s storage) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.store.Get(ctx, storeKey(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return value, err
}

// Delete removes a key, and all beneath it, in one act.
func (s storage) Delete(ctx context.Context, key string) error {
	tx := store.Tx{Mutations: []store.Mutation{{Key: storeKey(key), Delete: true}}}
	err := s.store.Scan(ctx, store.Prefix(storeKey(key+"/")), func(k, _ []byte) (bool, error) {
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: slices.Clone(k), Delete: true})
		return true, nil
	})
	if err != nil {
		return err
	}
	_, err = s.store.Apply(ctx, tx, store.Durable)
	return err
}

// Exists reports whether there is a value, or a folder with one.
func (s storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns what lies in a folder: its keys and folders, or with recursive all keys
// and folders beneath it.
func (s storage) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	var found []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			found = append(found, name)
		}
	}
	base := strings.Trim(folder, "/")
	if base != "" {
		base += "/"
	}
	err := s.store.Scan(ctx, store.Prefix(storeKey(base)), func(k, _ []byte) (bool, error) {
		rest := strings.TrimPrefix(string(k), prefix+base)
		for i := range len(rest) {
			if rest[i] == '/' {
				add(base + rest[:i])
				if !recursive {
					return true, nil
				}
			}
		}
		add(base + rest)
		return true, nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: %w", folder, fs.ErrNotExist)
	}
	return found, err
}

// Stat says what a key is: a value, a folder, or fs.ErrNotExist. When it was changed is
// not kept.
func (s storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, err := s.Load(ctx, key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	if _, err := s.List(ctx, key, false); err != nil {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key}, nil
}

// Lock waits until the name is free, and takes it.
func (s storage) Lock(ctx context.Context, name string) error {
	for {
		s.locks.mu.Lock()
		free, taken := s.locks.held[name]
		if !taken {
			s.locks.held[name] = make(chan struct{})
			s.locks.mu.Unlock()
			return nil
		}
		s.locks.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Unlock lets a name go.
func (s storage) Unlock(_ context.Context, name string) error {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	free, taken := s.locks.held[name]
	if !taken {
		return fmt.Errorf("%s: %w", name, errNotLocked)
	}
	delete(s.locks.held, name)
	close(free)
	return nil
}

var errNotLocked = errors.New("acme: nobody holds this lock")

func storeKey(key string) []byte { return []byte(prefix + key) }
