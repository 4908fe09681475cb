package dispatch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// dueQueue has so many messages due, and answers every question in one way.
type dueQueue struct {
	Queue
	due            int
	unread, failed error
	next           time.Time
	none           bool
	noNext, lost   error
	asked          int // for so many at most
	looked         int
}

func (q *dueQueue) Due(_ context.Context, _ time.Time, most int) ([]spool.DueEntry, error) {
	q.asked, q.looked = most, q.looked+1
	return make([]spool.DueEntry, q.due), q.unread
}

func (q *dueQueue) Claim(context.Context, mail.ID, string, time.Duration, time.Time) (spool.Claim, error) {
	return spool.Claim{}, q.failed
}

func (q *dueQueue) NextDue(context.Context) (time.Time, bool, error) {
	return q.next, !q.none, q.noNext
}
func (q *dueQueue) Watch() <-chan struct{} { return nil }
func (q *dueQueue) OpenBody(context.Context, mail.ID) (io.ReadCloser, error) {
	return nil, q.lost
}

// The queue is looked at again at once where more may be due than there was room for, after a
// while where it cannot be read, and else when the next message is due, which is never at once and
// never later than an idle server looks.
func TestWhenTheQueueIsLookedAtAgain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fault := errors.New("the store is away")
	for name, row := range map[string]struct {
		q    dueQueue
		want func(*Limits) time.Duration
	}{
		"as many as there is room for": {dueQueue{due: 3, failed: spool.ErrClaimed}, func(*Limits) time.Duration { return 0 }},
		"fewer":                        {dueQueue{due: 2, failed: spool.ErrClaimed, next: now.Add(3 * time.Second)}, func(*Limits) time.Duration { return 3 * time.Second }},
		"the next is due":              {dueQueue{next: now.Add(-time.Hour)}, func(*Limits) time.Duration { return shortestWait }},
		"the next is far":              {dueQueue{next: now.Add(24 * time.Hour)}, func(l *Limits) time.Duration { return l.Idle }},
		"no next":                      {dueQueue{none: true}, func(l *Limits) time.Duration { return l.Idle }},
		"the next is not known":        {dueQueue{noNext: fault}, func(l *Limits) time.Duration { return l.Retry }},
		"unread":                       {dueQueue{unread: fault}, func(l *Limits) time.Duration { return l.Retry }},
		"a claim that fails":           {dueQueue{due: 3, failed: fault}, func(l *Limits) time.Duration { return l.Retry }},
	} {
		l := DefaultLimits()
		l.Active = 3
		d := New(Options{Queue: &row.q, Limits: l, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
		if got, want := d.claimDue(t.Context()), row.want(&l); got != want || row.q.asked != 3 {
			t.Errorf("%s: again in %s, want %s; it asked for %d", name, got, want, row.q.asked)
		}
	}
}

// A server that serves looks at its queue until it is told to stop, and then ends by itself.
func TestServeLooksUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &dueQueue{none: true}
		d := New(Options{Queue: q, Limits: DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- d.Serve(ctx, func() time.Duration { return time.Second }) }()
		time.Sleep(3*d.bounds().Idle + time.Second)
		synctest.Wait()
		if q.looked < 3 {
			t.Errorf("it looked %d times", q.looked)
		}
		select {
		case err := <-served:
			t.Fatalf("it ended by itself: %v", err)
		default:
		}
		stop()
		synctest.Wait()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if _, ok, _ := d.begin(spool.Claim{}); ok {
			t.Error("one that was stopped takes a message")
		}
	})
}

// A notification for which there is no chance to name it, or of a message that cannot be read, is
// none.
func TestANotificationThatCannotBeMade(t *testing.T) {
	lost := errors.New("it is gone")
	d := New(Options{Queue: &dueQueue{lost: lost}, Limits: DefaultLimits(), Now: time.Now, Rand: iotest.ErrReader(lost), Logger: slog.New(slog.DiscardHandler)})
	if _, _, err := d.notification(spool.Claim{}, nil, letter.Judged{}, time.Now()); !errors.Is(err, lost) {
		t.Errorf("without chance: %v", err)
	}
	if err := d.write(nil, notice{}, spool.Claim{}); !errors.Is(err, lost) {
		t.Errorf("of a message that is gone: %v", err)
	}
}
