package query

import (
	"testing"
	"time"

	"sallyport/internal/mail"
)

func testTime() time.Time { return time.Date(2026, 11, 27, 14, 3, 12, 345678000, time.UTC) }

// testID makes a queue id out of a number.
func testID(t testing.TB, n int) mail.ID {
	t.Helper()
	b := make([]byte, 15)
	ms := testTime().UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[12], b[13], b[14] = byte(n>>16), byte(n>>8), byte(n)
	id, err := mail.IDFromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
