// Command hijackeval replays a log of mail through the server's own detector of
// hijacked accounts, lets thieves in, and prints how many recipients each gets before it
// is contained, and how often honest people are.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"sallyport/internal/hijack"
	"sallyport/internal/hijack/replay"
)

const usage = `hijackeval replays a log of mail through the server's own detector of hijacked accounts,
lets thieves in, and prints how many recipients each gets before it is contained, how often
honest people are, and what fixed limits would have let through.

  go run ./cmd/hijackeval -edges FILE     lines "sender recipient unixtime", one delivery each
  go run ./cmd/hijackeval -people 300     a site that is made up

The same log and seed give the same figures, but for what depends on the machine.

`

type options struct {
	edges, params string
	json, week    bool
	made          replay.Made
	run           replay.Options
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	if err := run(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hijackeval:", err)
		os.Exit(1)
	}
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("hijackeval", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		fmt.Fprint(out, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.edges, "edges", "", "a log to replay; without it a site is made up")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	f.BoolVar(&o.week, "week", false, "also the first week of made-up sites of 50 people without any history")
	f.Uint64Var(&o.run.Seed, "seed", 1, "of all chance")
	f.IntVar(&o.made.People, "people", 300, "of the made-up site")
	f.IntVar(&o.made.Days, "days", 150, "of its life, of which the first ones find no history")
	f.IntVar(&o.run.Victims, "victims", 6, "accounts of each class that thieves get at each moment")
	f.IntVar(&o.run.Waves, "waves", 20, "moments at which thieves come; 0: never")
	f.StringVar(&o.run.Only, "only", "", "only these scenarios, with commas between")
	f.StringVar(&o.params, "params", "", "thresholds to judge by, a JSON file with those that differ from the server's")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.made.People < 1 || o.made.Days < 1 || o.run.Victims < 1 || o.run.Waves < 0 {
		fmt.Fprintln(out, "hijackeval: there are no arguments beside flags, and none of these is below 1 (waves: below 0)")
		return o, errors.New("usage")
	}
	o.made.Seed = o.run.Seed
	return o, nil
}

func run(o options, out io.Writer) error {
	log, err := load(o)
	if err != nil {
		return err
	}
	if o.run.Params, err = params(o.params); err != nil {
		return err
	}
	r := replay.Run(log, o.run)
	if o.week {
		w := replay.FirstWeek(o.run.Params, o.run.Seed)
		r.First = &w
	}
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.Print(out)
}

// params reads thresholds over the server's own.
func params(file string) (hijack.Params, error) {
	p := hijack.DefaultParams()
	if file == "" {
		return p, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%s: %w", file, err)
	}
	return p, p.Validate()
}

func load(o options) ([]replay.Message, error) {
	if o.edges == "" {
		return o.made.Make(), nil
	}
	f, err := os.Open(o.edges)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	log, err := replay.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.edges, err)
	}
	return log, nil
}
