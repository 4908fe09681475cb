// Command floor is the least that a receiver of mail can do and still keep the promise of
// its 250: it reads SMTP, appends each message to one log, syncs the log for all that wait
// at once, and answers. It checks nothing, knows nobody and delivers nothing; it is no mail
// server.
//
// The benchmark measures it beside real ones, so that their figures can be told in floors:
// what a server costs beyond the sockets and the disk that nobody goes without.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	addr := flag.String("addr", "127.0.0.1:2599", "`host:port` to listen on")
	path := flag.String("log", "floor.log", "`file` that takes the messages; it is emptied first")
	flag.Parse()
	if err := run(ctx, *addr, *path); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		stop()
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, addr, path string) (err error) {
	l, err := create(path)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return errors.Join(err, l.close())
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil {
			return nil // what was answered is synced, and nothing else was promised
		}
		if err != nil {
			return errors.Join(err, ln.Close())
		}
		go serve(c, l)
	}
}
