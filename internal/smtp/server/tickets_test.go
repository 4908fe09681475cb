package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"testing"
)

// serveKinds runs the doors of kinds on real sockets.
func serveKinds(t *testing.T, d *Doors, kinds ...Kind) map[Kind]string {
	t.Helper()
	addrs := map[Kind]string{}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for _, k := range kinds {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		addrs[k] = ln.Addr().String()
		go d.Of(k).Serve(ctx, ln)
	}
	return addrs
}

// resumes says whether a connection to a door resumes a session of the cache, and leaves
// a new ticket in it.
func resumes(t *testing.T, k Kind, addr string, client *tls.Config) bool {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	must(t, err)
	defer raw.Close()
	d := &dialogue{t: t, raw: raw, nc: raw, br: bufio.NewReader(raw)}
	if k != KindSubmissions {
		d.steps("S: 220\nC: EHLO x.test\nS: 250\nC: STARTTLS\nS: 220")
	}
	nc := tls.Client(raw, client)
	must(t, nc.Handshake())
	d.nc, d.br = nc, bufio.NewReader(nc)
	if k == KindSubmissions {
		d.steps("S: 220")
	}
	d.steps("C: EHLO x.test\nS: 250\nC: QUIT\nS: 221") // tickets of TLS 1.3 come behind the handshake
	return nc.ConnectionState().DidResume
}

// used makes a server's configuration have keys for tickets.
func used(t *testing.T, server, client *tls.Config) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	must(t, err)
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			nc.Write([]byte("x"))
			nc.Close()
		}
	}()
	nc, err := tls.Dial("tcp", ln.Addr().String(), client)
	must(t, err)
	_, err = nc.Read(make([]byte, 1))
	must(t, err)
	nc.Close()
}

// A TLS session resumes at the door where it began, at no other, and also after a reload
// that leaves the certificate as it is.
func TestTicketsResumeAtTheirDoorAlone(t *testing.T) {
	kinds := []Kind{KindMX, KindSubmission, KindSubmissions}
	cfg, client := withTLS(t, testConfig(KindMX))
	d := NewDoors(&memory{auth: true})
	used(t, cfg.TLS, client) // by another server of ours: its keys are not for the doors
	use := func(c Config) {
		t.Helper()
		change, err := d.Build(c, kinds...)
		must(t, err)
		change.Adopt()
	}
	use(cfg)
	addrs := serveKinds(t, d, kinds...)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, first := range kinds {
			for _, second := range kinds {
				c := client.Clone()
				c.MinVersion, c.MaxVersion, c.ClientSessionCache = version, version, tls.NewLRUClientSessionCache(4)
				resumes(t, first, addrs[first], c)
				if got := resumes(t, second, addrs[second], c); got != (first == second) {
					t.Errorf("%s: a ticket of %v resumes at %v: %v", tls.VersionName(version), first, second, got)
				}
			}
		}
	}

	held := client.Clone()
	held.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	resumes(t, KindSubmission, addrs[KindSubmission], held)
	cfg.Notice = "another"
	use(cfg)
	if !resumes(t, KindSubmission, addrs[KindSubmission], held) {
		t.Error("a reload without another certificate drops the tickets of clients")
	}
	cfg.TLS = cfg.TLS.Clone()
	use(cfg)
	if resumes(t, KindSubmission, addrs[KindSubmission], held) {
		t.Error("a ticket outlives its TLS configuration")
	}
	cfg.TLS = nil
	change, err := d.Build(cfg, KindMX)
	must(t, err)
	change.Adopt()
	if got := d.Of(KindMX).Config().TLS; got != nil {
		t.Errorf("a door without TLS has %v", got)
	}
}
