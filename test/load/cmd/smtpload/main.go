// Command smtpload sends mail as fast as a server takes it, or receives it as fast
// as a server sends it, and prints what came of it as one line of JSON.
//
//	smtpload send -addr 127.0.0.1:2465 -tls implicit -ca ca.pem -user a@x -password p ...
//	smtpload sink -listen 127.0.0.1:2626
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"sallyport/test/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := errors.New("usage: smtpload send|sink [flags]; smtpload send -h lists them")
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "send":
			err = send(ctx, os.Args[2:])
		case "sink":
			err = sink(ctx, os.Args[2:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "smtpload:", err)
		os.Exit(1)
	}
}

// flags of send that are not options as they stand.
type sendFlags struct {
	addr, to, tls, ca, name, acked string
}

func send(ctx context.Context, args []string) error {
	var o load.Options
	var f sendFlags
	fs := flag.NewFlagSet("send", flag.ExitOnError)
	fs.StringVar(&f.addr, "addr", "127.0.0.1:2525", "server, host:port")
	fs.IntVar(&o.Connections, "conns", 20, "connections at the same time")
	fs.IntVar(&o.Messages, "messages", 1000, "messages in all")
	fs.IntVar(&o.Size, "size", 10240, "octets of a message")
	fs.StringVar(&o.From, "from", "load@remote.test", "envelope sender")
	fs.StringVar(&f.to, "to", "", "recipients, parted by commas, taken in turn")
	fs.StringVar(&o.User, "user", "", "account to sign in as; empty: none")
	fs.StringVar(&o.Password, "password", "", "its password")
	fs.StringVar(&f.tls, "tls", "none", "none, starttls or implicit")
	fs.StringVar(&f.ca, "ca", "", "PEM file of the authority that signed the server's certificate")
	fs.StringVar(&f.name, "name", "localhost", "name in the server's certificate")
	fs.IntVar(&o.PerConn, "per-conn", 0, "messages per connection; 0: keep it")
	fs.BoolVar(&o.Pipelining, "pipelining", true, "send MAIL, RCPT and DATA at once")
	fs.StringVar(&o.Prefix, "prefix", fmt.Sprintf("load-%d", time.Now().UnixNano()), "of the identifiers")
	fs.DurationVar(&o.Patience, "patience", 0, "how long to wait for a server that has gone")
	fs.StringVar(&f.acked, "acked", "", "file that receives the acknowledged identifiers")
	if err := fs.Parse(args); err != nil {
		return err
	}
	closeAcked, err := f.apply(&o)
	if err != nil {
		return err
	}
	rep, err := load.Run(ctx, o)
	return errors.Join(json.NewEncoder(os.Stdout).Encode(rep), err, closeAcked())
}

// apply turns the flags into options.
func (f sendFlags) apply(o *load.Options) (closeAcked func() error, err error) {
	closeAcked = func() error { return nil }
	o.Addr = func() string { return f.addr }
	if f.to == "" {
		return closeAcked, errors.New("-to is missing")
	}
	o.To = strings.Split(f.to, ",")
	switch f.tls {
	case "none":
		o.Security = load.Clear
	case "starttls":
		o.Security = load.StartTLS
	case "implicit":
		o.Security = load.Implicit
	default:
		return closeAcked, fmt.Errorf("-tls %q is none of none, starttls, implicit", f.tls)
	}
	if o.Security != load.Clear {
		if o.TLS, err = f.tlsConfig(); err != nil {
			return closeAcked, err
		}
	}
	if f.acked == "" {
		return closeAcked, nil
	}
	file, err := os.OpenFile(f.acked, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return closeAcked, err
	}
	o.Acked = io.Writer(file)
	return file.Close, nil
}

func (f sendFlags) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{ServerName: f.name, MinVersion: tls.VersionTLS12}
	if f.ca == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, err
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", f.ca)
	}
	return cfg, nil
}

// sink receives until it is interrupted, then prints its counts.
func sink(ctx context.Context, args []string) error {
	var o load.SinkOptions
	fs := flag.NewFlagSet("sink", flag.ExitOnError)
	fs.StringVar(&o.Listen, "listen", "127.0.0.1:2626", "address")
	fs.BoolVar(&o.Chunking, "chunking", false, "offer CHUNKING")
	every := fs.Duration("every", 0, "print the counts this often as well")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s, err := load.NewSink(o)
	if err != nil {
		return err
	}
	for *every > 0 && ctx.Err() == nil {
		select {
		case <-time.After(*every):
			printCounts(s)
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	printCounts(s)
	return s.Close()
}

func printCounts(s *load.Sink) {
	ids := s.IDs()
	repeated := 0
	for _, n := range ids {
		repeated += n - 1
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"connections": s.Connections(), "messages": s.Messages(),
		"ids": len(ids), "repeated": repeated, "faults": s.Faults(),
	})
}
