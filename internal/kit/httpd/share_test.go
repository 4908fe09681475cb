package httpd

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// elsewhere is a listener whose clients come from the addresses that a test names, one after the other.
type elsewhere struct {
	net.Listener
	mu   sync.Mutex
	from []string
}

func (e *elsewhere) Accept() (net.Conn, error) {
	c, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	at := netip.MustParseAddrPort(e.from[0])
	e.from = e.from[1:]
	return distant{c, net.TCPAddrFromAddrPort(at)}, nil
}

type distant struct {
	net.Conn
	from net.Addr
}

func (d distant) RemoteAddr() net.Addr { return d.from }

// Whoever opens all connections that he can and says nothing keeps nobody else waiting: his network has
// its share, what comes beyond it is closed, and what has ended leaves its place.
func TestOneNetworkKeepsNobodyWaiting(t *testing.T) {
	for name, networks := range map[string]struct{ his, other []string }{
		"IPv4":         {[]string{"192.0.2.7:1", "192.0.2.200:2"}, []string{"198.51.100.1:3"}},
		"IPv6":         {[]string{"[2001:db8:1:1::7]:1", "[2001:db8:1:ffff::8]:2"}, []string{"[2001:db8:2::1]:3"}},
		"IPv4 in IPv6": {[]string{"[::ffff:192.0.2.7]:1", "192.0.2.9:2"}, []string{"198.51.100.1:3"}},
	} {
		t.Run(name, func(t *testing.T) {
			const most = 8 // of which one network has two
			o := options()
			o.Limits.Connections, o.Limits.Header, o.Limits.Read, o.Limits.Idle = most, time.Hour, time.Hour, time.Hour
			tcp := listener(t)
			at := &elsewhere{Listener: tcp, from: slices.Repeat(networks.his, most)}
			at.from = append(append(at.from, networks.other...), networks.his[0])
			serve(t, o, at)
			var silent []net.Conn
			closed := 0
			for range 2 * most {
				silent = append(silent, dial(t, tcp))
			}
			for _, c := range silent[most/networkShare:] {
				if _, err := io.Copy(io.Discard, c); err == nil {
					closed++
				}
			}
			if want := 2*most - most/networkShare; closed != want {
				t.Errorf("%d of his connections were closed, not %d", closed, want)
			}
			r, err := ask(dial(t, tcp))
			must(t, err)
			if r.StatusCode != http.StatusOK {
				t.Error(r.Status)
			}
			must(t, silent[0].Close())
			place := func() bool { // the server hears of it in its own time
				c, err := net.Dial("tcp", tcp.Addr().String())
				must(t, err)
				defer c.Close()
				must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
				at.mu.Lock()
				at.from = append(at.from, networks.his[0])
				at.mu.Unlock()
				_, err = ask(c)
				return err == nil
			}
			for until := time.Now().Add(20 * time.Second); !place(); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(until) {
					t.Fatal("what has ended holds its place")
				}
			}
		})
	}
}

// A proxy on this host speaks for everybody, and so does who has no address.
func TestThisHostHasNoShare(t *testing.T) {
	for _, a := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv6loopback}, &net.UnixAddr{Name: "x"}, &net.TCPAddr{},
	} {
		if p := networkOf(a); p.IsValid() {
			t.Errorf("%v counts for %v", a, p)
		}
	}
}
