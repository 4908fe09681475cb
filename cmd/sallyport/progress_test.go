package main

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBar(t *testing.T) {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	for _, c := range []struct {
		done, of int64
		took     time.Duration
		want     string
	}{
		{0, 0, 0, "holding 0"},
		{7, 0, time.Hour, "holding 7"},
		{0, 10, time.Hour, "holding [" + strings.Repeat("-", 30) + "]   0 %  0 of 10"},
		{5, 10, 3 * time.Second, "holding [" + strings.Repeat("#", 15) + strings.Repeat("-", 15) + "]  50 %  5 of 10, 3s left"},
		{10, 10, time.Hour, "holding [" + strings.Repeat("#", 30) + "] 100 %  10 of 10"},
		{12, 10, time.Hour, "holding [" + strings.Repeat("#", 30) + "] 100 %  12 of 12"}, // more came meanwhile
	} {
		if got := bar("holding", n, c.done, c.of, c.took); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.done, c.of, got, c.want)
		}
	}
}

// What is no terminal sees no bar.
func TestNoBarInAPipe(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(console{err: &out}, "holding", func(int64) string { return "" })
	p.at(1, 2)
	p.end()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}
