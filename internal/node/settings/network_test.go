package settings

import (
	"testing"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

// The account of a network has no more than the network, whatever was set for it; others are
// as they are.
func TestAllowanceOfANetwork(t *testing.T) {
	printers, err := mail.ParseAddress("printers@local.test", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Config{Networks: []config.Network{{Network: trust.Network{Account: printers}, Budget: budget.Limits{Hour: 20, Day: 100}}}}
	cfg.Budget.Person = budget.Limits{Hour: 300, Day: 1000}
	for _, c := range []struct {
		hour int
		of   mail.Address
		want budget.Limits
	}{
		{0, printers, budget.Limits{Hour: 20, Day: 100}}, {5, printers, budget.Limits{Hour: 5, Day: 100}}, {500, printers, budget.Limits{Hour: 20, Day: 100}},
		{500, mail.Address{}, budget.Limits{Hour: 500, Day: 1000}},
	} {
		a := accounts.Account{Address: c.of, Role: accounts.RolePerson, RecipientsHour: c.hour}
		if got := Allowance(cfg, a); got != c.want {
			t.Errorf("%s with %d: %v", c.of, c.hour, got)
		}
	}
	if got := Allowance(cfg, accounts.Account{Address: printers}); got != (budget.Limits{}) {
		t.Errorf("what has no role may write to %v", got)
	}
}
