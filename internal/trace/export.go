package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/damage"
	"sallyport/internal/fact"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/store"
)

// Files in the folder for checkpoints.
const (
	checkpointFile = "checkpoint"
	historyPrefix  = "checkpoints-"
	historySuffix  = ".txt"
	// maxHistoryOctets bounds the history of one day.
	maxHistoryOctets = 1 << 20
)

func (l *Log) checkpointDue(now time.Time) bool {
	l.sequencing.Lock()
	defer l.sequencing.Unlock()
	grown := l.tree.size - l.signed
	return grown >= l.bounds().CheckpointFacts || grown > 0 && now.Sub(l.signedAt) >= l.bounds().CheckpointEvery
}

// checkpoint signs the tree as it is, unless it was signed already. The order is
// what makes a checkpoint true: first everything that it covers is synced, with
// the checkpoint itself; only then does it leave the store. A crash in between
// loses an export, never a promise.
func (l *Log) checkpoint(ctx context.Context) error {
	l.sequencing.Lock()
	defer l.sequencing.Unlock()
	if err := l.fresh(ctx); err != nil {
		return err
	}
	if l.tree.size == l.signed && !l.signedAt.IsZero() {
		return nil
	}
	root, err := l.tree.root()
	if err != nil {
		return err
	}
	signed, err := l.o.Key.Sign(Checkpoint{Origin: l.o.Origin, Size: l.tree.size, Root: root})
	if err != nil {
		return err
	}
	tx := store.Tx{Mutations: []store.Mutation{{Key: []byte(checkpointKey), Value: signed}}}
	if _, err := l.st.Apply(ctx, tx, store.Durable); err != nil {
		return err
	}
	if err := l.export(signed); err != nil {
		return fmt.Errorf("trace: exporting a checkpoint: %w", err)
	}
	l.signed, l.signedAt = l.tree.size, l.o.Now()
	return nil
}

func (l *Log) export(signed []byte) error {
	dir := l.o.CheckpointDir
	if err := safefile.Replace(filepath.Join(dir, checkpointFile), signed, 0o644); err != nil {
		return err
	}
	now := l.o.Now()
	if !l.historyAt.IsZero() && now.Sub(l.historyAt) < l.bounds().HistoryEvery {
		return nil
	}
	if err := appendHistory(dir, now, signed); err != nil {
		return err
	}
	l.historyAt = now
	return trimHistory(dir, l.bounds().HistoryFiles)
}

// appendHistory adds a checkpoint to the file of its day, parted by an empty
// line. The file is replaced as a whole, so that a crash cannot leave half a note
// that would look forged. A day's file that is full takes no more.
func appendHistory(dir string, now time.Time, signed []byte) error {
	name := historyPrefix + now.UTC().Format(time.DateOnly) + historySuffix
	have, err := readBounded(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(have) > 0 {
		have = append(have, '\n')
	}
	if len(have)+len(signed) > maxHistoryOctets {
		return nil
	}
	return safefile.Replace(filepath.Join(dir, name), append(have, signed...), 0o644)
}

// readBounded reads a file that is no longer than a day of history may be.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHistoryOctets+1))
	if err == nil && len(b) > maxHistoryOctets {
		err = fmt.Errorf("%s is longer than %d octets", path, maxHistoryOctets)
	}
	return b, err
}

// trimHistory removes the oldest days beyond keep.
func trimHistory(dir string, keep int) error {
	names, err := historyFiles(dir)
	if err != nil {
		return err
	}
	for _, n := range names[:max(0, len(names)-keep)] {
		if err := os.Remove(filepath.Join(dir, n)); err != nil {
			return err
		}
	}
	return nil
}

// historyFiles lists the days of history, oldest first.
func historyFiles(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if strings.HasPrefix(e.Name(), historyPrefix) && strings.HasSuffix(e.Name(), historySuffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// readHistory calls fn with each note in a file of the history. A note's
// signatures follow its text after an empty line, so a note is two blocks; what
// is no pair is handed over too, and will not verify.
func readHistory(path string, fn func(signed []byte)) error {
	raw, err := readBounded(path)
	if err != nil {
		return err
	}
	blocks := strings.Split(strings.TrimRight(string(raw), "\n"), "\n\n")
	for i := 0; i < len(blocks); i += 2 {
		fn([]byte(strings.Join(blocks[i:min(i+2, len(blocks))], "\n\n") + "\n"))
	}
	return nil
}

// openCheckpoints reads the newest checkpoint from the store, and compares the
// exported one with the facts.
func (l *Log) openCheckpoints(ctx context.Context) error {
	if err := os.MkdirAll(l.o.CheckpointDir, 0o755); err != nil {
		return err
	}
	raw, err := l.st.Get(ctx, []byte(checkpointKey))
	if err == nil {
		if c, err := l.o.Key.Open(raw); err == nil && c.Size <= l.tree.size {
			l.signed = c.Size
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	exported, err := readBounded(filepath.Join(l.o.CheckpointDir, checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fault := l.compare(ctx, exported); fault != "" {
		return l.alarm(ctx, exported, fault)
	}
	return nil
}

// beyond says which facts a checkpoint covers that the store does not have; "": none.
func (l *Log) beyond(signed []byte) string {
	c, err := l.o.Key.Open(signed)
	if err != nil || c.Size <= l.tree.size {
		return ""
	}
	return fmt.Sprintf("facts %d to %d, which that checkpoint covers, unless the store is a backup that was restored", l.tree.size+1, c.Size)
}

// compare says in words what is wrong between a checkpoint and the tree, or "".
func (l *Log) compare(ctx context.Context, signed []byte) string {
	c, err := l.o.Key.Open(signed)
	if err != nil {
		return "the exported checkpoint was not signed by this log's key"
	}
	if c.Size > l.tree.size {
		return fmt.Sprintf("the store is older than the exported checkpoint: that one covers %d facts, the store has %d", c.Size, l.tree.size)
	}
	root, err := tlog.TreeHash(c.Size, chunkReader{ctx: ctx, st: l.st, chunks: map[int64][]byte{}})
	if err != nil || root != c.Root {
		return fmt.Sprintf("the first %d facts are not those that the exported checkpoint covers", c.Size)
	}
	return ""
}

// alarm records that the store contradicts a checkpoint. The checkpoint goes into
// the history first, for the next one will take its place.
func (l *Log) alarm(ctx context.Context, signed []byte, fault string) error {
	l.o.Logger.ErrorContext(ctx, "the trace contradicts its checkpoint", "rule", RuleRollback, "fault", fault)
	if l.o.Damage != nil {
		l.o.Damage(damage.Found{Kind: damage.Trace, File: filepath.Join(l.o.CheckpointDir, checkpointFile), What: fault, Lost: l.beyond(signed)})
	}
	if err := appendHistory(l.o.CheckpointDir, l.o.Now(), signed); err != nil {
		return err
	}
	told := fact.Alarm{At: l.o.Now(), Rule: RuleRollback, Text: fault}
	_, err := l.st.Apply(ctx, store.Tx{Facts: fact.EncodeAll(told.Fact())}, store.Durable)
	if err != nil {
		return err
	}
	return l.catchUp(ctx)
}
