// Package ldaptest serves a small directory (LDAP, RFC 4511) over a real socket, for tests of who
// asks one. It binds, looks at entries by filters, gives lists in pages and refers elsewhere; what it
// answers with a code of a test's own it says as a real one would.
package ldaptest

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	wire "github.com/go-ldap/ldap/v3"
)

// Base is what all entries stand below.
const Base = "dc=local,dc=test"

// Entry is one of the directory: its values by the names of attributes in small letters.
type Entry struct {
	DN     string
	Values map[string][]string
}

// Server is a directory. Its fields may be set before anybody asks, and within Change after that.
type Server struct {
	Addr      netip.AddrPort
	Entries   []Entry
	Passwords map[string]string   // by name
	Barred    map[string]int      // the result of a bind, by name, whatever the password
	Refuse    func(op string) int // the result of "bind", "base", "search" or "page 2" and so on, if not 0; below 0 the connection is closed instead
	Elsewhere []string            // what a search refers to
	Controls  []string            // what it says that it supports

	mu    sync.Mutex
	asked []string
	open  map[net.Conn]bool
}

// Start serves until the test ends.
func Start(t *testing.T) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Addr: netip.MustParseAddrPort(ln.Addr().String()), Passwords: map[string]string{},
		Refuse: func(string) int { return 0 }, open: map[net.Conn]bool{},
	}
	t.Cleanup(func() { _ = ln.Close(); s.Cut() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open[c] = true
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
	return s
}

// Change alters what the directory has while nobody is answered.
func (s *Server) Change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Asked returns what was asked so far, in its order: "bind NAME", "base", "search" and "page N".
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// Cut ends every connection.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close()
	}
	clear(s.open)
}

func (s *Server) serve(c net.Conn) {
	defer c.Close()
	for {
		p, err := ber.ReadPacket(c)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, op := p.Children[0].Value.(int64), p.Children[1]
		s.mu.Lock()
		var out [][]byte
		switch op.Tag {
		case wire.ApplicationBindRequest:
			out = s.bind(id, op)
		case wire.ApplicationSearchRequest:
			out = s.search(id, op, p)
		}
		s.mu.Unlock()
		if out == nil {
			return
		}
		for _, b := range out {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
}

func (s *Server) bind(id int64, op *ber.Packet) [][]byte {
	name, password := op.Children[1].Value.(string), op.Children[2].Data.String()
	s.asked = append(s.asked, "bind "+name)
	code := s.Refuse("bind")
	if code < 0 {
		return nil
	}
	if code == 0 {
		code = s.Barred[name]
	}
	if right, known := s.Passwords[name]; code == 0 && (!known || right != password) {
		code = wire.LDAPResultInvalidCredentials
	}
	return [][]byte{done(id, wire.ApplicationBindResponse, code, nil)}
}

func (s *Server) search(id int64, op, whole *ber.Packet) (out [][]byte) {
	base, scope, limit := op.Children[0].Value.(string), op.Children[1].Value.(int64), int(op.Children[3].Value.(int64))
	if base == "" { // the root of all, which says what the server can do
		return [][]byte{
			entry(id, Entry{"", map[string][]string{"supportedcontrol": s.Controls}}),
			done(id, wire.ApplicationSearchResultDone, 0, nil),
		}
	}
	what := "search"
	if scope == wire.ScopeBaseObject {
		s.asked = append(s.asked, "base")
		return [][]byte{done(id, wire.ApplicationSearchResultDone, s.Refuse("base"), nil)}
	}
	var found []Entry
	for _, e := range s.Entries {
		if strings.HasSuffix(e.DN, base) && passes(op.Children[6], e) {
			found = append(found, e)
		}
	}
	code := 0
	var more wire.Control
	if page := paging(whole); page != nil {
		from, _ := strconv.Atoi(string(page.Cookie))
		what = "page " + strconv.Itoa(from/int(page.PagingSize)+1)
		to := min(len(found), from+int(page.PagingSize))
		next := wire.NewControlPaging(0)
		if to < len(found) {
			next.SetCookie([]byte(strconv.Itoa(to)))
		}
		found, more = found[from:to], next
	}
	s.asked = append(s.asked, what)
	if code = s.Refuse(what); code < 0 {
		return nil
	}
	if code == 0 && limit > 0 && len(found) > limit {
		found, code = found[:limit], wire.LDAPResultSizeLimitExceeded
	}
	for _, e := range found {
		out = append(out, entry(id, e))
	}
	for _, at := range s.Elsewhere {
		r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, wire.ApplicationSearchResultReference, nil, "")
		r.AppendChild(text(at))
		out = append(out, message(id, r).Bytes())
	}
	return append(out, done(id, wire.ApplicationSearchResultDone, code, more))
}

// paging is how a list is asked for in pages; nil: it is not.
func paging(whole *ber.Packet) *wire.ControlPaging {
	if len(whole.Children) < 3 {
		return nil
	}
	for _, c := range whole.Children[2].Children {
		if d, err := wire.DecodeControl(c); err == nil {
			if p, ok := d.(*wire.ControlPaging); ok {
				return p
			}
		}
	}
	return nil
}

// passes compares without regard to capitals, as directories do with addresses.
func passes(f *ber.Packet, e Entry) bool {
	switch f.Tag {
	case wire.FilterAnd:
		for _, c := range f.Children {
			if !passes(c, e) {
				return false
			}
		}
		return true
	case wire.FilterOr:
		for _, c := range f.Children {
			if passes(c, e) {
				return true
			}
		}
		return false
	case wire.FilterPresent:
		return len(e.Values[strings.ToLower(f.Data.String())]) > 0
	case wire.FilterEqualityMatch:
		for _, v := range e.Values[strings.ToLower(f.Children[0].Data.String())] {
			if strings.EqualFold(v, f.Children[1].Data.String()) {
				return true
			}
		}
	}
	return false
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func message(id int64, op *ber.Packet) *ber.Packet {
	p := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	return p
}

func done(id int64, tag ber.Tag, code int, control wire.Control) []byte {
	r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	r.AppendChild(text(""))
	r.AppendChild(text(""))
	p := message(id, r)
	if control != nil {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		all.AppendChild(control.Encode())
		p.AppendChild(all)
	}
	return p.Bytes()
}

func entry(id int64, e Entry) []byte {
	r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, wire.ApplicationSearchResultEntry, nil, "")
	r.AppendChild(text(e.DN))
	all := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	for name, values := range e.Values {
		a := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		a.AppendChild(text(name))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range values {
			set.AppendChild(text(v))
		}
		a.AppendChild(set)
		all.AppendChild(a)
	}
	r.AppendChild(all)
	return message(id, r).Bytes()
}
