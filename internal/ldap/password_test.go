package ldap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
)

// What Active Directory says beside result 49, by its documentation.
func TestWhatIsSaidBesideResult49(t *testing.T) {
	for data, want := range map[string]Word{"52e": WordWrong, "525": WordWrong, "530": WordClosed, "531": WordClosed, "532": WordExpired, "533": WordClosed, "701": WordClosed, "773": WordMustChange, "775": WordLocked, "0": WordWrong} {
		text := "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data " + data + ", v2580"
		err := failed(Server{}, StepPassword, &wire.Error{ResultCode: 49, Err: errors.New(text)})
		if got := judge(nil, err); got.Word != want {
			t.Errorf("%s: %+v", data, got)
		}
		// The same text beside another result says nothing.
		if got := judge(nil, failed(Server{}, StepPassword, &wire.Error{ResultCode: 53, Err: errors.New(text)})); got.Word != WordNone {
			t.Errorf("%s beside 53: %+v", data, got)
		}
	}
	for code := range uint16(300) {
		got := judge(nil, failed(Server{}, StepPassword, &wire.Error{ResultCode: code, Err: errors.New("")}))
		if want := map[bool]Word{true: WordWrong}[code == 49]; got.Word != want {
			t.Errorf("result %d: %+v", code, got)
		}
	}
	if got := judge(nil, failed(Server{}, StepPassword, errors.New("cut"))); got.Word != WordNone {
		t.Errorf("%+v", got)
	}
}

// answering is a directory that does with each question what a test says; it counts connections.
func answering(t *testing.T, answer func(c net.Conn, id int64)) (d *Directory, connections func() int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	accepted := make(chan struct{}, 1000)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- struct{}{}
			go func() {
				defer c.Close()
				for {
					p, err := ber.ReadPacket(c)
					if err != nil || len(p.Children) < 2 {
						return
					}
					answer(c, p.Children[0].Value.(int64))
				}
			}()
		}
	}()
	domain, err := mail.ParseDomain("local.test")
	if err != nil {
		t.Fatal(err)
	}
	base, err := terms.ParseDN("dc=local,dc=test")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(ln.Addr().String())
	d, err = New(Options{Servers: []Server{{at.Addr().String(), at.Port(), SecurityNone}}, Base: base, Filter: terms.Present("objectClass"), Address: "mail", Domains: []mail.Domain{domain}, Limits: Limits{Timeout: 300 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, func() int { return len(accepted) }
}

// bindResult is the answer to a bind.
func bindResult(id int64, code int64) []byte {
	p := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, wire.ApplicationBindResponse, nil, "")
	r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	r.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	r.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	p.AppendChild(r)
	return p.Bytes()
}

// A connection lives on after 0 and 49 alone; what is late, cut or anything else ends it, and
// what it brings later is nobody's answer.
func TestWhatEndsAConnection(t *testing.T) {
	who, err := terms.ParseDN("cn=a,dc=local,dc=test")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer func(c net.Conn, id int64)
		want   Word
		alive  bool
	}{
		"right":     {func(c net.Conn, id int64) { _, _ = c.Write(bindResult(id, 0)) }, WordRight, true},
		"wrong":     {func(c net.Conn, id int64) { _, _ = c.Write(bindResult(id, 49)) }, WordWrong, true},
		"busy":      {func(c net.Conn, id int64) { _, _ = c.Write(bindResult(id, 51)) }, WordNone, false},
		"refuses":   {func(c net.Conn, id int64) { _, _ = c.Write(bindResult(id, 53)) }, WordNone, false},
		"referral":  {func(c net.Conn, id int64) { _, _ = c.Write(bindResult(id, 10)) }, WordNone, false},
		"cut":       {func(c net.Conn, id int64) { _, _ = c.Write(bindResult(id, 49)[:8]); _ = c.Close() }, WordNone, false},
		"closed":    {func(c net.Conn, id int64) { _ = c.Close() }, WordNone, false},
		"rubbish":   {func(c net.Conn, id int64) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, WordNone, false},
		"late":      {func(c net.Conn, id int64) { time.Sleep(600 * time.Millisecond); _, _ = c.Write(bindResult(id, 0)) }, WordNone, false},
		"another's": {func(c net.Conn, id int64) { _, _ = c.Write(bindResult(id+1, 0)) }, WordNone, false},
		"endless": {func(c net.Conn, id int64) {
			_, _ = c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0})
		}, WordNone, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, connections := answering(t, c.answer)
			for range 3 {
				a, err := d.CheckPassword(context.Background(), who, "x")
				if a.Word != c.want || (err == nil) != (c.want != WordNone) {
					t.Errorf("%+v, %v", a, err)
				}
			}
			if n := connections(); (n == 1) != c.alive {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// Neither an empty name nor an empty password reaches a directory: it would let both in.
func TestNobodyIsAskedAbout(t *testing.T) {
	d, connections := answering(t, func(c net.Conn, id int64) { _, _ = c.Write(bindResult(id, 0)) })
	who, err := terms.ParseDN("cn=a,dc=local,dc=test")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who      terms.DN
		password string
	}{{terms.DN{}, "x"}, {who, ""}, {terms.DN{}, ""}} {
		if a, err := d.CheckPassword(t.Context(), c.who, c.password); err == nil || a.Word != WordNone {
			t.Errorf("%+v: %+v, %v", c, a, err)
		}
	}
	if n := connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
