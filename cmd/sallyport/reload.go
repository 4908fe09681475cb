package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

type reloadCommand struct {
	configFlag
	jsonFlag
}

// Help says what a reload does and does not.
func (reloadCommand) Help() string {
	return `Makes the running server read its configuration again, as SIGHUP does. A faulty one changes
nothing, and every fault is told. A good one is in force when the command returns, for the next
connection, the next transaction and the next delivery; nothing that is under way is cut. Keys that
need a restart are named, and keep their former values until then.

Examples:
  sallyport reload -c /etc/sallyport/sallyport.toml
  sallyport reload --json                           one object: changed, restart, faults`
}

// Run asks the server, and tells what became of it.
func (r reloadCommand) Run(ctx context.Context, c console) error {
	place, err := config.Locate(r.Config)
	if err != nil {
		return err
	}
	client, err := operate.Dial(ctx, place.Socket())
	switch {
	case errors.Is(err, operate.ErrNoServer):
		return fmt.Errorf("no server runs on %s; it reads its configuration when it starts", place.Data)
	case err != nil:
		return cannotAsk(place, err)
	}
	defer client.Close()
	answer, err := client.Reload(ctx)
	if err != nil {
		return err
	}
	if r.JSON {
		if err := printJSON(c.out, answer); err != nil {
			return err
		}
	} else {
		tellReload(c, answer)
	}
	if len(answer.Faults) > 0 {
		return errSilent
	}
	return nil
}

func tellReload(c console, a operate.Reloaded) {
	for _, f := range a.Faults {
		fmt.Fprintf(c.err, "%s\n%s", f.Line(), f.Excerpt)
	}
	if len(a.Faults) > 0 {
		fmt.Fprintf(c.err, "sallyport: nothing was changed: configuration %d stays in force\n", a.Generation)
		return
	}
	for _, k := range a.Changed {
		c.printf("changed        %s\n", k.Key)
	}
	for _, k := range a.Restart {
		c.printf("needs restart  %s (%s): %s\n", k.Key, k.Position, k.Why)
	}
	for _, w := range a.Warnings {
		fmt.Fprintf(c.err, "sallyport: warning: %s\n", w)
	}
	c.printf("configuration %d is in force\n", a.Generation)
}

// reloadOnSignal reloads at each SIGHUP until ctx ends. What becomes of it is in the
// log.
func reloadOnSignal(ctx context.Context, n *node.Node) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	inner, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		for {
			select {
			case <-inner.Done():
				return
			case <-signals:
				// Its error can only be that the server does not serve yet, or not any more.
				_, _ = n.Reload(context.WithoutCancel(inner), "SIGHUP")
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		cancel()
		<-done
	}
}
