package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/kit/listen"
	"sallyport/internal/node"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// handedOver takes the sockets that systemd opened for this process: none where it was
// started in another way. The name of each is its door.
func handedOver() ([]listen.Socket, error) {
	var sockets []listen.Socket
	for name, files := range activation.FilesWithNames() {
		if doors := socketDoors(); !slices.Contains(doors, name) {
			return nil, fmt.Errorf("systemd handed over a socket named %q: FileDescriptorName= of a socket unit must be one of %s",
				name, strings.Join(doors, ", "))
		}
		for _, f := range files {
			ln, err := net.FileListener(f)
			if err != nil {
				return nil, fmt.Errorf("the socket that systemd handed over for %s cannot be used: %w", name, err)
			}
			_ = f.Close() // the listener has its own
			sockets = append(sockets, listen.Socket{Service: name, Listener: ln})
		}
	}
	return sockets, nil
}

// socketDoors are the doors that systemd may open.
func socketDoors() (all []string) {
	for _, door := range (config.Listen{}).Doors() {
		all = append(all, door.Name)
	}
	return append(all, "acme", "https")
}

// aliveTime is how long the store may take to answer before the server counts as
// stuck.
const aliveTime = 10 * time.Second

// tellSupervisor tells systemd that the server is ready, that it lives, and when it
// begins to stop; without systemd it does nothing. stop ends it.
func tellSupervisor(ctx context.Context, n *node.Node, log *slog.Logger) (stop func()) {
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd was not told", "err", err)
		}
	}
	inner, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	notify(daemon.SdNotifyReady)
	go func() {
		defer close(done)
		every, err := daemon.SdWatchdogEnabled(false)
		if err != nil || every <= 0 {
			every = 0
			<-inner.Done()
		}
		for every > 0 && inner.Err() == nil {
			if n.Alive(inner, aliveTime) {
				notify(daemon.SdNotifyWatchdog)
			}
			select {
			case <-inner.Done():
			case <-time.After(every / 3):
			}
		}
		notify(daemon.SdNotifyStopping)
	}()
	return func() {
		cancel()
		<-done
	}
}
