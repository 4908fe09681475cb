// Package dnstest is a DNS server for tests: on loopback, over UDP and TCP at one
// port, as honest or hostile as its script.
package dnstest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Script answers a question that came over a network, "udp" or "tcp", with messages
// as they go over the wire: none for silence. It runs for many questions at once.
type Script func(network string, q *dns.Msg) [][]byte

// Server is a server that runs until its test ends.
type Server struct {
	Addr netip.AddrPort

	mu    sync.Mutex
	asked map[string]int
}

// Serve starts a server.
func Serve(t testing.TB, play Script) *Server {
	t.Helper()
	ln, pc, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: netip.MustParseAddrPort(ln.Addr().String()), asked: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(func() { s.packets(&wg, pc, play) })
	wg.Go(func() { s.streams(&wg, ln, play) })
	t.Cleanup(func() { _, _ = pc.Close(), ln.Close(); wg.Wait() })
	return s
}

// listens is how many ports Listen tries.
const listens = 20

// Listen binds one free port of loopback for both transports. One that is free for TCP
// may be another's for UDP, so several are tried.
func Listen() (ln net.Listener, pc net.PacketConn, err error) {
	for range listens {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		if pc, err = net.ListenPacket("udp", ln.Addr().String()); err == nil {
			return ln, pc, nil
		}
		_ = ln.Close() // nobody knows of it
	}
	return nil, nil, err
}

// Asked returns how many questions came whose text ("MX x.test." and "udp MX x.test.")
// begins with one of these; without any, how many came at all.
func (s *Server) Asked(begins ...string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for question, times := range s.asked {
		match := len(begins) == 0
		for _, b := range begins {
			_, bare, _ := strings.Cut(question, " ")
			match = match || strings.HasPrefix(question, b) || strings.HasPrefix(bare, b)
		}
		if match {
			n += times
		}
	}
	return n
}

// Below returns how many questions came for a name, given without the last dot, or
// names below it.
func (s *Server) Below(name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for question, times := range s.asked {
		asked := question[strings.LastIndexByte(question, ' ')+1:]
		if asked == name+"." || strings.HasSuffix(asked, "."+name+".") {
			n += times
		}
	}
	return n
}

func (s *Server) note(network string, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range q.Question {
		s.asked[fmt.Sprintf("%s %s %s", network, dns.TypeToString[one.Qtype], one.Name)]++
	}
}

func (s *Server) packets(wg *sync.WaitGroup, pc net.PacketConn, play Script) {
	for {
		buf := make([]byte, 4096)
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if q.Unpack(buf[:n]) != nil {
			continue
		}
		s.note("udp", q)
		wg.Go(func() {
			for _, wire := range play("udp", q) {
				_, _ = pc.WriteTo(wire, from)
			}
		})
	}
}

func (s *Server) streams(wg *sync.WaitGroup, ln net.Listener, play Script) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { s.stream(nc, play) })
	}
}

func (s *Server) stream(nc net.Conn, play Script) {
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	var length [2]byte
	if _, err := io.ReadFull(nc, length[:]); err != nil {
		return
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(nc, buf); err != nil {
		return
	}
	q := new(dns.Msg)
	if q.Unpack(buf) != nil {
		return
	}
	s.note("tcp", q)
	for _, wire := range play("tcp", q) {
		_, _ = nc.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...))
	}
	_, _ = io.Copy(io.Discard, nc) // until the client goes
}
