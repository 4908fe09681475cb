package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/store"
)

// Checkpoint implements store.Checkpointer. Its order is what makes the copy whole:
// blobs that are there are linked first, which takes long and disturbs nobody; then
// no blob may go until the map was copied and those that came meanwhile are linked
// too. So each blob that the copied map names is in the copy; some that it does not
// name are as well, and are found to be orphans when it is opened.
func (s *pebbleStore) Checkpoint(ctx context.Context, dir string) error {
	g, err := s.enter()
	if err != nil {
		return err
	}
	defer g.leave()
	if s.health.troubled() {
		return errTrouble
	}
	// The log is copied; on a full disk the database itself would wait for that copy.
	if need := 3 * int64(s.opts.MemTableOctets); s.space.Low(need) {
		return lowForCopyError{need}
	}
	disk := s.opts.FS
	blobsTo := disk.PathJoin(dir, blobDir)
	if err := makeDir(disk, blobsTo); err != nil {
		return diskError(err)
	}
	linked := map[string]bool{}
	if err := s.linkBlobs(ctx, blobsTo, linked); err != nil {
		return err
	}
	s.blobs.removing.Lock()
	defer s.blobs.removing.Unlock()
	if err := checkpointDB(g.db, disk.PathJoin(dir, dbDir)); err != nil {
		return diskError(err)
	}
	// The database is not told of errors of its disk: the guard is.
	if err := g.guard.reason(); err != nil {
		return diskError(err)
	}
	if err := s.linkBlobs(ctx, blobsTo, linked); err != nil {
		return err
	}
	if err := errors.Join(syncDir(disk, blobsTo), syncDir(disk, dir)); err != nil {
		return diskError(err)
	}
	return nil
}

// checkpointDB turns a panic by which Pebble answers an error of the disk into an
// error.
func checkpointDB(db *pebble.DB, dir string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the database cannot be copied: %v", r)
		}
	}()
	return db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// linkBlobs links every committed blob that is not linked yet into a folder.
func (s *pebbleStore) linkBlobs(ctx context.Context, to string, linked map[string]bool) error {
	names, err := s.blobs.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if linked[name] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := vfs.LinkOrCopy(s.opts.FS, s.blobs.path(name), s.opts.FS.PathJoin(to, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since it was listed, and so named by no map to be copied
		}
		if err != nil {
			return diskError(err)
		}
		linked[name] = true
	}
	return nil
}

var _ store.Checkpointer = (*pebbleStore)(nil)

// lowForCopyError is a store.ErrLow that says what a copy needs beyond the reserve: there may be
// more room than the reserve, and still too little.
type lowForCopyError struct{ need int64 }

func (e lowForCopyError) Error() string {
	return fmt.Sprintf("%v: less than the reserve and %d MiB is free, which a copy of the log may need", store.ErrUnavailable, e.need>>20)
}

func (e lowForCopyError) Unwrap() error { return store.ErrLow }
