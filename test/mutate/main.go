// Mutate changes one thing at a time in a package and runs the package's own tests
// against it: what no test notices is printed as a survivor, with file and line.
//
//	go run ./test/mutate [flags] ./internal/gate ./internal/sched
//
// Every condition is made always true and always false, each half of && and || is
// dropped, comparisons are moved by one, sums become differences, returned values
// become zero, a returned false becomes true, and statements are taken out. All
// mutants of a package are compiled into one test binary, which takes the number of
// the one that is in force from its environment; each is tried by those tests alone
// that reach its line. Log lines are left as they are. A room with a thousand mutants takes
// an hour; -sample 10 tries a tenth of them, and finds the score within a few percent.
//
// With -wires what the package hands to others is left out instead, one field of a struct of
// theirs at a time: for rooms that build other rooms, of which nothing else is to be tried.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"time"
)

// options is what the flags say.
type options struct {
	parallel int            // how many mutants are tried at a time
	timeout  time.Duration  // how long one mutant's tests may take, at the least
	least    float64        // the score, in percent, below which the command fails
	only     *regexp.Regexp // which file:line to try; nil: every one
	sample   int            // try one in so many
	offset   int            // the first of them: other samples, of the same size, try other mutants
	wires    bool           // try wires instead
}

func main() {
	var o options
	only := flag.String("only", "", "a regular expression of the file:line to try")
	flag.IntVar(&o.parallel, "parallel", 2, "mutants at a time")
	flag.DurationVar(&o.timeout, "timeout", 10*time.Second, "time for one mutant; five times what its tests need, if that is longer")
	flag.Float64Var(&o.least, "least", 0, "fail when a package's score is lower, in percent")
	flag.IntVar(&o.sample, "sample", 1, "try one mutant in so many, spread over the package, and tell of each survivor when it is found")
	flag.IntVar(&o.offset, "offset", 0,
		"begin the sample so many mutants later: 0 to sample-1 share none, so that tests written for one are judged by another")
	flag.BoolVar(&o.wires, "wires", false, "leave out what the package hands to others, one field of a struct at a time, and change nothing else")
	flag.Parse()
	if *only != "" {
		o.only = regexp.MustCompile(*only)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	low := false
	for _, pattern := range flag.Args() {
		score, err := measure(ctx, pattern, o)
		if err != nil {
			fmt.Fprintf(os.Stderr, "mutate: %s: %v\n", pattern, err)
			os.Exit(1)
		}
		low = low || score < o.least
	}
	if low {
		os.Exit(1)
	}
}

// measure tries every mutant of one package and returns the share, in percent, that
// its tests noticed.
func measure(ctx context.Context, pattern string, o options) (float64, error) {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	p, err := load(pattern, o.wires)
	if err != nil {
		return 0, err
	}
	reach, err := coverage(ctx, p, dir)
	if err != nil {
		return 0, err
	}
	binary, err := compile(ctx, p, dir)
	if err != nil {
		return 0, err
	}
	results := try(ctx, p, binary, reach, o)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return report(p, results, time.Since(began)), nil
}

// report prints the survivors and the score.
func report(p *source, results []result, took time.Duration) float64 {
	slices.SortFunc(results, func(a, b result) int {
		return cmp.Or(cmp.Compare(a.site.file.name, b.site.file.name), cmp.Compare(a.site.line, b.site.line),
			cmp.Compare(a.site.id, b.site.id))
	})
	killed, slow := 0, 0
	for _, r := range results {
		switch r.verdict {
		case survived:
			fmt.Printf("%s:%d: %s: survived\n", r.site.file.name, r.site.line, r.site.what)
		case unreached:
			fmt.Printf("%s:%d: %s: no test comes here\n", r.site.file.name, r.site.line, r.site.what)
		case hung:
			slow++
			killed++
		case noticed:
			killed++
		}
	}
	score := 100.0
	if len(results) > 0 {
		score = 100 * float64(killed) / float64(len(results))
	}
	fmt.Printf("%s: %d of %d mutants noticed, %.1f %% (%d by their time; %d left out, since they don't compile; %v)\n",
		p.path, killed, len(results), score, slow, p.dropped, took.Round(time.Second))
	return score
}
