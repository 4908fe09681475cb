package node

import (
	"context"
	"crypto/x509"
	"net"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop/ways"
	"sallyport/internal/store"
)

// What tests that start, reload and stop whole servers, from the package node_test, see of
// them beyond what an operator sees.

// Proof shows that a reload takes a key in; see keyProof.
type Proof struct {
	Set, On string
	See     func(*Node) any
}

// Proofs returns those of every key that needs no restart.
func Proofs() map[string]Proof {
	all := map[string]Proof{}
	for path, p := range proofs() {
		all[path] = Proof{Set: p.set, On: p.on, See: p.see}
	}
	return all
}

// InForce is the configuration in force.
func (n *Node) InForce() config.Config { return n.config() }

// Ways are those that lead out now.
func (n *Node) Ways() *ways.Ways { return n.now().ways }

// Routes are those of the directory in force.
func (n *Node) Routes() []directory.Route { return n.book.Stated().Config.Routes }

// Leaf is the certificate in force; nil: there is none.
func (n *Node) Leaf() *x509.Certificate { return n.identity.Leaf() }

// Reread reads the files of the certificate again, as happens now and then.
func (n *Node) Reread(ctx context.Context, told string) string {
	return n.identity.Reread(ctx, told)
}

// Names are those that a certificate is to have beside the host's.
func (n *Node) Names(ctx context.Context) []mail.Domain { return n.identity.Names(ctx) }

// Listeners are those of a service.
func (n *Node) Listeners(service string) []net.Listener { return n.doors.Of(service) }

// Connections is how many the doors count that take mail.
func (n *Node) Connections() int { return n.doors.Count().Posting }

// Metered reports whether metrics are kept.
func (n *Node) Metered() bool { return n.metering.On() }

// Store is where everything is kept.
func (n *Node) Store() store.Store { return n.data.Store }

// Record writes a fact.
func (n *Node) Record(ctx context.Context, f fact.Fact) error { return n.data.Trace.Write(ctx, f) }
