package pebble

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/damage"
	"sallyport/internal/kit/diskspace"
)

// Options configures Open. Zero fields mean their default, given by
// DefaultOptions; Dir has none.
type Options struct {
	FS     vfs.FS // the disk
	Dir    string // the folder; made if it does not exist
	Logger *slog.Logger

	MinFree uint64 // octets of free space below which new content is refused
	// Space is that of the disk, where others share it; nil: one of its own, with MinFree.
	Space          *diskspace.Space
	MemTableOctets uint64        // memory that gathers commits before they go into tables; up to three of these
	CacheOctets    int64         // memory for what was read, beside that of the memory tables
	OpenFiles      int           // most files open at once
	LazyTime       time.Duration // longest time that a lazy commit stays unsynced
	TailOctets     int           // most octets of commits not yet synced, before a lazy one waits
	RetryFirst     time.Duration // first wait before a failing disk is tried again; doubles
	RetryMax       time.Duration // longest such wait
	CloseTime      time.Duration // how long a failed database is waited for to close

	// Damage is told of everything that is found damaged; nil: the log alone is.
	Damage damage.Note
	// LostFact returns what stands in the place of a fact that is lost; nil: the place stays empty.
	LostFact   func(seq uint64) []byte
	CheckTime  time.Duration // how long tables are read through before the store opens; the rest of them is later
	ScrubEvery time.Duration // how often every table is read through
	ScrubRate  int64         // most octets a second that are read for that
	// RewriteAge is how old a file of values is at least before it is written anew without what nothing refers to any more.
	RewriteAge time.Duration
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{
		FS:             vfs.Default,
		Logger:         slog.New(slog.DiscardHandler),
		MinFree:        128 << 20,
		MemTableOctets: 32 << 20,
		CacheOctets:    16 << 20,
		OpenFiles:      1000,
		LazyTime:       time.Second,
		TailOctets:     16 << 20,
		RetryFirst:     100 * time.Millisecond,
		RetryMax:       2 * time.Second,
		CloseTime:      5 * time.Second,
		CheckTime:      time.Second,
		ScrubEvery:     24 * time.Hour,
		ScrubRate:      16 << 20,
		RewriteAge:     5 * time.Minute,
	}
}

func (o Options) withDefaults() Options {
	d := DefaultOptions()
	if o.FS == nil {
		o.FS = d.FS
	}
	if o.Logger == nil {
		o.Logger = d.Logger
	}
	fill(&o.MinFree, d.MinFree)
	fill(&o.MemTableOctets, d.MemTableOctets)
	fill(&o.CacheOctets, d.CacheOctets)
	fill(&o.OpenFiles, d.OpenFiles)
	fill(&o.LazyTime, d.LazyTime)
	fill(&o.TailOctets, d.TailOctets)
	fill(&o.RetryFirst, d.RetryFirst)
	fill(&o.RetryMax, d.RetryMax)
	fill(&o.CloseTime, d.CloseTime)
	fill(&o.CheckTime, d.CheckTime)
	fill(&o.ScrubEvery, d.ScrubEvery)
	fill(&o.ScrubRate, d.ScrubRate)
	fill(&o.RewriteAge, d.RewriteAge)
	return o
}

func fill[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// tablesWritten is how many memory tables there are in the long run: the one that gathers,
// and the one that was written out and is kept to be used again.
const tablesWritten = 2

// cacheSize is what Pebble is told: it takes the memory of its memory tables off the cache,
// and with less than they take, nothing that was read is remembered, not even the filters
// that say in which table a key is not.
func (o Options) cacheSize() int64 { return o.CacheOctets + tablesWritten*int64(o.MemTableOctets) }

// separateOctets is the size from which a value leaves the tables for value files,
// so that sorting keys does not copy bodies.
const separateOctets = 2 << 10

// What Pebble is given beside Options.
const (
	mostTables  = 3        // memory tables that there may be, the one that gathers among them; then writes wait
	compactFrom = 4        // sorted runs at the top from which on they are merged
	mostRuns    = 64       // sorted runs at the top; then writes wait
	baseOctets  = 64 << 20 // octets of the first level below the top
	syncOctets  = 1 << 20  // octets of a file until they are handed to the disk, so that no sync has much to do
	mostDepth   = 10       // value files that one table may refer to, one behind the other, before they are written anew
	mostGarbage = 0.3      // part of value files that may be what nothing refers to any more
)

// pebbleOptions configures the database for a queue: most values are written
// once, read once or never, and deleted soon.
func (o Options) pebbleOptions(fs vfs.FS, l dbLogger, cache *pebble.Cache) *pebble.Options {
	compactions := max(1, runtime.GOMAXPROCS(0)/2) // as it is now: places for long computations come beside
	p := &pebble.Options{
		FS:                          fs,
		Logger:                      l,
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                o.MemTableOctets,
		MemTableStopWritesThreshold: mostTables,
		MaxOpenFiles:                o.OpenFiles,
		L0CompactionThreshold:       compactFrom,
		L0StopWritesThreshold:       mostRuns,
		LBaseMaxBytes:               baseOctets,
		BytesPerSync:                syncOctets,
		CompactionConcurrencyRange:  func() (int, int) { return 1, compactions },
		EventListener:               listener(l),
	}
	p.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled:               true,
			MinimumSize:           separateOctets,
			MaxBlobReferenceDepth: mostDepth,
			RewriteMinimumAge:     o.RewriteAge,
			TargetGarbageRatio:    l.guard.rewrites.garbage(time.Now()),
		}
	}
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		p.Levels[i].FilterType = pebble.TableFilter
	}
	return p
}
