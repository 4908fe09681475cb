package dnsx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const honest = "x.test. 300 MX 10 mx.x.test."

// What a server can answer to "MX x.test", and what we make of it. The data of an
// attacker is always evil.test: it must never come back.
func TestAnswersOfServers(t *testing.T) {
	evil := "x.test. 300 MX 1 evil.test."
	soa := "x.test. 300 SOA ns.x.test. admin.x.test. 1 2 3 4 60"
	for title, row := range map[string]struct {
		play script
		want string // the hosts, or an error
	}{
		"honest":               {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, honest)) }, "mx.x.test"},
		"upper case":           {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "X.TEST. 300 MX 10 MX.x.TEST.")) }, "mx.x.test"},
		"twice":                {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, honest, honest)) }, "mx.x.test"},
		"null MX":              {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "x.test. 300 MX 0 .")) }, "null"},
		"address as exchanger": {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "x.test. 300 MX 0 127.0.0.1.")) }, "127.0.0.1"},
		"NUL in a label":       {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, `x.test. 300 MX 0 evil\000.test.`)) }, "unusable"},
		"dot in a label":       {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, `x.test. 300 MX 0 evil\.test.`)) }, "unusable"},
		"NXDOMAIN":             {func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q, "--", soa), dns.RcodeNameError)) }, ErrNoName.Error()},
		"no data":              {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "--", soa)) }, ErrNoData.Error()},
		"no data, no SOA":      {func(_ string, q *dns.Msg) [][]byte { return one(reply(q)) }, ErrNoData.Error()},
		"alias": {func(_ string, q *dns.Msg) [][]byte {
			return one(reply(q, "y.test. 300 MX 1 mx.y.test.", "x.test. 300 CNAME y.test."))
		}, "mx.y.test"},
		"eight aliases":       {aliases(8), "mx.x.test"},
		"nine aliases":        {aliases(9), ErrMalformed.Error()},
		"two hundred aliases": {aliases(200), ErrMalformed.Error()},
		"circle": {func(_ string, q *dns.Msg) [][]byte {
			return one(reply(q, "x.test. 1 CNAME y.test.", "y.test. 1 CNAME x.test."))
		}, ErrMalformed.Error()},
		"two aliases": {func(_ string, q *dns.Msg) [][]byte {
			return one(reply(q, "x.test. 1 CNAME y.test.", "x.test. 1 CNAME z.test."))
		}, ErrMalformed.Error()},
		// RFC 2181 §11, RFC 2317 §4: an alias may lead to any name.
		"alias with NUL": {func(_ string, q *dns.Msg) [][]byte {
			return one(reply(q, `x.test. 1 CNAME y\000.test.`, `y\000.test. 1 CNAME a/b\.c+\(\@\\.Test.`, `A/b\.c+\(\@\\.test. 1 MX 10 mx.x.test.`))
		}, "mx.x.test"},
		"alias to the root": {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "x.test. 1 CNAME .")) }, ErrNoData.Error()},
		"alias to nowhere": {func(_ string, q *dns.Msg) [][]byte {
			return one(withCode(reply(q, "x.test. 1 CNAME y.test.", "--", soa), dns.RcodeNameError))
		}, ErrNoName.Error()},
		"alias not followed": {func(_ string, q *dns.Msg) [][]byte {
			m := reply(q, "x.test. 1 CNAME y.test.")
			m.RecursionAvailable, m.Authoritative = false, true
			return one(m)
		}, ErrLame.Error()},
		"authoritative no data": {func(_ string, q *dns.Msg) [][]byte {
			m := reply(q, "--", soa)
			m.RecursionAvailable, m.Authoritative = false, true
			return one(m)
		}, ErrNoData.Error()},
		"records of another":     {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "y.test. 300 MX 1 evil.test.", honest)) }, "mx.x.test"},
		"NXDOMAIN with records":  {func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q, evil), dns.RcodeNameError)) }, ErrMalformed.Error()},
		"SERVFAIL":               {func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q), dns.RcodeServerFailure)) }, ErrServer.Error()},
		"SERVFAIL with records":  {func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q, evil), dns.RcodeServerFailure)) }, ErrServer.Error()},
		"REFUSED":                {func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q), dns.RcodeRefused)) }, ErrLame.Error()},
		"unheard-of code":        {func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q), 12)) }, ErrServer.Error()},
		"referral":               {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "--", "x.test. 300 NS ns.evil.test.")) }, ErrLame.Error()},
		"neither kind of server": {lame(soa, dns.RcodeSuccess), ErrLame.Error()},
		"NXDOMAIN of neither":    {lame(soa, dns.RcodeNameError), ErrLame.Error()},
		"silence":                {func(string, *dns.Msg) [][]byte { return nil }, ErrTimeout.Error()},
		"empty datagram":         {func(string, *dns.Msg) [][]byte { return [][]byte{{}} }, ErrTimeout.Error()},
		"header cut":             {func(_ string, q *dns.Msg) [][]byte { return [][]byte{pack(reply(q, honest))[:11]} }, ErrTimeout.Error()},
		"records cut":            {func(_ string, q *dns.Msg) [][]byte { b := pack(reply(q, honest)); return [][]byte{b[:len(b)-3]} }, ErrMalformed.Error()},
		"fewer than it says":     {overstated, ErrMalformed.Error()},
		"wrong identifier":       {spoiled(evil, func(m *dns.Msg) { m.Id++ }), "mx.x.test"},
		"question echoed":        {func(_ string, q *dns.Msg) [][]byte { return one(q) }, ErrTimeout.Error()},
		"wrong opcode":           {spoiled(evil, func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus }), "mx.x.test"},
		"wrong question":         {spoiled(evil, func(m *dns.Msg) { m.Question[0].Name = "y.test." }), "mx.x.test"},
		"wrong type":             {spoiled(evil, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }), "mx.x.test"},
		"wrong class":            {spoiled(evil, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), "mx.x.test"},
		"no question":            {spoiled(evil, func(m *dns.Msg) { m.Question = nil }), "mx.x.test"},
		"two questions":          {spoiled(evil, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), "mx.x.test"},
		"failure, no question": {func(_ string, q *dns.Msg) [][]byte {
			m := withCode(reply(q), dns.RcodeRefused)
			m.Question = nil
			return one(m)
		}, ErrLame.Error()},
		"NXDOMAIN, no question": {func(_ string, q *dns.Msg) [][]byte {
			m := withCode(reply(q), dns.RcodeNameError)
			m.Question = nil
			return one(m)
		}, ErrTimeout.Error()},
		"flood of forgeries":     {flood(evil), "mx.x.test"},
		"truncated, TCP honest":  {truncated(honest), "mx.x.test"},
		"truncated, TCP evil":    {truncatedThen(evil, func(m *dns.Msg) { m.Id++ }), ErrMalformed.Error()},
		"truncated, TCP silent":  {truncatedSilent, ErrTimeout.Error()},
		"truncated twice":        {func(_ string, q *dns.Msg) [][]byte { m := reply(q, evil); m.Truncated = true; return one(m) }, ErrServer.Error()},
		"too large for TCP":      {huge(900), ErrMalformed.Error()},
		"too many records":       {huge(300), ErrMalformed.Error()},
		"two hundred exchangers": {huge(200), "…200"},
		"no EDNS":                {tooOld, "mx.x.test"},
		"never understands":      {func(_ string, q *dns.Msg) [][]byte { return one(withCode(reply(q), dns.RcodeFormatError)) }, ErrServer.Error()},
		"another class":          {func(_ string, q *dns.Msg) [][]byte { return one(reply(q, "x.test. 300 CH MX 1 evil.test.", honest)) }, "mx.x.test"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			a, err := client(t, quick(), serve(t, row.play)).MX(t.Context(), name(t, "x.test"))
			if got := words(a, err); !strings.Contains(got, row.want) || strings.Contains(got, "evil.test") {
				t.Errorf("%s, want %s", got, row.want)
			}
			if err != nil && (a.Data != nil || Permanent(err) != (row.want == ErrNoName.Error() || row.want == ErrNoData.Error())) {
				t.Errorf("%v with %v: permanent is %v", a, err, Permanent(err))
			}
		})
	}
}

// words puts an answer into one line: what is not a host is called so.
func words(a Answer[MX], err error) string {
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, m := range a.Data {
		switch {
		case m.Null:
			out = append(out, "null")
		case m.Host.IsZero():
			out = append(out, "unusable")
		default:
			out = append(out, m.Host.String())
		}
	}
	if len(out) > 10 {
		return fmt.Sprintf("mx.x.test …%d", len(out))
	}
	return strings.Join(out, " ")
}

func aliases(n int) script {
	return func(network string, q *dns.Msg) [][]byte {
		if network == "udp" && n > 20 {
			return truncatedSilent("udp", q)
		}
		var rrs []string
		last := "x.test."
		for i := range n {
			next := fmt.Sprintf("alias%d.test.", i)
			rrs = append(rrs, last+" 300 CNAME "+next)
			last = next
		}
		m := reply(q, append(rrs, last+" 300 MX 10 mx.x.test.")...)
		return one(m)
	}
}

// lame answers as a server does that neither knows nor asks.
func lame(soa string, rcode int) script {
	return func(_ string, q *dns.Msg) [][]byte {
		m := withCode(reply(q, "--", soa), rcode)
		m.RecursionAvailable = false
		return one(m)
	}
}

// overstated says in its header that there are two records, and ends after one.
func overstated(_ string, q *dns.Msg) [][]byte {
	b := pack(reply(q, honest))
	b[7] = 2
	return [][]byte{b}
}

// spoiled answers wrongly first, then honestly: the first must change nothing.
func spoiled(evil string, spoil func(*dns.Msg)) script {
	return func(_ string, q *dns.Msg) [][]byte {
		m := reply(q.Copy(), evil)
		spoil(m)
		return append(one(m), one(reply(q, honest))...)
	}
}

// flood sends more forgeries than are read; over TCP nobody can forge.
func flood(evil string) script {
	return func(network string, q *dns.Msg) (out [][]byte) {
		if network == "tcp" {
			return one(reply(q, honest))
		}
		for i := range 40 {
			m := reply(q, evil)
			m.Id += uint16(i + 1)
			out = append(out, pack(m))
		}
		return out
	}
}

func truncated(then string) script { return truncatedThen(then, func(*dns.Msg) {}) }

func truncatedThen(then string, spoil func(*dns.Msg)) script {
	return func(network string, q *dns.Msg) [][]byte {
		m := reply(q, then)
		if network == "udp" {
			m.Answer, m.Truncated = nil, true
		} else {
			spoil(m)
		}
		return one(m)
	}
}

func truncatedSilent(network string, q *dns.Msg) [][]byte {
	if network == "tcp" {
		return nil
	}
	m := reply(q)
	m.Truncated = true
	return one(m)
}

// huge answers with n records, over TCP.
func huge(n int) script {
	return func(network string, q *dns.Msg) [][]byte {
		if network == "udp" {
			m := reply(q)
			m.Truncated = true
			return one(m)
		}
		var rrs []string
		for i := range n {
			rrs = append(rrs, fmt.Sprintf("x.test. 300 MX 1 mx%d.%s.x.test.", i, strings.Repeat("y", 60)))
		}
		return one(reply(q, rrs...))
	}
}

func tooOld(_ string, q *dns.Msg) [][]byte {
	if q.IsEdns0() != nil {
		return one(withCode(reply(q), dns.RcodeFormatError))
	}
	return one(reply(q, honest))
}

// The length that comes before an answer over TCP is believed only within bounds.
func TestAnswerOverTCPIsBounded(t *testing.T) {
	l := quick()
	l.TCPOctets = l.UDPOctets
	_, err := client(t, l, serve(t, huge(200))).MX(t.Context(), name(t, "x.test"))
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "octets long") {
		t.Error(err)
	}
}

// A long answer over UDP that was not announced is not read.
func TestAnswerLongerThanAnnounced(t *testing.T) {
	s := serve(t, func(network string, q *dns.Msg) [][]byte {
		return append(huge(150)("tcp", q), one(reply(q, honest))...)
	})
	a, err := client(t, quick(), s).MX(t.Context(), name(t, "x.test"))
	if words(a, err) != "mx.x.test" {
		t.Error(words(a, err))
	}
}

// A port where nobody listens is found out about at once.
func TestUnreachableServer(t *testing.T) {
	_, err := client(t, quick(), closed(t)).MX(t.Context(), name(t, "x.test"))
	if !errors.Is(err, ErrServer) || Permanent(err) {
		t.Error(err)
	}
}

// closed is a server that has gone.
func closed(t *testing.T) *server {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	defer pc.Close()
	return &server{addr: netip.MustParseAddrPort(pc.LocalAddr().String())}
}
