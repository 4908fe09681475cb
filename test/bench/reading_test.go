package main

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

func TestAnswersAreReadToTheirTag(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		for _, answer := range []string{
			"* 1 FETCH (BODY[] {11}\r\nt1 NO x\r\n\r\n)\r\n* 2 FETCH (" + strings.Repeat("x", 9000) + "\r\nt1 OK done\r\n",
			"t2 NO not that\r\n",
		} {
			buf := make([]byte, 100)
			if _, err := far.Read(buf); err != nil {
				return
			}
			if _, err := far.Write([]byte(answer)); err != nil {
				return
			}
		}
	}()
	r := &reader{nc: near, in: bufio.NewReaderSize(near, 4096)}
	if err := r.ask("FETCH"); err != nil {
		t.Error(err)
	}
	if err := r.ask("FETCH"); err == nil {
		t.Error("a refusal was taken for an answer")
	}
}

func TestSpent(t *testing.T) {
	before := map[int]time.Duration{1: 5, 2: 7}
	if got := spent(before, map[int]time.Duration{1: 8, 3: 4}); got != 7 {
		t.Errorf("%d, want what the first took more and what the third took", got)
	}
}

func TestPercentiles(t *testing.T) {
	var took []time.Duration
	for i := range 200 {
		took = append(took, time.Duration(200-i))
	}
	if mid, most, worst := percentiles(took); mid != 101 || most != 199 || worst != 200 {
		t.Errorf("%d, %d, %d", mid, most, worst)
	}
}

func TestReadingHasARowForEachTask(t *testing.T) {
	s := &readings{o: options{rounds: 1, huge: 10}}
	for _, task := range tasks(s.o) {
		for i, server := range []string{ours, dovecotName} {
			s.found = append(s.found, readSample{Task: task.name, Server: server, Round: 1, Times: 2, Seconds: float64(i + 1), CPU: float64(i + 1)})
		}
	}
	text := s.markdown(waited{})
	for _, task := range tasks(s.o) {
		if !strings.Contains(text, "| "+task.name+" | 500.00 | 1000.00 | 0.50 | 500.00 | 1000.00 | **0.50** (0.50 to 0.50) |") {
			t.Errorf("no row for %s in\n%s", task.name, text)
		}
	}
}
