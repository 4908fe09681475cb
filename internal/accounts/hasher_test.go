package accounts

import (
	"context"
	"testing"
	"time"
)

func hasherOf(slots, queue int, wait time.Duration) *hasher {
	l := DefaultLimits()
	l.HashAtOnce, l.HashQueue, l.HashWait = slots, queue, wait
	return newHasher(l)
}

// enqueue waits in a lane and says its name when its turn comes.
func enqueue(h *hasher, l lane, name string, turns chan<- string) {
	before := h.snapshot().Waiting
	go func() {
		if h.acquire(context.Background(), l) == nil {
			turns <- name
		}
	}()
	for h.snapshot().Waiting == before {
		time.Sleep(100 * time.Microsecond)
	}
}

// Those who are known go first, and within a lane first come is first served.
func TestHasherOrder(t *testing.T) {
	h := hasherOf(1, 10, time.Minute)
	if err := h.acquire(context.Background(), laneStranger); err != nil {
		t.Fatal(err)
	}
	turns := make(chan string, 10)
	enqueue(h, laneStranger, "stranger 1", turns)
	enqueue(h, laneStranger, "stranger 2", turns)
	enqueue(h, laneKnown, "known 1", turns)
	enqueue(h, laneKnown, "known 2", turns)
	for _, want := range []string{"known 1", "known 2", "stranger 1", "stranger 2"} {
		h.release()
		if got := <-turns; got != want {
			t.Errorf("%s came, want %s", got, want)
		}
	}
	h.release()
	if s := h.snapshot(); s.Peak != 1 || s.Running != 0 || s.Waiting != 0 || s.Started != 5 || h.free != 1 {
		t.Errorf("%+v, %d free", s, h.free)
	}
}

// A queue full of strangers does not turn away those who are known.
func TestHasherQueuesAreBoundedApart(t *testing.T) {
	h := hasherOf(1, 2, time.Minute)
	h.acquire(context.Background(), laneStranger)
	turns := make(chan string, 10)
	enqueue(h, laneStranger, "1", turns)
	enqueue(h, laneStranger, "2", turns)
	wantFailure(t, "third stranger", h.acquire(context.Background(), laneStranger), ErrBusy, RuleBusy)
	enqueue(h, laneKnown, "known", turns)
	h.release()
	if got := <-turns; got != "known" {
		t.Errorf("%s came first", got)
	}
	if s := h.snapshot(); s.Refused != 1 {
		t.Errorf("%+v", s)
	}
}

func TestHasherWaitsEnd(t *testing.T) {
	h := hasherOf(1, 10, 5*time.Millisecond)
	h.acquire(context.Background(), laneKnown)
	wantFailure(t, "too long", h.acquire(context.Background(), laneStranger), ErrBusy, RuleBusy)
	h.wait = time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantFailure(t, "left", h.acquire(ctx, laneStranger), ErrCancelled, RuleCancelled)
	h.release()
	if s := h.snapshot(); s.Waiting != 0 || s.Running != 0 || h.free != 1 || s.Refused != 1 {
		t.Errorf("%+v, %d free", s, h.free)
	}
}

// Slots are neither lost nor made when turns come and waits end in one moment.
func TestHasherKeepsItsSlots(t *testing.T) {
	h := hasherOf(2, 50, 200*time.Microsecond)
	done := make(chan struct{})
	for n := range 30 {
		go func() {
			for range 100 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n*20)*time.Microsecond)
				if h.acquire(ctx, lane(n%2)) == nil {
					time.Sleep(10 * time.Microsecond)
					h.release()
				}
				cancel()
			}
			done <- struct{}{}
		}()
	}
	for range 30 {
		<-done
	}
	if s := h.snapshot(); s.Running != 0 || s.Waiting != 0 || h.free != 2 || s.Peak > 2 {
		t.Errorf("%+v, %d free", s, h.free)
	}
}

// Bounds that shrink take slots away as they are given back; bounds that grow let
// those in who wait.
func TestHasherAdjusts(t *testing.T) {
	h := hasherOf(2, 5, time.Minute)
	for range 2 {
		if err := h.acquire(t.Context(), laneKnown); err != nil {
			t.Fatal(err)
		}
	}
	l := DefaultLimits()
	l.HashAtOnce, l.HashQueue, l.HashWait = 1, 5, time.Minute
	h.adjust(l)
	turns := make(chan string, 3)
	enqueue(h, laneKnown, "waits", turns)
	h.release()
	if s := h.snapshot(); s.Running != 1 || s.Waiting != 1 || s.Slots != 1 {
		t.Fatalf("after one of two ended, with one slot: %+v", s)
	}
	l.HashAtOnce = 3
	h.adjust(l)
	if who := <-turns; who != "waits" {
		t.Fatal(who)
	}
	if s := h.snapshot(); s.Running != 2 || s.Waiting != 0 {
		t.Errorf("with three slots: %+v", s)
	}
	for range 2 {
		h.release()
	}
	if h.free != 3 {
		t.Errorf("%d slots are free, want 3", h.free)
	}
}
