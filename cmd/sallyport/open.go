package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// operate runs act on the server of a configuration if one runs, else on the data
// folder itself.
func (f configFlag) operate(ctx context.Context, c console, act func(*operate.Client) error) error {
	place, err := config.Locate(f.Config)
	if err != nil {
		return err
	}
	client, dialErr := operate.Dial(ctx, place.Socket())
	if dialErr == nil {
		defer client.Close()
		return act(client)
	}
	if !errors.Is(dialErr, operate.ErrNoServer) {
		return cannotAsk(place, dialErr)
	}
	cfg, err := config.Load(f.Config)
	if err != nil {
		return err
	}
	if err := ownFolder(cfg.Data); err != nil {
		return err
	}
	n, err := node.Open(ctx, cfg, node.Options{Logger: quiet(c), Version: version()})
	if err != nil {
		return openError(cfg, err)
	}
	direct := operate.Direct(n.Operator())
	return errors.Join(act(direct), n.Close())
}

// cannotAsk says why a server that runs, or what pretends to be one, is not asked.
func cannotAsk(place config.Config, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("a server runs on %s, and only root and its own user may speak to it: %w", place.Data, err)
	}
	return err
}

// openError says what to do about a data folder that cannot be opened.
func openError(cfg config.Config, err error) error {
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("another process has %s open, and there is no answer at %s; if a server is just starting or stopping, try again in a moment: %w",
			cfg.Data, cfg.Socket(), err)
	}
	return err
}

// ownFolder refuses to open a data folder as somebody else, root most of all: what
// is written would belong to the wrong user, and the server could not start again.
func ownFolder(data string) error {
	info, err := os.Stat(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	name := strconv.Itoa(int(stat.Uid))
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Errorf("%s belongs to %s, and no server runs on it: run this command as that user, such as with: sudo -u %s", data, name, name)
}

// quiet logs only what is wrong.
func quiet(c console) *slog.Logger {
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
