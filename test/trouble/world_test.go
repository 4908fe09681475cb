package trouble

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/test/load"
	"sallyport/test/site"
)

// Where the exchangers of foreign domains are, and where a route leads that is no business of the DNS.
const (
	atFar   = "127.9.9.1"
	atKnown = "127.9.9.2"
	atQuiet = "127.9.9.3"
	knownV6 = "2600::2" // is led to the same as atKnown
	byRoute = "127.0.0.1:2626"
)

// hello is what every stranger calls himself.
const hello = "mx.good.test"

// outside are the records of everybody but those of quiet.test. What is known of known.test may be
// remembered for longer than the trouble lasts.
func outside(key string) []string {
	return []string{
		"far.test. 60 MX 10 mx.far.test.", "mx.far.test. 60 A " + atFar,
		"known.test. 3600 MX 10 mx.known.test.", "mx.known.test. 3600 A " + atKnown, "mx.known.test. 3600 AAAA " + knownV6,
		`good.test. 60 TXT "v=spf1 ip4:127.0.0.1 -all"`, `_dmarc.good.test. 60 TXT "v=DMARC1; p=reject"`,
		`mx.good.test. 60 TXT "v=spf1 ip4:127.0.0.1 -all"`, `k._domainkey.good.test. 60 TXT "v=DKIM1; k=ed25519; p=` + key + `"`,
		`victim.test. 60 TXT "v=spf1 -all"`, `_dmarc.victim.test. 60 TXT "v=DMARC1; p=reject"`,
	}
}

// quiet are the records of the one domain whose own name servers may be silent.
func quiet() []string {
	return []string{
		"quiet.test. 60 MX 10 mx.quiet.test.", "mx.quiet.test. 60 A " + atQuiet,
		`quiet.test. 60 TXT "v=spf1 ip4:127.0.0.1 -all"`, `_dmarc.quiet.test. 60 TXT "v=DMARC1; p=reject"`,
	}
}

// letter is a message of ours that leaves.
type letter struct {
	domain, queue, text string
	tries               int // as the queue told at the end of the trouble
}

// world is a server, its clock, its DNS, and everybody to whom mail leaves.
type world struct {
	*site.Site
	t     *testing.T
	n     *site.Running
	later atomic.Int64 // what the clock is ahead

	dns  *dnstest.Server
	mood atomic.Pointer[dnstest.Script] // how it answers
	well dnstest.Script                 // when it does
	mute dnstest.Script                 // when quiet.test alone does not

	key dkim.SigningKey // of good.test

	mu     sync.Mutex
	sinks  map[string]*load.Sink // by the address that is dialled
	routed bool                  // the route leads somewhere

	sent   map[string]*letter // by identifier
	wanted map[string]string  // what bob is to have: by identifier, what it must say
	put    []stranger         // off, to come again
	poked  string             // the message whose attempts wake the queue
}

// newWorld makes one in which all is well.
func newWorld(t *testing.T) *world {
	w := &world{t: t, sinks: map[string]*load.Sink{}, sent: map[string]*letter{}, wanted: map[string]string{}}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	site.Must(t, err)
	good, err := mail.ParseDomain("good.test")
	site.Must(t, err)
	w.key, err = dkim.NewSigningKey(dkim.KeyName{Selector: "k", Domain: good}, private)
	site.Must(t, err)
	records := outside(base64.StdEncoding.EncodeToString(public))
	all, err := dnstest.NewZone(append(quiet(), records...)...)
	site.Must(t, err)
	one, err := dnstest.NewZone(append([]string{"SILENCE quiet.test.", "SILENCE *.quiet.test."}, records...)...)
	site.Must(t, err)
	w.well, w.mute = all.Play, one.Play
	w.turn(w.well)
	w.dns = dnstest.Serve(t, func(network string, q *dns) [][]byte { return (*w.mood.Load())(network, q) })
	for _, at := range []string{atFar, atKnown, atQuiet} {
		w.listen(at)
	}
	w.Site = site.New(t, nil, "[mx]", fmt.Sprintf("dns = [%q]", w.dns.Addr), `private = ["127.0.0.0/8"]`, "[authentication]", `check = "on"`)
	o := w.Options()
	o.Now, o.Dial = w.now, w.dial
	opened, err := node.Open(t.Context(), w.Config, o)
	site.Must(t, err)
	w.n = w.Serve(opened)
	w.Populate(w.n.Node)
	return w
}

// turn has the DNS answer so from now on.
func (w *world) turn(s dnstest.Script) { w.mood.Store(&s) }

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }

// pass lets time pass.
func (w *world) pass(d time.Duration) { w.later.Add(int64(d)) }

// listen has a new exchanger listen at an address; connections to the one before end.
func (w *world) listen(at string) {
	sink, err := load.NewSink(load.SinkOptions{Keep: true})
	site.Must(w.t, err)
	w.t.Cleanup(func() { _ = sink.Close() })
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.sinks[at+":25"]; old != nil {
		site.Must(w.t, old.Close())
	}
	w.sinks[at+":25"] = sink
}

// dial leads to the exchangers alone; that anything else is dialled is a fault.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	sink, routed := w.sinks[strings.Replace(address, "["+knownV6+"]", atKnown, 1)], w.routed
	w.mu.Unlock()
	switch {
	case address == byRoute && !routed:
		return nil, errors.New("no route to host")
	case address == byRoute:
		sink = w.Sink
	case sink == nil:
		w.t.Errorf("%s was dialled, which is nobody's exchanger", address)
		return nil, errors.New("no such host")
	}
	return (&net.Dialer{}).DialContext(ctx, network, sink.Addr())
}

// at is the exchanger of a domain.
func (w *world) at(domain string) *load.Sink {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sinks[map[string]string{"far.test": atFar, "known.test": atKnown, "quiet.test": atQuiet}[domain]+":25"]
}

// queue is what waits, by queue id, without what wakes it.
func (w *world) queue() map[string]operate.Message {
	w.t.Helper()
	all := map[string]operate.Message{}
	site.Must(w.t, w.n.Operator().QueueList(w.t.Context(), operate.Self(), operate.Select{All: true}, func(m operate.Message) error {
		if m.ID != w.poked {
			all[m.ID] = m
		}
		return nil
	}))
	return all
}

// wake has the queue look at the clock, which a test sets and no timer can know of: one message is tried
// that goes by a route, which needs no DNS.
func (w *world) wake() {
	w.t.Helper()
	w.patiently("the queue to look at the clock", func() bool {
		changed, err := w.n.Operator().QueueRetry(w.t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{IDs: []string{w.poked}}})
		site.Must(w.t, err)
		return changed.Count == 1 || w.n.Queue().Messages == 0 // its last attempt may be under way, and succeed
	})
}

// patiently waits until something is so: a question that nobody answers takes seconds, and a
// message several.
func (w *world) patiently(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain for %s; in the queue: %+v", what, w.queue())
		}
	}
}

// box is what an account has, by identifier.
func (w *world) box(local string) map[string][]string {
	w.t.Helper()
	found, err := site.BoxOf(vfs.Default, w.Config.Maildir.Root, local)
	site.Must(w.t, err)
	return found
}

// sign puts the signature of good.test before a message.
func (w *world) sign(text string) string {
	w.t.Helper()
	end := strings.Index(text, "\r\n\r\n") + 4
	h, err := message.ParseHeader([]byte(text[:end]))
	site.Must(w.t, err)
	s := dkim.NewSigning(h, []dkim.SigningKey{w.key})
	s.Body([]byte(text[end:]))
	fields, err := s.Fields(w.now(), 0)
	site.Must(w.t, err)
	return string(fields) + text
}
