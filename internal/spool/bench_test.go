package spool_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
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

// BenchmarkOpen opens a queue of 500,000, or of SALLYPORT_PLACES, of which only what an opening reads of every message is
// there: its place in the schedule.
func BenchmarkOpen(b *testing.B) {
	queued := 500_000
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_PLACES")); err == nil {
		queued = n
	}
	st, err := pebble.Open(pebble.Options{FS: vfs.Default, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	o := options(b, time.Now)
	o.Logger = slog.New(slog.DiscardHandler)
	o.Limits.VerifyTime = 1 // a place without a message is taken away when all are verified
	q, _, err := spool.Open(context.Background(), st, o)
	if err != nil {
		b.Fatal(err)
	}
	if err := accept(q, []byte("x"), false); err != nil {
		b.Fatal(err)
	}
	schedule(b, st, queued)
	for b.Loop() {
		_, r, err := spool.Open(context.Background(), st, o)
		if err != nil || r.Entries != queued+1 {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(queued), "ns/message")
}

// schedule writes places of so many messages of a hundred accounts, each of which waits for the account's own mailbox.
func schedule(b testing.TB, st store.Store, n int) {
	b.Helper()
	at := time.Now().Add(time.Hour).UnixNano()
	for i := 0; i < n; {
		var tx store.Tx
		for ; len(tx.Mutations) < 5000 && i < n; i++ {
			var key [8]byte
			binary.BigEndian.PutUint64(key[:], uint64(at)+uint64(i)*1000)
			account := fmt.Sprintf("person%d@local.test", i%100)
			summary := fmt.Sprintf("\x02\x00\xbc\x05%c%s%s\x00", len(account), account, account)
			tx.Mutations = append(tx.Mutations, store.Mutation{Key: store.SpaceDue.Key(key[:], newID().Bytes()), Value: []byte(summary)})
		}
		if _, err := st.Apply(context.Background(), tx, store.Lazy); err != nil {
			b.Fatal(err)
		}
	}
}
