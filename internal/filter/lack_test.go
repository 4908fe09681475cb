package filter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"sallyport/internal/filter"
	"sallyport/internal/filter/milter"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// mute accepts connections on a socket, and never answers.
func mute(t *testing.T) (path string, accepted chan struct{}) {
	t.Helper()
	path = folder(t) + "/s"
	ln := must[net.Listener](t)(net.Listen("unix", path))
	accepted = make(chan struct{}, 100)
	var open []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			accepted <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
		for _, c := range open {
			_ = c.Close()
		}
	})
	return path, accepted
}

// checks are an Rspamd and a milter at a socket, one question at a time, whose absence
// lets mail pass.
func checks(t *testing.T, at string, patience time.Duration) []intake.Inspector {
	t.Helper()
	host := must[mail.Domain](t)(mail.ParseDomain("mx.local.test"))
	s := scope
	s.Down = filter.DownAccept
	r, m := rspamd.DefaultLimits(), milter.DefaultLimits()
	r.Connections, r.Time, m.Connections, m.Time = 1, patience, 1, patience
	return []intake.Inspector{
		filter.NewRspamd(rspamd.New(rspamd.Options{Socket: at, Limits: r}), host, s, filter.SpamJunk, quiet()),
		filter.NewMilter(milter.New(milter.Options{Network: "unix", Address: at, Limits: m}), "f", host, s, nil, message.DefaultLimits(), quiet()),
	}
}

func deferred(t *testing.T, what string, i intake.Inspector, f intake.Finding) {
	t.Helper()
	if f.Action != intake.Defer || !strings.HasSuffix(f.Rule, "-crowded") || f.Reply.Code != 451 || f.Reply.Enhanced.Detail != 2 {
		t.Errorf("%s, %s: %+v", i.Name(), what, f)
	}
}

// Whoever takes all our turns at a check does not get others' mail past it; a check that is
// known to be down is another matter.
func TestTurnsThatAreTakenLetNothingPass(t *testing.T) {
	for n := range 2 {
		at, accepted := mute(t)
		i := checks(t, at, 300*time.Millisecond)[n]
		first := make(chan intake.Finding)
		go func() { first <- judge(t, i, gtube("X")) }()
		<-accepted
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		deferred(t, "all turns taken", i, begin(t, i, gtube("X")).Judge(ctx, asContent(gtube("X"))))
		cancel()
		if f := <-first; f.Action != intake.Pass {
			t.Errorf("%s that does not answer: %+v", i.Name(), f)
		}
	}
}

// Without files, neither a connection nor the message can be opened.
func TestALackOfFilesLetsNothingPass(t *testing.T) {
	at, _ := mute(t)
	for _, i := range checks(t, at, time.Second) {
		restore := exhaustFiles(t)
		f := judge(t, i, gtube("X"))
		restore()
		deferred(t, "no files", i, f)
	}
}

// A message that our own disk does not give is not checked, and does not pass.
func TestAMessageThatCannotBeReadDoesNotPass(t *testing.T) {
	at, _ := mute(t)
	broken := errors.New("input/output error")
	for _, open := range []func() (io.Reader, error){
		func() (io.Reader, error) { return nil, broken },
		func() (io.Reader, error) { return iotest.ErrReader(broken), nil },
	} {
		for _, i := range checks(t, at, 300*time.Millisecond) {
			l := begin(t, i, gtube("X"))
			deferred(t, "the message cannot be read", i, l.Judge(t.Context(), intake.Content{Size: int64(len(gtube("X"))), Open: open}))
		}
	}
}

// exhaustFiles lets the process open no more files until it is restored.
func exhaustFiles(t *testing.T) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	f := must[*os.File](t)(os.Open(os.DevNull))
	next := before
	next.Cur = uint64(f.Fd())
	_ = f.Close()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &next); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}
}
