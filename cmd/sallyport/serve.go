package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/kit/owner"
	"sallyport/internal/kit/processors"
	"sallyport/internal/node"
	"sallyport/internal/node/doors"
	"sallyport/internal/node/identity"
	"sallyport/internal/operate"
)

type serveCommand struct {
	configFlag
	LogFormat string `enum:"auto,text,json" default:"auto" help:"How to log: text, json, or auto, which is text on a terminal (default: auto)."`
	LogLevel  string `enum:"debug,info,warn,error" default:"info" help:"What to log: debug, info, warn or error (default: info)."`
	Paused    bool   `help:"Accept and queue mail, but deliver none until started again without this."`
}

// Help says how it starts and stops.
func (serveCommand) Help() string {
	return `Runs in the foreground and logs to standard error. SIGINT and SIGTERM stop it in order: sessions
and deliveries in progress may finish, everything accepted stays queued. A second one does not wait.
SIGHUP makes it read its configuration again, as the command reload does.

Example:
  sallyport serve -c /etc/sallyport/sallyport.toml`
}

// Run serves until it is stopped.
func (s serveCommand) Run(ctx context.Context, c console) error {
	cfg, err := config.Load(s.Config)
	if err != nil {
		return err
	}
	log, err := s.logger(c)
	if err != nil {
		return err
	}
	sockets, err := handedOver()
	if err != nil {
		return err
	}
	o := node.Options{World: node.World{Logger: log, Commands: commandsFor(cfg.File)}, Version: version(), Paused: s.Paused, Sockets: sockets}
	if err := asOwner(ctx, cfg, &o); err != nil {
		return err
	}
	return serve(ctx, cfg, o, func(n *node.Node) error {
		at := n.Addrs()
		log.Info("serving", "hostname", cfg.Hostname.ASCII(), "mx", at.MX, "submission", at.Submission,
			"submissions", at.Submissions, "imap", at.IMAP, "imaps", at.IMAPS, "pop3", at.POP3,
			"pop3s", at.POP3S, "paused", s.Paused)
		return nil
	})
}

// asOwner makes a server that root starts the owner's of the data folder. What root alone
// may do comes before: the ports below 1024 are bound, the certificate is read, and the
// folder of the sendmail socket is made.
func asOwner(ctx context.Context, cfg config.Config, o *node.Options) error {
	who, err := folderOwner(cfg.Data)
	switch {
	case err != nil:
		return err
	case who.Here():
		return nil
	case os.Geteuid() != 0:
		return notOurs(cfg.Data, who)
	}
	if client, err := operate.Dial(ctx, cfg.Socket()); err == nil {
		client.Close()
		return alreadyRunning(cfg)
	}
	if err := errors.Join(socketFolder(cfg.Sendmail.Socket, who), socketFolder(cfg.Helpers.Socket, who), socketFolder(cfg.CheckPassword.Socket, who)); err != nil {
		return err
	}
	o.Certificate = identity.Read(cfg)
	if len(o.Sockets) == 0 {
		if o.Early, err = doors.Early(ctx, cfg); err != nil {
			return bindError(err)
		}
	}
	if err := errors.Join(who.Become(), who.Reach(cfg.Data)); err != nil {
		return err
	}
	o.Logger.Info("started by root, and goes on as the owner of the data folder", "user", who.Name, "path", cfg.Data)
	for _, path := range []string{cfg.File, cfg.TLS.Cert, cfg.TLS.Key} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrPermission) {
			o.Logger.Warn("the owner of the data folder may not read this file: a change of it counts from the next start, and a reload fails",
				"path", path)
		} else if err == nil {
			_ = f.Close()
		}
	}
	return nil
}

// socketFolder makes the folder of a socket, which in /run is gone after each start of the
// host; systemd makes it for its service.
func socketFolder(socket string, who owner.Owner) error {
	if socket == "" {
		return nil
	}
	dir := filepath.Dir(socket)
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = os.Chown(dir, who.UID, who.GID)
	}
	return err
}

func alreadyRunning(cfg config.Config) error {
	return fmt.Errorf("a server is already running on %s", cfg.Data)
}

func (s serveCommand) logger(c console) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: level}
	f, isFile := fileOf(c.err)
	if s.LogFormat == "json" || s.LogFormat == "auto" && !(isFile && isTerminal(f)) {
		return slog.New(slog.NewJSONHandler(c.err, o)), nil
	}
	return slog.New(slog.NewTextHandler(c.err, o)), nil
}

// serve opens a node, binds its listeners, calls ready, and serves until ctx ends.
func serve(ctx context.Context, cfg config.Config, o node.Options, ready func(*node.Node) error) error {
	if client, err := operate.Dial(ctx, cfg.Socket()); err == nil {
		client.Close()
		return alreadyRunning(cfg)
	}
	o.Processors = processors.Own()
	n, err := node.Open(ctx, cfg, o)
	if err != nil {
		return openError(cfg, err)
	}
	if err := n.Listen(ctx); err != nil {
		return errors.Join(bindError(err), n.Close())
	}
	if err := ready(n); err != nil {
		return errors.Join(err, n.Close())
	}
	stop := reloadOnSignal(ctx, n)
	tell := tellSupervisor(ctx, n, o.Logger)
	quiet := context.AfterFunc(ctx, func() {
		o.Logger.Info("stopping", "hint", "what is under way may finish; everything accepted stays queued",
			"limit", cfg.Limits.ShutdownGrace.String())
	})
	err = n.Serve(ctx)
	quiet()
	tell()
	stop()
	err = errors.Join(err, n.Close())
	if err == nil {
		o.Logger.Info("stopped", "hostname", cfg.Hostname.ASCII())
	}
	return err
}

// bindError says what to do about an address that cannot be bound.
func bindError(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another program listens there: stop it, or choose another port", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w; this host has no such address", err)
	}
	return err
}

// happening prints facts as lines while they happen.
func happening(c console) func(fact.Fact) {
	return func(f fact.Fact) {
		f.At, f.Until = f.At.Local(), f.Until.Local()
		if brief := f.Brief(); brief != "" {
			c.printf("%s\n", brief)
		}
	}
}
