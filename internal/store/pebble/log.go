package pebble

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// dbLogger passes Pebble's words on. What Pebble calls fatal ends the use of that
// database, not the process.
type dbLogger struct {
	log   *slog.Logger
	guard *guard
	// damaged is told of a file that does not read.
	damaged func(g *guard, path string)
	// failed is told of work that failed, perhaps of that.
	failed func(g *guard, err error)
}

// Infof implements pebble.Logger.
func (l dbLogger) Infof(format string, args ...any) {
	l.log.Debug("database", "text", fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l dbLogger) Errorf(format string, args ...any) {
	level := slog.LevelError
	if l.guard.hasFailed() {
		// The cause was reported; what follows speaks of files that never were.
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "database", "text", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger.
func (l dbLogger) Fatalf(format string, args ...any) {
	l.Errorf(format, args...)
	l.guard.fail(fmt.Errorf(format, args...))
}

// listener reports what an administrator should know, and no more: Pebble's own
// default turns damaged data into a fatal error.
func listener(l dbLogger) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			l.Errorf("background work failed: %v", err)
			l.failed(l.guard, err)
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			l.Errorf("damaged data: %v", i)
			l.damaged(l.guard, i.Path)
		},
		DiskSlow: func(i pebble.DiskSlowInfo) {
			// What waits for space, or is parked, is slow on purpose.
			if !l.guard.health.troubled() && !l.guard.hasFailed() {
				l.Errorf("slow disk: %v", i)
			}
		},
		WriteStallBegin:      func(i pebble.WriteStallBeginInfo) { l.Infof("write stall: %v", i) },
		BlobFileRewriteBegin: func(i pebble.BlobFileRewriteInfo) { l.guard.rewrites.begin(uint64(i.Input.DiskFileNum)) },
		BlobFileRewriteEnd: func(i pebble.BlobFileRewriteInfo) {
			if l.guard.rewrites.end(i.Err, time.Now()) {
				l.Errorf("a file of values was not written anew, and none is for %v: %v", rewritePause, i.Err)
			}
		},
	}
}
