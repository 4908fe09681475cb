package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// What is followed is read at once, after each change of its keys and no other, and again by itself while it cannot be read.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := mem.New()
		defer st.Close()
		ctx, stop := context.WithCancel(t.Context())
		fault, reads, told := error(nil), 0, []error{}
		ended := make(chan error, 1)
		go func() {
			ended <- store.Follow(ctx, st, []byte("a/"), func(context.Context) error { reads++; return fault }, func(err error) { told = append(told, err) })
		}()
		after := func(what string, wantReads, wantTold int) {
			t.Helper()
			if synctest.Wait(); reads != wantReads || len(told) != wantTold {
				t.Errorf("%s: read %d times, told %v", what, reads, told)
			}
		}
		write := func(key string) {
			t.Helper()
			if _, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: []byte(key), Value: []byte("x")}}}, store.Lazy); err != nil {
				t.Fatal(err)
			}
		}
		after("at first", 1, 0)
		write("b/1")
		after("another's key", 1, 0)
		write("a/1")
		after("its key", 2, 0)
		time.Sleep(time.Hour)
		after("an hour in which nothing changes", 2, 0)
		fault = errors.New("the disk fails")
		write("a/2")
		after("it cannot be read", 3, 1)
		time.Sleep(time.Minute)
		if synctest.Wait(); reads < 5 || len(told) != reads-2 || !errors.Is(told[0], fault) {
			t.Errorf("within a minute it was read %d times, told %v", reads, told)
		}
		fault = nil
		time.Sleep(time.Minute)
		synctest.Wait()
		r, n := reads, len(told)
		time.Sleep(time.Hour)
		after("it can be read again", r, n)
		fault = context.Canceled
		stop()
		write("a/3")
		if synctest.Wait(); len(told) != n {
			t.Errorf("the end was told as a fault: %v", told)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}
