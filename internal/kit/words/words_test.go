package words_test

import (
	"testing"

	"sallyport/internal/kit/words"
)

func TestCountsReadAsSentences(t *testing.T) {
	for _, c := range []struct {
		n         int
		noun      string
		count, be string
	}{
		{0, "message", "0 messages", "0 messages are"},
		{1, "message", "1 message", "1 message is"},
		{2, "message", "2 messages", "2 messages are"},
		{1, "alias", "1 alias", "1 alias is"},
		{2, "alias", "2 aliases", "2 aliases are"},
		{3, "address", "3 addresses", "3 addresses are"},
		{2, "entry", "2 entries", "2 entries are"},
		{2, "day", "2 days", "2 days are"},
		{2, "mailbox", "2 mailboxes", "2 mailboxes are"},
		{2, "named message", "2 named messages", "2 named messages are"},
	} {
		if got := words.Count(c.n, c.noun); got != c.count {
			t.Errorf("Count(%d, %q) = %q; want %q", c.n, c.noun, got, c.count)
		}
		if got := words.Are(c.n, c.noun); got != c.be {
			t.Errorf("Are(%d, %q) = %q; want %q", c.n, c.noun, got, c.be)
		}
	}
}
