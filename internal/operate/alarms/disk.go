package alarms

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/diskspace"
)

// The rules of the alarms about free space.
const (
	RuleDiskLow  = "disk-low"
	RuleDiskFree = "disk-free-again"
)

// DiskAlarm tells the operator of disks that become full. All fields are required.
type DiskAlarm struct {
	Write  func(ctx context.Context, facts ...fact.Fact) error
	Now    func() time.Time
	Logger *slog.Logger
}

// Changed tells of a change of the disk that holds dir, in the log and as a fact.
func (a DiskAlarm) Changed(ctx context.Context, dir string, c diskspace.Change) {
	f := fact.Alarm{At: a.Now(), Rule: RuleDiskLow, Text: "the disk is nearly full: mail waits"}
	if c.Low {
		a.Logger.Error("the disk is nearly full: mail waits until there is room", "path", dir, "free", c.Free, "reserve", c.Reserve)
	} else {
		f.Rule, f.Text = RuleDiskFree, "the disk has room again: mail goes on"
		a.Logger.Info("the disk has room again", "path", dir, "free", c.Free, "reserve", c.Reserve)
	}
	f.Evidence = []fact.Pair{
		{Name: "path", Value: dir}, {Name: "free octets", Value: strconv.FormatUint(c.Free, 10)}, {Name: "reserve", Value: strconv.FormatUint(c.Reserve, 10)},
	}
	// On a disk that is full to the last octet it is not recorded; the log has it.
	if err := a.Write(ctx, f.Fact()); err != nil && ctx.Err() == nil {
		a.Logger.Warn("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
	}
}

// Space is how much is free on the disk that holds dir, for the server's user, and how much there is
// of it; 0 where that cannot be read.
func Space(dir string) (free, total uint64) {
	free, total, _ = diskspace.Usage(dir)
	return free, total
}
