package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/kit/owner"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// operate runs act on the server of a configuration if one runs, else on the data
// folder itself.
func (f configFlag) operate(ctx context.Context, c console, act func(*operate.Client) error) error {
	place, err := config.Locate(f.Config)
	if err != nil {
		return f.asHelper(ctx, act, err)
	}
	client, dialErr := operate.Dial(ctx, place.Socket())
	if dialErr == nil {
		defer client.Close()
		return act(client)
	}
	if errors.Is(dialErr, fs.ErrPermission) {
		return f.asHelper(ctx, act, cannotAsk(place, dialErr))
	}
	if !errors.Is(dialErr, operate.ErrNoServer) {
		return cannotAsk(place, dialErr)
	}
	cfg, err := config.Load(f.Config)
	if err != nil {
		return err
	}
	switch who, err := folderOwner(cfg.Data); {
	case err != nil:
		return err
	case !who.Here() && os.Geteuid() == 0:
		return f.standIn(ctx, c, act)
	case !who.Here():
		return notOurs(cfg.Data, who)
	}
	if err := tellNewFolder(c, cfg.Data); err != nil {
		return err
	}
	n, err := node.Open(ctx, cfg, node.Options{World: node.World{Logger: quiet(c)}, Version: version()})
	if err != nil {
		return openError(cfg, err)
	}
	direct := operate.Direct(n.Operator())
	return errors.Join(act(direct), n.Close())
}

// helpersSocket is where the commands of helpers look for a server whose configuration they
// may not read.
const helpersSocket = "/run/sallyport/helpers.sock"

// asHelper runs act at the helpers' socket, where whoever may not reach the operator's can
// still ask; err is why they may not, and the answer where no such socket may be used.
func (f configFlag) asHelper(ctx context.Context, act func(*operate.Client) error, err error) error {
	path := helpersSocket
	if place, locateErr := config.Locate(f.Config); locateErr == nil {
		path = place.Helpers.Socket
	} else if file, openErr := os.Open(f.Config); openErr == nil {
		return errors.Join(err, file.Close()) // it may be read, and is wrong
	} else if !errors.Is(openErr, fs.ErrPermission) {
		return err
	}
	if path == "" {
		return err
	}
	client, dialErr := operate.Dial(ctx, path)
	switch {
	case errors.Is(dialErr, fs.ErrPermission), errors.Is(dialErr, fs.ErrNotExist):
		return err
	case dialErr != nil:
		return dialErr
	}
	defer client.Close()
	return act(client)
}

// cannotAsk says why a server that runs, or what pretends to be one, is not asked.
func cannotAsk(place config.Config, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("only root and the user whom %s belongs to may do this: %w", place.Data, err)
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

// folderOwner is whose a folder is; one that is not there will be ours.
func folderOwner(dir string) (owner.Owner, error) {
	who, err := owner.Of(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return owner.Owner{UID: os.Geteuid()}, nil
	}
	return who, err
}

// tellNewFolder says that a command of root's makes a data folder of root's: the server's own
// user could not open it, and the disk that holds the real one may only not be mounted.
func tellNewFolder(c console, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := fmt.Fprintf(c.err,
		"sallyport: there was no data folder %s: made one, which belongs to root; if the server runs as another user, give it to that user before it starts (chown -R), and if a disk is missing, mount it first\n",
		dir)
	return err
}

// notOurs refuses to open a folder as somebody else: what is written would belong to the
// wrong user, and the server could not start again. Root becomes the owner instead.
func notOurs(dir string, who owner.Owner) error {
	return fmt.Errorf("%s belongs to %s, and no server runs on it: run this command as that user or as root, such as with: sudo -u %s",
		dir, who.Name, who.Name)
}

// quiet logs only what is wrong.
func quiet(c console) *slog.Logger {
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
