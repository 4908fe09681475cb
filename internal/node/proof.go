package node

import (
	"context"

	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// proven builds the directory and proves it closed; a witness that opens it is a fault
// like any other. Promise 1.
func (st stated) proven(s *roster.State, accounts []mail.Address) (*directory.Snapshot, proof.Report, error) {
	snapshot, err := st.build(s, accounts)
	if err != nil {
		return nil, proof.Report{}, err
	}
	cfg, _ := st.with(s)
	r := proof.Prove(proof.Of(cfg, snapshot, accounts))
	if r.Closed() {
		return snapshot, r, nil
	}
	f := directory.Fault{Text: "nothing could be tried, so that nothing is proven"}
	if r.Witness != nil {
		f.Text = "this is open: " + r.Witness.String()
		if r.Witness.Cause.Name != "" {
			f.About = []directory.Subject{r.Witness.Cause}
		}
	}
	return nil, r, st.explained(directory.Faults{f}, s)
}

// proveServed proves the directory before the server binds anything: with a witness
// it does not serve.
func (n *Node) proveServed(ctx context.Context) error {
	accounts, err := accountAddresses(ctx, n.identity)
	if err != nil {
		return err
	}
	_, r, err := n.stated().proven(n.roster.State(), accounts)
	if err != nil {
		return err
	}
	n.log.Info("the directory is closed", "addresses", r.Addresses, "classes", r.Classes)
	return nil
}
