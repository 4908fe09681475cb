package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"sallyport/test/load/rig"
)

// options are the flags of the command.
type options struct {
	messages int    // of one measurement
	rounds   int    // how often each measurement is repeated
	clients  int    // at the same time
	size     int    // octets of a message
	plain    int    // idle connections in clear
	secured  int    // idle connections under TLS
	server   string // path of the sallyport binary; empty: build it
	dir      string // where the servers keep their data; empty: the system's temporary folder
	json     bool
	beside   string // who is measured beside sallyport
	peers    string // where Exim, OpenSMTPD and Haraka are unpacked
	floor    string // path of the program test/bench/floor; empty: build it
	part     string // of the run: figures, syncs, idle, counting; empty: all

	reading bool   // measure mailboxes, beside Dovecot
	only    string // of those tasks or scenarios alone whose names hold it
	huge    int    // messages of the longest folder
	idlers  int    // clients that idle
	notices int    // messages that an idler is told of
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == apartMark {
		status, err := keepApart(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		os.Exit(status)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.messages, "messages", 2000, "messages of one measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each measurement is repeated; figures are medians")
	flag.IntVar(&o.clients, "clients", 20, "clients at the same time")
	flag.IntVar(&o.size, "size", 10240, "octets of a message")
	flag.IntVar(&o.plain, "idle", 1000, "idle connections in clear, for the memory of one")
	flag.IntVar(&o.secured, "idle-tls", 500, "idle connections under TLS, for the memory of one")
	flag.StringVar(&o.server, "server", "", "sallyport `binary` to measure; empty: build it")
	flag.StringVar(&o.dir, "dir", "", "`folder` for the data of both servers; its disk is what is measured")
	flag.BoolVar(&o.json, "json", false, "print every sample as JSON instead of the tables")
	flag.StringVar(&o.beside, "beside", "floor,postfix,exim,opensmtpd,haraka", "`servers` that are measured beside sallyport")
	flag.StringVar(&o.peers, "peers", "bin/peers", "`folder` in which Exim, OpenSMTPD and Haraka are unpacked")
	flag.StringVar(&o.floor, "floor", "", "the program test/bench/floor; empty: build it")
	flag.StringVar(&o.part, "part", "", "one part of the run alone: figures, syncs, counting or idle")
	flag.BoolVar(&o.reading, "imap", false, "measure how mailboxes are read, beside Dovecot on the same Maildir")
	flag.StringVar(&o.only, "only", "", "the scenarios, or with -imap the tasks, whose names hold this `text`")
	flag.IntVar(&o.huge, "huge", 200_000, "with -imap: messages of the longest folder; 0: none")
	flag.IntVar(&o.idlers, "idlers", 2000, "with -imap: clients that idle; 0: none")
	flag.IntVar(&o.notices, "notices", 500, "with -imap: messages that an idler is told of; 0: none")
	flag.Parse()
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// check refuses what can't be measured, before anything is started.
func (o options) check() error {
	if o.messages < o.clients || o.rounds < 1 || o.clients < 1 || o.size < 1024 || o.plain < 1 || o.secured < 1 {
		return errors.New("needs at least one round, one client, a message for each client, 1024 octets and one idle connection of each kind")
	}
	if os.Geteuid() != 0 {
		return errors.New("Postfix's master and Dovecot's start as root only: run scripts/bench, which asks sudo")
	}
	if o.reading {
		return nil
	}
	if !slices.Contains([]string{"", partFigures, partSyncs, partCounting, partIdle}, o.part) {
		return fmt.Errorf("-part %s: there are %s, %s, %s and %s", o.part, partFigures, partSyncs, partCounting, partIdle)
	}
	if _, err := exec.LookPath(sourceCommand); err != nil {
		return fmt.Errorf("%w: run ./scripts/install-test-tools", err)
	}
	cs, err := chosen(o)
	if err != nil {
		return err
	}
	return require(o, cs)
}

// run measures everything and prints the result.
func run(ctx context.Context, o options, out, progress io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "sallyport-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// Postfix's processes run as another user and must reach their files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if o.server == "" {
		if o.server, err = rig.Build(ctx, dir); err != nil {
			return err
		}
	}
	if o.server, err = filepath.Abs(o.server); err != nil {
		return err
	}
	if o.reading {
		return measureReading(ctx, o, dir, out, progress)
	}
	if o.floor == "" {
		o.floor = filepath.Join(dir, "floor")
		if text, err := exec.CommandContext(ctx, "go", "build", "-o", o.floor, "sallyport/test/bench/floor").CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w: %s", err, text)
		}
	}
	if o.peers, err = filepath.Abs(o.peers); err != nil {
		return err
	}
	r, err := measureAll(ctx, o, dir, progress)
	if err != nil {
		return err
	}
	if o.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "\t")
		return enc.Encode(r)
	}
	_, err = io.WriteString(out, r.markdown())
	return err
}

// The parts of a run.
const (
	partFigures  = "figures"
	partSyncs    = "syncs"
	partCounting = "counting"
	partIdle     = "idle"
)

// measureAll measures what was asked for.
func measureAll(ctx context.Context, o options, dir string, progress io.Writer) (r result, err error) {
	r.Options = reported(o)
	b := bench{o: o, dir: dir, progress: progress}
	if b.contenders, err = chosen(o); err != nil {
		return r, err
	}
	if r.Machine, err = inspect(dir); err != nil {
		return r, err
	}
	if r.Versions, err = versions(o, b.contenders); err != nil {
		return r, err
	}
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{partFigures, func() error { r.Samples, err = b.all(ctx); return err }},
		{partSyncs, func() error { r.Syncs, err = b.syncs(ctx); return err }},
		{partCounting, func() error { r.Countings, err = b.countings(ctx); return err }},
		{partIdle, func() error { r.Idle, err = b.idle(ctx); return err }},
	} {
		if o.part != "" && o.part != part.name {
			continue
		}
		if err := part.do(); err != nil {
			return r, err
		}
	}
	return r, nil
}
