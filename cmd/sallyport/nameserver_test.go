package main

import (
	"strings"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"sallyport/internal/dnsx/dnstest"
)

// scriptNameserver serves a zone file over UDP and TCP until the script ends, and sets
// DNS to its address. Names that the file does not hold do not exist.
func scriptNameserver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nameserver ZONEFILE")
	}
	records := map[string][]dns.RR{}
	zone := dns.NewZoneParser(strings.NewReader(ts.ReadFile(args[0])), ".", args[0])
	for rr, ok := zone.Next(); ok; rr, ok = zone.Next() {
		records[strings.ToLower(rr.Header().Name)] = append(records[strings.ToLower(rr.Header().Name)], rr)
	}
	ts.Check(zone.Err())
	tcp, udp, err := dnstest.Listen()
	ts.Check(err)
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		all, ok := records[strings.ToLower(q.Question[0].Name)]
		if !ok {
			m.Rcode = dns.RcodeNameError
		}
		for _, rr := range all {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m) // who does not wait gets none
	})
	for _, s := range []*dns.Server{{Listener: tcp, Handler: answer}, {PacketConn: udp, Handler: answer}} {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.ActivateAndServe()
		}()
		ts.Defer(func() {
			_, _ = tcp.Close(), udp.Close()
			<-ended
		})
	}
	ts.Setenv("DNS", tcp.Addr().String())
}
