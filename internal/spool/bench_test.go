package spool_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store/pebble"
)

// BenchmarkPut is the accept path: 20 producers, 10 KB, durable on this disk.
// With "delivered", each message is settled right away, as in a healthy server.
func BenchmarkPut(b *testing.B) {
	for _, settle := range []bool{false, true} {
		for _, producers := range []int{20, 100} {
			b.Run(fmt.Sprintf("delivered=%t/producers=%d", settle, producers), func(b *testing.B) {
				benchmarkPut(b, settle, producers)
			})
		}
	}
}

func benchmarkPut(b *testing.B, settle bool, producers int) {
	st, err := pebble.Open(pebble.Options{FS: vfs.Default, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	o := options(b, time.Now)
	o.Logger = slog.New(slog.DiscardHandler)
	o.Limits.Claims, o.Limits.EntriesPerAccount = 10_000_000, 10_000_000
	q, _, err := spool.Open(context.Background(), st, o)
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, 10<<10)
	for i := range content {
		content[i] = byte('a' + i*7%26)
	}
	var n atomic.Int64
	b.SetBytes(int64(len(content)))
	b.ResetTimer()
	done := make(chan struct{})
	for range producers {
		go func() {
			defer func() { done <- struct{}{} }()
			for n.Add(1) <= int64(b.N) {
				if err := accept(q, content, settle); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	for range producers {
		<-done
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func accept(q *spool.Spool, content []byte, settle bool) error {
	body, err := q.NewBody(context.Background())
	if err != nil {
		return err
	}
	if _, err := body.Write(content); err != nil {
		return err
	}
	m := localMessage("alice@local.test", "bob@local.test")
	c, err := q.Put(context.Background(), m, body, [][]byte{make([]byte, 300)})
	if err != nil || !settle {
		return err
	}
	out := []mail.Outcome{{Recipient: m.Deliveries[0].Recipient.Address, Reply: mail.R(250, "2.0.0", "ok"), Remote: "maildir"}}
	_, err = q.Settle(context.Background(), c.Token, out, time.Now(), spool.Final{Facts: [][]byte{make([]byte, 300)}})
	return err
}
