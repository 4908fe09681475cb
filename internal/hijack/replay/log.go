package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/hijack"
)

// Message is one message of a log.
type Message struct {
	At   time.Time
	From string
	To   []string
	// In: the message came in for an account from somebody outside who proved to be the
	// sender. From is that one, To the accounts.
	In bool
	// Invalid is how many recipients beside these were refused at once.
	Invalid int
	// Gone is how many of those who are nobody's account here their servers refuse.
	Gone int
	// Event is not nil where it is no message, but something else that From did then.
	Event hijack.Event
}

// ErrLog says that a line of a log is none.
var ErrLog = errors.New("a line is: sender recipient unixtime")

// mostDeliveries bounds what is read of a log.
const mostDeliveries = 20_000_000

// Read reads a log: one delivery a line, "sender recipient unixtime", grouped into messages by
// sender and time, in the order of time. Empty lines and those that begin with # are left
// out.
func Read(r io.Reader) ([]Message, error) {
	type key struct {
		from string
		at   int64
	}
	where := map[key]int{}
	var out []Message
	sc := bufio.NewScanner(r)
	for line, n := 1, 0; sc.Scan(); line++ {
		w := strings.Fields(sc.Text())
		if len(w) == 0 || strings.HasPrefix(w[0], "#") {
			continue
		}
		if len(w) != 3 {
			return nil, fmt.Errorf("line %d: %w", line, ErrLog)
		}
		at, err := unix(w[2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, ErrLog)
		}
		if n++; n > mostDeliveries {
			return nil, fmt.Errorf("line %d: more than %d deliveries", line, mostDeliveries)
		}
		k := key{w[0], at.UnixNano()}
		i, ok := where[k]
		if !ok {
			i = len(out)
			where[k] = i
			out = append(out, Message{At: at, From: w[0]})
		}
		out[i].To = append(out[i].To, w[1])
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b Message) int { return a.At.Compare(b.At) })
	return out, nil
}

// unix reads seconds since 1970, with a fraction or without.
func unix(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n < 1<<33 {
		return epoch(time.Duration(n) * time.Second), nil
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= 0 && x < 1<<33) {
		return time.Time{}, ErrLog
	}
	return epoch(time.Duration(x * float64(time.Second))), nil
}

// epoch is the time of a log that begins at 0, which is no time for a State.
func epoch(d time.Duration) time.Time { return time.Unix(0, int64(d)).UTC() }
