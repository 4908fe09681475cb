package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// progressWidth is how many characters a bar is wide.
	progressWidth = 30
	// progressEvery is how often it is drawn anew.
	progressEvery = 100 * time.Millisecond
	// leastTook is how long something must have taken before it is told how long it takes on.
	leastTook = time.Second
)

// progress draws a bar on a terminal, and nothing anywhere else.
type progress struct {
	w      io.Writer // nil: nobody looks
	what   string
	amount func(int64) string
	began  time.Time
	drawn  time.Time
	shown  bool
}

// newProgress returns a bar on the terminal that errors go to.
func newProgress(c console, what string, amount func(int64) string) *progress {
	p := &progress{what: what, amount: amount, began: time.Now()}
	if f, ok := fileOf(c.err); ok && isTerminal(f) {
		p.w = f
	}
	return p
}

// seen reports whether anybody looks at the bar.
func (p *progress) seen() bool { return p.w != nil }

// at tells how much is done, of how much in all; 0: nobody knows.
func (p *progress) at(done, of int64) {
	now := time.Now()
	if p.w == nil || now.Sub(p.drawn) < progressEvery {
		return
	}
	p.drawn, p.shown = now, true
	fmt.Fprintf(p.w, "\r\x1b[K%s", bar(p.what, p.amount, done, of, now.Sub(p.began)))
}

// end removes the bar, so that what is printed next begins a line.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown = false
}

// bar is one line: "backing up [#####-----] 52 %  1.0 MB of 2.0 MB, 3s left".
func bar(what string, amount func(int64) string, done, of int64, took time.Duration) string {
	if of <= 0 {
		return fmt.Sprintf("%s %s", what, amount(done))
	}
	share := min(float64(done)/float64(of), 1)
	full := int(share * progressWidth)
	line := fmt.Sprintf("%s [%s%s] %3.0f %%  %s of %s", what, strings.Repeat("#", full),
		strings.Repeat("-", progressWidth-full), 100*share, amount(done), amount(max(of, done)))
	if share > 0 && share < 1 && took > leastTook {
		left := time.Duration(float64(took) * (1 - share) / share)
		line += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return line
}
