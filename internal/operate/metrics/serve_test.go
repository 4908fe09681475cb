package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// copied is a store that can be copied.
type copied struct{ store.Store }

// Checkpoint implements store.Checkpointer.
func (copied) Checkpoint(context.Context, string) error { return nil }

// What the store does shows in what is served, and a store that is timed can be copied if
// it could before.
func TestTimedAndServed(t *testing.T) {
	s, err := New(Options{Version: "test", Limits: DefaultLimits(), State: func(context.Context) State { return State{} }})
	if err != nil {
		t.Fatal(err)
	}
	st := s.Timed(mem.New())
	if _, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: []byte("k"), Value: []byte("v")}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = st.Apply(gone, store.Tx{}, store.Lazy) // whoever left is no fault of the store
	if err := st.(store.Checkpointer).Checkpoint(t.Context(), "x"); err == nil {
		t.Error("a store in memory was copied")
	}
	if err := s.Timed(copied{}).(store.Checkpointer).Checkpoint(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, slog.New(slog.DiscardHandler), ln) }()
	r, err := http.Get("http://" + ln.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil ||
		!strings.Contains(string(text), `sallyport_store_commit_seconds_count{durability="durable"} 1`) ||
		strings.Contains(string(text), `durability="lazy"`) {
		t.Errorf("%v\n%s", err, text)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
