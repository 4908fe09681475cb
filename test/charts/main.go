package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"sallyport/test/load/rig"
)

// options are those of the command line.
type options struct {
	out, dir, only string
	most           float64
	messages       int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "charts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	fs := flag.NewFlagSet("charts", flag.ContinueOnError)
	fs.StringVar(&o.out, "out", "docs/charts", "folder of the drawings")
	fs.StringVar(&o.dir, "dir", "", "folder of the servers; empty: a temporary one")
	fs.StringVar(&o.only, "only", "", "the sweeps to make, parted by commas; empty: all")
	fs.Float64Var(&o.most, "most", 1e9, "values of a sweep up to this one")
	fs.IntVar(&o.messages, "messages", 3000, "messages of one measurement, where they are small")
	if err := fs.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "charts")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := rig.Build(ctx, dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	for _, s := range sweeps() {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+s.name+",") {
			continue
		}
		if err := o.make(ctx, binary, filepath.Join(dir, s.name), s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// make makes one sweep, and writes its drawing and its table.
func (o options) make(ctx context.Context, binary, dir string, s sweep) error {
	w, err := begin(ctx, binary, dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w.messages = o.messages
	all, err := s.run(ctx, w, upTo(s.values, o.most))
	if err := errors.Join(err, w.server.Kill()); err != nil {
		return err
	}
	svg, err := drawing(s, all).SVG()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, s.name+".svg"), svg, 0o644); err != nil {
		return err
	}
	fmt.Println(table(s, all))
	return nil
}
